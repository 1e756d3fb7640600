"""The analysis of prompts: concepts, intent, family, language, refusals."""

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelligence.errors import InvalidInputError
from intelligence.prompt import (
    ArtisticStyle,
    ComplexityCategory,
    ConceptCategory,
    ContentType,
    PromptAnalysis,
    PromptAnalyzer,
)
from intelligence.records import Source

ANALYZER = PromptAnalyzer()


def test_analyze_storys_example():
    analysis = ANALYZER.analyze(
        "1girl, anime style, magical powers, detailed Victorian mansion background, cinematic lighting, "
        "masterpiece, best quality"
    )
    assert analysis.intent.artistic_style is ArtisticStyle.ANIME
    assert analysis.intent.content_type is ContentType.CHARACTER
    assert analysis.complexity_category is ComplexityCategory.MODERATE
    assert analysis.concepts == {
        ConceptCategory.CHARACTER: ("1girl",),
        ConceptCategory.STYLE: ("anime style",),
        ConceptCategory.CONTENT: ("magical powers",),
        ConceptCategory.SETTING: ("victorian mansion background",),
        ConceptCategory.QUALITY: ("detailed", "masterpiece", "best quality"),
        ConceptCategory.LIGHTING: ("cinematic lighting",),
    }
    assert analysis.tag_style > 0.9
    assert {reason.setting for reason in analysis.reasons} >= {"style", "content", "complexity"}
    (quality,) = (reason.evidence for reason in analysis.reasons if reason.setting == "quality")
    assert quality.startswith("high")


@pytest.mark.parametrize(
    "prompt, category, concept",
    [
        ("mirkwood witch, forest", ConceptCategory.CHARACTER, "mirkwood witch"),
        ("zorblax", ConceptCategory.CONTENT, "zorblax"),
        ("(green dress:1.3)", ConceptCategory.CHARACTER, "green dress"),
        ("two CASTLES", ConceptCategory.SETTING, "two castles"),
        ("shallow depth of field", ConceptCategory.CAMERA, "shallow depth of field"),
        ("una bruja en un bosque", ConceptCategory.CHARACTER, "witch"),
        ("DRAGÓN azul sobre el mar", ConceptCategory.CONTENT, "blue dragon"),
    ],
)
def test_concepts_by_category(prompt, category, concept):
    assert concept in ANALYZER.analyze(prompt).concepts[category]


def test_shown_concepts_leave_out_quality_and_technical_words():
    analysis = ANALYZER.analyze("score_9, masterpiece, anime style, a witch in a forest, 8k")
    assert analysis.shown_concepts == ("witch", "anime style", "forest")


def test_concepts_leave_out_negated_things():
    concepts = ANALYZER.analyze("empty street, no people").concepts
    assert concepts == {ConceptCategory.SETTING: ("empty street",)}


@pytest.mark.parametrize(
    "prompt, content",
    [
        ("coffee cup on a desk", ContentType.OBJECT),
        ("queen of the bees", ContentType.CHARACTER),
        ("bowl of cherries", ContentType.FOOD),
        ("a family of otters", ContentType.ANIMAL),
        ("bear family", ContentType.ANIMAL),
        ("a family of four", ContentType.GROUP),
        ("portrait of a cat", ContentType.ANIMAL),
        ("close-up of a woman", ContentType.PORTRAIT),
        ("portrait, full body, knight", ContentType.CHARACTER),
        ("1girl, solo, crowd", ContentType.CHARACTER),
        ("1girl, 1boy", ContentType.GROUP),
        ("two nurses", ContentType.GROUP),
        ("a knight and a wizard", ContentType.GROUP),
        ("in a dark forest stands a witch", ContentType.CHARACTER),
        ("a cat sitting in a train", ContentType.ANIMAL),
        ("(mountain:0.3), (castle:1.4)", ContentType.ARCHITECTURE),
        ("long hair, red dress, smile, night sky", ContentType.CHARACTER),
        ("a zorblax smoking beside a horse", ContentType.CHARACTER),
        ("an old fisherwoman", ContentType.CHARACTER),
        ("taza de té", ContentType.FOOD),
        ("walk-in closet, white shelves", ContentType.INTERIOR),
        ("a moss-covered stone bridge", ContentType.ARCHITECTURE),
        ("a heart shaped lemon tart", ContentType.FOOD),
        ("a child's bedroom", ContentType.INTERIOR),
        ("the wizard's very old book", ContentType.OBJECT),
        ("inside a submarine", ContentType.INTERIOR),
        ("mountain background, castle", ContentType.ARCHITECTURE),
        ("the woman's face, half in shadow", ContentType.PORTRAIT),
        ("the face of a laughing monk", ContentType.PORTRAIT),
        ("an ostrich's face", ContentType.ANIMAL),
        ("portrait of a tiger wearing a conductor's hat", ContentType.ANIMAL),
        ("portrait of a house", ContentType.ARCHITECTURE),
        ("a mother feeding her baby", ContentType.GROUP),
        ("a boy with a vampire costume", ContentType.CHARACTER),
        ("workers building a wall", ContentType.GROUP),
        ("frog wizard", ContentType.ANIMAL),
        ("dragon hunter", ContentType.CHARACTER),
        ("a penguin wearing a blue hat, red gloves, green shirt and yellow pants", ContentType.ANIMAL),
        ("a vintage leather jacket on a hook", ContentType.OBJECT),
        ("cosmonaut poster", ContentType.CHARACTER),
        ("queen of hearts", ContentType.CHARACTER),
        ("tileable texture of cracked mud", ContentType.ABSTRACT),
        ("rusty fishing trawler", ContentType.VEHICLE),
        ("a knigth, portait", ContentType.PORTRAIT),
        ("grilled salmon with lemon", ContentType.FOOD),
        ("an abstract mountain range of triangles", ContentType.LANDSCAPE),
        ("the crew of a fishing trawler", ContentType.GROUP),
        ("una guitarra vieja", ContentType.OBJECT),
        ("pixel art forest background", ContentType.LANDSCAPE),
        ("tight on the face of a boxer", ContentType.PORTRAIT),
        ("she", ContentType.CHARACTER),
        ("zorblax", ContentType.UNSPECIFIED),
    ],
)
def test_content_type_by_prompt(prompt, content):
    assert ANALYZER.analyze(prompt).intent.content_type is content


@pytest.mark.parametrize(
    "prompt, style",
    [
        ("realistic painting of a horse", ArtisticStyle.PAINTING),
        ("quick sketch of a horse", ArtisticStyle.DRAWING),
        ("photo of a suitcase with stickers", ArtisticStyle.PHOTOREALISTIC),
        ("sticker of a suitcase", ArtisticStyle.CARTOON),
        ("dibujo a lápiz de un caballo", ArtisticStyle.DRAWING),
        ("(anime:0.2), (watercolor:1.2)", ArtisticStyle.PAINTING),
    ],
)
def test_artistic_style_by_prompt(prompt, style):
    assert ANALYZER.analyze(prompt).intent.artistic_style is style


@pytest.mark.parametrize(
    "prompt, concepts",
    [
        ("chica con vestido azul largo", {"girl", "long blue dress"}),
        ("reina de hielo", {"ice queen"}),
        ("robot gigante", {"giant robot"}),
        ("flores rojas", {"red flower"}),
        ("luces de neón", {"neon lights"}),
        ("corona de oro de la princesa", {"gold crown", "princess"}),
        ("mujer con vestido de gala", {"woman", "ball gown"}),
        ("caballero bajo el agua", {"knight", "underwater"}),
        ("hombre sin rostro", {"man", "faceless"}),
    ],
)
def test_concepts_of_spanish_prompt_are_english(prompt, concepts):
    found = ANALYZER.analyze(prompt).concepts
    assert {phrase for phrases in found.values() for phrase in phrases} == concepts


@pytest.mark.parametrize("prompt", ["cat --ar 2:3 --v 5", "cat, <hypernet:x y:1>", "cat, embedding:bad_cat", "cat 0.5"])
def test_concepts_leave_out_parameters_tags_and_embeddings(prompt):
    assert ANALYZER.analyze(prompt).concepts == {ConceptCategory.CONTENT: ("cat",)}


@pytest.mark.parametrize(
    "prompt, family",
    [
        ("score_9, score_8_up, 1girl", "pony"),
        ("1girl, masterpiece, best quality, newest, absurdres", "illustrious"),
        ("1girl, very awa", "noobai"),
        ("1girl, masterpiece, best quality", None),
    ],
)
def test_quality_family_by_tags(prompt, family):
    assert ANALYZER.analyze(prompt).quality_family == family


@pytest.mark.parametrize(
    "prompt, language",
    [("a girl in a forest", "en"), ("una chica en el bosque", "es"), ("gato, bosque, lluvia", "es"), ("anime", "en")],
)
def test_language_by_prompt(prompt, language):
    assert ANALYZER.analyze(prompt).language == language


def test_reasons_are_plain_text_about_the_prompt():
    reasons = {reason.setting: reason for reason in ANALYZER.analyze("una bruja en el bosque, acuarela").reasons}
    assert {setting: reason.value for setting, reason in reasons.items()} == {
        "style": "painting",
        "content": "character",
        "complexity": "simple",
        "language": "es",
    }
    assert all(type(reason.evidence) is str and reason.source is Source.PROMPT for reason in reasons.values())


@pytest.mark.parametrize(
    "prompt, low, high",
    [("1girl, red hair, smile, park, night", 0.8, 1.0), ("A girl who walks through the park at night.", 0.0, 0.3)],
)
def test_tag_style_by_prompt(prompt, low, high):
    assert low <= ANALYZER.analyze(prompt).tag_style <= high


@pytest.mark.parametrize(
    "prompt, category",
    [
        ("cat", ComplexityCategory.SIMPLE),
        (
            "a knight and a wizard fighting a dragon, burning village, castle, mountains, storm, moonlight, rain, "
            "oil painting, low angle, dramatic lighting, crowd of soldiers, horses, banners, smoke, lens flare",
            ComplexityCategory.COMPLEX,
        ),
    ],
)
def test_complexity_category_by_prompt(prompt, category):
    assert ANALYZER.analyze(prompt).complexity_category is category


def test_analyze_is_the_same_in_another_process():
    prompts = ["close-up, headshot, 1girl, smile, <lora:x:1>, masterpiece", "una bruja y un dragón, acuarela"]
    code = (
        "import sys; from intelligence.prompt import PromptAnalyzer\n"
        f"for prompt in {prompts!r}: print(ascii(PromptAnalyzer().analyze(prompt).to_json()))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert answers == {"".join(ascii(ANALYZER.analyze(prompt).to_json()) + "\n" for prompt in prompts)}


def test_artistic_style_yields_to_negative_prompt():
    assert ANALYZER.analyze("1girl, park").intent.artistic_style is ArtisticStyle.ANIME
    assert ANALYZER.analyze("1girl, park", "anime").intent.artistic_style is ArtisticStyle.UNSPECIFIED


@pytest.mark.parametrize("prompt", ["", "  \n", None, 7, b"cat", "a\0b", "a" * 100_001, "\ud800 cat"])
def test_analyze_refuses_unusable_prompt(prompt):
    with pytest.raises(InvalidInputError):
        ANALYZER.analyze(prompt)


def test_analyze_refuses_unusable_negative_prompt():
    with pytest.raises(InvalidInputError, match="negative_prompt"):
        ANALYZER.analyze("cat", None)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300))
def test_analyze_any_text_survives_json(prompt):
    if not prompt.strip():
        return
    analysis = ANALYZER.analyze(prompt)
    assert PromptAnalysis.from_json(analysis.to_json()) == analysis


@pytest.mark.parametrize("prompt", ["(cat:inf)", "(cat:nan)", "(" * 8000 + "cat" + ")" * 8000])
def test_analyze_notes_infinite_weights(prompt):
    analysis = ANALYZER.analyze(prompt)
    assert PromptAnalysis.from_json(analysis.to_json()) == analysis
    assert "weight" in analysis.notes[0]
