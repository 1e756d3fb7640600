"""The prompts that are encoded."""

import pytest

from intelligence.lora import LoRARecommendation, weave
from intelligence.prompt import PromptAnalyzer
from intelligence.registry import ModelMetadata

PONY = ("score_9", "score_8_up")
ILLUSTRIOUS = ("masterpiece", "best quality")


def with_words(*words):
    metadata = ModelMetadata("lora:x", "x")
    return LoRARecommendation("x", metadata, 0.9, 0.8, trigger_words=words)


def woven(prompt, *loras, negative="", **options):
    return weave(PromptAnalyzer().analyze(prompt, negative), loras, **options)


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
    ],
)
def test_trigger_words(prompt, words, expected):
    assert woven(prompt, with_words(*words)).prompt == expected


@pytest.mark.parametrize(
    "prompt, tags, front, expected",
    [
        ("a cat", PONY, True, "score_9, score_8_up, a cat"),
        ("score_9, a cat", PONY, True, "score_8_up, score_9, a cat"),
        ("a cat", ILLUSTRIOUS, False, "a cat, masterpiece, best quality"),
        ("a cat, (Masterpiece:1.2), best quality", ILLUSTRIOUS, False, "a cat, (Masterpiece:1.2), best quality"),
    ],
)
def test_quality_tags(prompt, tags, front, expected):
    assert woven(prompt, quality_tags=tags, quality_front=front).prompt == expected


def test_the_negative_prompt():
    result = woven("a cat", negative="lowres, <lora:x:1>, ugly", negative_hints=("lowres", "bad anatomy"))
    assert result.negative_prompt == "lowres, ugly, bad anatomy"
    assert [reason.what for reason in result.reasons] == ["negative prompt"]


def test_nothing_to_add_leaves_the_prompt_as_it_is():
    prompt = "a  (cat:1.2) ,\n dog, "
    result = woven(prompt)
    assert (result.prompt, result.negative_prompt, result.reasons) == (prompt, "", ())


def test_weaving_twice_adds_nothing():
    once = woven("a cat", with_words("zorblax"), quality_tags=ILLUSTRIOUS)
    assert woven(once.prompt, with_words("zorblax"), quality_tags=ILLUSTRIOUS).prompt == once.prompt
