"""The prompts that are encoded."""

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from intelligence.lora import LoRARecommendation, LoRARecommender, compose_prompts, without_added_words
from intelligence.models import LoRAKind, ModelMetadata
from intelligence.prompt import PromptAnalysis, PromptAnalyzer, parse
from tests.lora.library import Library, lora

PONY = ("score_9", "score_8_up")
ILLUSTRIOUS = ("masterpiece", "best quality")
TAGS = "masterpiece, 1girl, solo, long hair, forest, river, sunset"
CAPTION = "A girl with long hair walks along the river at sunset."


def with_words(*words, kind=LoRAKind.STYLE, name="x"):
    metadata = ModelMetadata(f"lora:{name}", name, lora_kind=kind)
    return LoRARecommendation(name, metadata, 0.9, 0.8, trigger_words=words)


def composed(prompt, *loras, negative="", **options):
    return compose_prompts(PromptAnalyzer().analyze(prompt, negative), loras, **options)


@pytest.mark.parametrize(
    "prompt, words, expected",
    [
        ("a cat", ("zorblax",), "a cat, zorblax"),
        ("a cat,", ("zorblax",), "a cat, zorblax"),
        ("A cat sleeps.", ("zorblax", "blue"), "A cat sleeps. zorblax, blue"),
        ("a Zorblax cat", ("zorblax",), "a Zorblax cat"),
        ("a cat", ("zorblax", "ZORBLAX"), "a cat, zorblax"),
        ("a cat <lora:x:1>, b", (), "a cat, b"),
        ("<lora:x:1>", ("zorblax",), "zorblax"),
        ("a", ("miku (vocaloid)",), r"a, miku \(vocaloid\)"),
        ("a", (r"miku \(vocaloid\)",), r"a, miku \(vocaloid\)"),
        ("a", ("(zorblax:1.2)",), "a, (zorblax:1.2)"),
        ("a", ("b <lora:evil:9>\nc",), "a, b c"),
        ("(a cat", ("zorblax",), "zorblax, (a cat"),
        ("a cat:1.2)", ("zorblax",), "zorblax, a cat:1.2)"),
    ],
)
def test_compose_adds_trigger_words_once(prompt, words, expected):
    assert composed(prompt, with_words(*words)).prompt == expected


@pytest.mark.parametrize(
    "prompt, kind, expected",
    [
        (TAGS, LoRAKind.CHARACTER, "masterpiece, 1girl, solo, long hair, zorblax, forest, river, sunset"),
        (TAGS, LoRAKind.CONCEPT, "masterpiece, 1girl, solo, long hair, zorblax, forest, river, sunset"),
        (TAGS, LoRAKind.STYLE, f"{TAGS}, zorblax"),
        (TAGS, LoRAKind.EFFECT, f"{TAGS}, zorblax"),
        ("forest, river, mountain, lake", LoRAKind.CHARACTER, "zorblax, forest, river, mountain, lake"),
        ("1girl, solo", LoRAKind.CHARACTER, "1girl, zorblax, solo"),
        ("1girl, (long hair, river:1.2), sea", LoRAKind.CHARACTER, "1girl, zorblax, (long hair, river:1.2), sea"),
        ("1girl,solo,river,forest", LoRAKind.CHARACTER, "1girl,solo, zorblax, river,forest"),
        (CAPTION, LoRAKind.CHARACTER, f"{CAPTION} zorblax"),
        (CAPTION, LoRAKind.STYLE, f"{CAPTION} zorblax"),
    ],
)  # fmt: skip
def test_compose_places_words_by_prompt_style(prompt, kind, expected):
    assert composed(prompt, with_words("zorblax", kind=kind)).prompt == expected


def test_compose_adds_shared_words_once_and_names_loras_by_title():
    y = with_words("Zorblax", "red", name="y")
    titled = replace(y, lora_metadata=replace(y.lora_metadata, title="The Y"))
    result = composed("a cat", with_words("zorblax", "blue"), titled)
    assert result.prompt == "a cat, zorblax, blue, red"
    assert [reason.evidence for reason in result.reasons] == [
        "added the trigger words of x: zorblax, blue",
        "added the trigger words of The Y: red",
    ]


@pytest.mark.parametrize(
    "prompt, tags, front, expected",
    [
        ("a cat", PONY, True, "score_9, score_8_up, a cat"),
        ("score_9, a cat", PONY, True, "score_8_up, score_9, a cat"),
        ("a cat", ILLUSTRIOUS, False, "a cat, masterpiece, best quality"),
        ("a cat, (Masterpiece:1.2), best quality", ILLUSTRIOUS, False, "a cat, (Masterpiece:1.2), best quality"),
        ("A cat sleeps.", ILLUSTRIOUS, False, "A cat sleeps. masterpiece, best quality"),
        ("A cat sleeps. masterpiece, best quality", ILLUSTRIOUS, False, "A cat sleeps. masterpiece, best quality"),
    ],
)
def test_compose_adds_missing_quality_tags(prompt, tags, front, expected):
    assert composed(prompt, quality_tags=tags, quality_front=front).prompt == expected


def test_compose_adds_negative_hints():
    result = composed("a cat", negative="lowres, <lora:x:1>, ugly", negative_hints=("lowres", "bad anatomy"))
    assert result.negative_prompt == "lowres, ugly, bad anatomy"
    assert [reason.setting for reason in result.reasons] == ["negative prompt"]


def test_compose_without_additions_keeps_prompt():
    prompt = "a  (cat:1.2) ,\n dog, "
    result = composed(prompt)
    assert (result.prompt, result.negative_prompt, result.reasons) == (prompt, "", ())


PROMPTS = st.text(alphabet=st.sampled_from('ab ,.!?:;()\\[]{}<>lora:1.2\n"é'), max_size=80) | st.text(
    alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=80
)
WORDS = st.lists(
    st.sampled_from(("zorblax", "mr. zorb", "miku (vocaloid)", "(blue:1.2)", "1girl", "a: b", "x_y", "<lora:z:1>", "("))
    | st.text(max_size=20),
    max_size=5,
)


@settings(max_examples=300, deadline=None)
@given(PROMPTS, WORDS, WORDS, st.sampled_from(LoRAKind), st.booleans())
@example("<lora:<lora:a:1>b:1>", [], [], LoRAKind.STYLE, False)
@example("<<<lora:" * 100 + ":1>" * 100, ["<lo<lora:x>ra:y>"], [], LoRAKind.STYLE, False)
@example("b" * 8_000 + " a" * 3_000, ["zorblax"], [], LoRAKind.STYLE, False)
@example("A cat sleeps.", [], [], LoRAKind.STYLE, False)
@example("a cat <lora:b", ["x>"], [], LoRAKind.STYLE, False)
@example("(a, (b", ["zorblax"], ["red"], LoRAKind.CHARACTER, True)
def test_compose_again_adds_nothing(prompt, words, others, kind, front):
    """Twice changes nothing, the prompt's own words keep their weights, and no tag comes in."""
    loras = (with_words(*words, kind=kind), with_words(*others, name="y"))
    options = {"quality_tags": PONY if front else ILLUSTRIOUS, "quality_front": front, "negative_hints": ("lowres",)}
    analysis = PromptAnalyzer().analyze(prompt, prompt) if prompt.strip() else PromptAnalysis(prompt, prompt)
    once = compose_prompts(analysis, loras, **options)
    again = compose_prompts(
        replace(analysis, prompt=once.prompt, text=once.prompt, negative_prompt=once.negative_prompt), loras, **options
    )
    assert (again.prompt, again.negative_prompt, again.reasons) == (once.prompt, once.negative_prompt, ())
    assert parse(once.prompt).lora_tags == parse(once.negative_prompt).lora_tags == ()
    if not analysis.lora_tags:
        weighted = [(s.text.strip(" ,\n\t"), s.weight) for s in analysis.segments if s.weight != 1]
        found = [(s.text.strip(" ,\n\t"), s.weight) for s in parse(once.prompt).segments]
        assert [item for item in weighted if item[0] and item not in found] == []


def test_without_added_words_says_that_the_prompt_lacks_them():
    model = lora("x", "zorblax", kind=LoRAKind.CHARACTER)
    analysis = PromptAnalyzer().analyze("a cat <lora:x:0.7>")
    (added,) = LoRARecommender(Library(model)).choose(analysis, "sdxl_base_1.0").chosen
    assert added.reasoning == "named by you, at 0.70; added its trigger words: zorblax"
    assert without_added_words(added).reasoning == "named by you, at 0.70; the prompt lacks its trigger words: zorblax"
