"""Trigger words that a prompt lacks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelligence.lora.triggers import MAX_CHARACTERS, MAX_WORDS, PromptText, missing_words, safe_phrase
from intelligence.prompt import PromptAnalyzer, parse
from tests.lora.library import lora

OUTFITS = (("mirkwood witch", "green dress"), ("mirkwood witch", "black armor", "helmet"))
PAIR = (("zorblax", "red coat"), ("quixel", "red coat", "goggles"))
SINGLE = (("zorblax",), ("green dress",), ("pointy hat",))


@pytest.mark.parametrize(
    "sets, prompt, missing",
    [
        # one set: what is missing of it
        ((("zorblax", "red coat"),), "a castle", ("zorblax", "red coat")),
        ((("zorblax", "red coat"),), "zorblax on a castle", ("red coat",)),
        ((("zorblax", "red coat"),), "Zorblax, (red coat:1.2)", ()),
        # outfits: the one that is spoken of, else what all share
        (OUTFITS, "mirkwood witch in black armor", ("helmet",)),
        (OUTFITS, "mirkwood witch, black armor, helmet", ()),
        (OUTFITS, "a witch in a green dress", ("mirkwood witch",)),
        (OUTFITS, "mirkwood witch, forest", ()),
        (OUTFITS, "a forest", ("mirkwood witch",)),
        # two subjects in one file, whose sets share an outfit
        (PAIR, "zorblax", ("red coat",)),
        (PAIR, "quixel, goggles", ("red coat",)),
        (PAIR, "a street", ("red coat",)),
        # each word listed by itself
        (SINGLE, "zorblax, forest", ()),
        (SINGLE, "a green dress", ("zorblax",)),
        (SINGLE, "a forest", ("zorblax",)),
        # nothing to add
        ((), "a cat", ()),
        ((("", " , "),), "a cat", ()),
        # written in another way
        ((("mirkwood_witch",),), "mirkwood witch", ()),
        ((("flowers",),), "a flower", ()),
        (((r"miku \(vocaloid\)",),), "miku (vocaloid)", ()),
        ((("miku (vocaloid)",),), r"miku \(vocaloid\)", ()),
        ((("zorb",),), "zorblax", ("zorb",)),
        ((("mr. zorb",),), "a portrait of Mr. Zorb", ()),
        ((("zorblax", "ZORBLAX", "zorblaxs"),), "a cat", ("zorblax",)),
    ],
)  # fmt: skip
def test_missing_words_of_best_set(sets, prompt, missing):
    assert missing_words(lora("x", *sets), PromptText(PromptAnalyzer().analyze(prompt).text)) == missing


def test_missing_words_ignores_translations():
    """The LoRA was trained on `mirkwood witch`; that the analysis reads `bruja` as witch does not write it there."""
    analysis = PromptAnalyzer().analyze("una bruja de mirkwood en el bosque")
    assert analysis.language == "es"
    assert missing_words(lora("x", "mirkwood witch"), PromptText(analysis.text)) == ("mirkwood witch",)


def test_missing_words_caps_long_set():
    assert len(missing_words(lora("x", *(f"word{n}" for n in range(50))), PromptText("a cat"))) == MAX_WORDS


@pytest.mark.parametrize(
    "word, expected",
    [
        ("zorblax", "zorblax"),
        (" zorblax,\n red ", "zorblax, red"),
        ("miku (vocaloid)", r"miku \(vocaloid\)"),
        (r"miku \(vocaloid\)", r"miku \(vocaloid\)"),
        ("(zorblax:1.2)", "(zorblax:1.2)"),
        ("((zorblax:1.2))", "((zorblax:1.2))"),
        ("(zorblax:9)", "zorblax"),
        ("(zorblax:0)", "zorblax"),
        ("(zorblax", r"\(zorblax"),
        ("zorblax\\", "zorblax"),
        ("a <lora:evil:9> b", "a b"),
        ("<lora:<lora:a:1>b:1>c", "lora:b:1>c"),
        ("zor\u202eblax\x00", "zor blax"),
        ("x" * (MAX_CHARACTERS + 1), ""),
    ],
)
def test_safe_phrase(word, expected):
    assert safe_phrase(word) == expected


@given(st.text(alphabet=st.sampled_from('ab ,.:;()\\[]{}<>lora:1.2\n"é中\u202e'), max_size=60) | st.text(max_size=60))
def test_safe_phrase_keeps_other_words(word):
    phrase = safe_phrase(word)
    assert safe_phrase(phrase) == phrase
    parsed = parse(f"before, {phrase}, (after:1.3)")
    assert parsed.lora_tags == ()
    assert parsed.segments[0].text.startswith("before, ")
    assert (parsed.segments[-1].text, parsed.segments[-1].weight) == ("after", 1.3)


@given(st.lists(st.lists(st.text(max_size=20), max_size=4), max_size=4), st.text(max_size=60))
def test_missing_words_are_missing_and_unique(sets, prompt):
    written = PromptText(prompt)
    words = missing_words(lora("x", *map(tuple, sets)) if sets else lora("x"), written)
    assert len({word.casefold() for word in words}) == len(words)
    assert not any(written.contains(word) for word in words)
