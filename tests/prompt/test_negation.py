"""Words that a prompt does not want, and where they stand."""

import pytest

from intelligence.prompt import ArtisticStyle, PromptAnalysis, PromptAnalyzer, wanted_text
from intelligence.prompt.words import terms

ANALYZER = PromptAnalyzer()


def unwanted(prompt):
    return [negation.text for negation in ANALYZER.analyze(prompt).negated]


@pytest.mark.parametrize(
    "prompt, texts",
    [
        ("a girl without glasses on a beach", ["glasses"]),
        ("1girl, no hat, umbrella", ["hat"]),
        ("a bride not wearing a wedding dress", ["wedding dress"]),
        ("he isn't riding a dragon over the sea", ["riding a dragon"]),
        ("anything but watercolor: a fox", ["watercolor"]),
        ("I don't want any neon in it", ["neon"]),
        ("instead of a sword she carries an umbrella", ["sword"]),
        ("rather than a dragon, a griffin", ["dragon"]),
        ("a non-anime portrait", ["anime"]),
        ("a neon-free street", ["neon"]),
        ("dragons are not allowed in this village", ["dragons"]),
        ("neither hat nor glasses", ["hat", "glasses"]),
        ("un barco en el mar pero no zorblax vex", ["zorblax vex"]),
        ("a man without hat and gloves", ["hat and gloves"]),
        ("a man without a hat and a boy with an umbrella", ["hat"]),
        ("a farm without swords, shields or dragons, only wheat", ["swords, shields or dragons"]),
        ("avoid: text, logos. A harbour", ["text, logos"]),
        ("no amber \\(genshin impact\\), bow", ["amber \\(genshin impact"]),
        ("not a photo but a watercolor", ["photo"]),
        ("everything except the helmet", ["helmet"]),
        ("una bruja que no lleva sombrero", ["sombrero"]),
        ("un hombre sin gafas ni sombrero con un paraguas", ["gafas", "sombrero"]),
        ("en vez de una espada lleva un paraguas", ["espada"]),
        ("cualquier cosa menos acuarela", ["acuarela"]),
        ("un robot que no sea steampunk", ["steampunk"]),
    ],
)
def test_negated_names_what_is_not_wanted(prompt, texts):
    assert unwanted(prompt) == texts


@pytest.mark.parametrize(
    "prompt",
    [
        "no doubt the best samurai",
        "nothing but cherry blossoms",
        "not only a mermaid but also a dragon",
        "she can't stop drinking tea",
        "a witch never goes out without her umbrella",
        "don't forget the umbrella",
        "an empty room except for a chair",
        "nobody in the street except a samurai",
        "boku no hero academia, majo no tabitabi",
        "my dog drawn in the Don't Starve Together style, a poster of No Time to Die",
        "sin city poster",
        "sin duda el mejor caballero",
        "una sirena sin mangas",
        "no hay nada más que flores",
        "no olvides el paraguas",
    ],
)
def test_negated_is_empty_where_nothing_is_unwanted(prompt):
    assert unwanted(prompt) == []


@pytest.mark.parametrize(
    "prompt", ["red hat, no <lora:hat:0.5> (long:1.2) gloves, bow", "ein cafe\u0301 ohne, no cafe\u0301 tables, x"]
)
def test_negated_span_covers_words_in_prompt(prompt):
    (negation,) = ANALYZER.analyze(prompt).negated
    start, end = negation.span
    assert prompt[start:end].startswith("no ") and prompt[start:end].endswith(negation.text)


def test_wanted_text_leaves_out_negations_and_weights_of_zero():
    analysis = ANALYZER.analyze("a fox (dragon:0) without (red:1.2) gloves in a <lora:x:1> forest, not anime")
    assert terms(wanted_text(analysis)) == ("a", "fox", "in", "a", "forest")
    assert PromptAnalysis.from_dict(analysis.to_dict()) == analysis


def test_unwanted_text_joins_negations_and_negative_prompt():
    assert ANALYZER.analyze("a fox, no snow", "blurry, text").unwanted_text == "snow, blurry, text"


def test_intent_avoids_negated_style():
    assert ANALYZER.analyze("a portrait, not anime").intent.artistic_style is not ArtisticStyle.ANIME
    assert ANALYZER.analyze("an anime portrait, no watercolor").intent.artistic_style is ArtisticStyle.ANIME
