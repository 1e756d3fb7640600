"""A1111's text with names and prompts that trip readers, held against their rules."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelligence.pictures.a1111_text import UsedModel, a1111_text, lora_tag, parse_a1111, quoted

from .witnesses import a1111, civitai

pytestmark = pytest.mark.unit

SETTINGS = {
    "Steps": 20,
    "Sampler": "DPM++ 2M",
    "CFG scale": "7",
    "Seed": 5,
    "Size": "64x96",
    "Model hash": "abcdef0123",
}
MODEL = UsedModel("juggernaut.v9.rundiffusion", "abcdef0123", version_id=456)

NAMES = (
    "plain_name-1.5",
    "with space",
    "comma, in it",
    "a}b{c]d[e",
    "sparkle ✨ 日本",
    "Steps: 99, Seed: 1",
    'quote"d',
    "a, Hashes: {x}",
)

PROMPTS = (
    "a fox",
    'a "quoted" fox, (snow:1.2)\nsecond line',
    "Steps: 99, Sampler: Euler, CFG scale: 3, Seed: 9\na fox",
    "a fox\n  Steps: 99, Seed: 1",
    "a sign that says Negative prompt: none",
    "a fox\nNegative prompt: cats",
    "a fox\nTemplate: x\nNegative Template: y",
    "日本の狐, Ünïcode ß",
)


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("negative", ["", "blurry: very, low quality", "Steps: 3\nNegative prompt: x"])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_prompts_come_back_in_every_reader(prompt: str, negative: str) -> None:
    text = a1111_text(prompt, negative, SETTINGS)
    ours, theirs, shown = parse_a1111(text), a1111(text), civitai(text)
    assert {words(each) for each in (ours.prompt, theirs["Prompt"], shown["prompt"])} == {words(prompt)}
    assert {words(each) for each in (ours.negative_prompt, theirs["Negative prompt"], shown["negative"])} == {
        words(negative)
    }
    for found in (ours.settings, theirs, shown):
        assert {name: found[name] for name in SETTINGS} == {name: str(value) for name, value in SETTINGS.items()}


@pytest.mark.parametrize("weight", [0.8, -0.5, 0.00001, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_loras_are_found_under_any_name(name: str, weight: float) -> None:
    loras = [UsedModel(name, "0123456789ab", weight, 77), UsedModel("other", "ba9876543210", 0.5)]
    text = a1111_text("a fox", "blurry", {**SETTINGS, "Model": MODEL.name}, MODEL, loras)
    theirs, shown = a1111(text), civitai(text)
    in_tag = name.replace(":", "")
    assert theirs["loras"] == {in_tag: round(weight, 4), "other": 0.5}
    assert {name: theirs[name] for name in SETTINGS} == {name: str(value) for name, value in SETTINGS.items()}
    assert theirs["Model"] == shown["Model"] == MODEL.name
    assert shown["hashes"].items() >= {"model": "abcdef0123", f"lora:{name}": "0123456789ab"}.items()
    assert shown["hashes"]["lora:other"] == "ba9876543210"
    assert shown["resources"] == [
        {"type": "checkpoint", "modelVersionId": 456},
        {"type": "lora", "weight": weight, "modelVersionId": 77},
    ]
    assert "ba9876543210" in theirs["Lora hashes"]
    settings = parse_a1111(text).settings
    assert {each: settings[each] for each in SETTINGS} == {each: str(value) for each, value in SETTINGS.items()}


def test_note_closes_the_settings() -> None:
    assert a1111_text("a", "", SETTINGS, note="hash not known yet").endswith("Note: hash not known yet")


@pytest.mark.parametrize("negative", ["", " ", "\n"])
def test_empty_negative_prompt_has_no_line(negative: str) -> None:
    assert len(a1111_text("a", negative, SETTINGS).splitlines()) == 2


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("a, b", '"a, b"'),
        ("a: b", '"a: b"'),
        ('say "x"', '"say \\u0022x\\u0022"'),
        ("a\\b", "a\\b"),
    ],
)
def test_quoted_as_in_a1111(value: str, written: str) -> None:
    assert quoted(value) == written


def test_parse_a1111_without_settings() -> None:
    found = parse_a1111("a fox\nNegative prompt: blurry")
    assert (found.prompt, found.negative_prompt, found.settings) == ("a fox", "blurry", {})


@pytest.mark.parametrize("name", ['"Steps: 3, Seed: 9', 'a "b" c', 'back\\slash, "x', "a, b: c"])
def test_model_of_any_name_blanks_nothing(name: str) -> None:
    text = a1111_text("a fox", "", {**SETTINGS, "Model": name, "Clip skip": 2}, UsedModel(name, "abcdef0123"))
    theirs, shown = a1111(text), civitai(text)
    assert theirs["Model"] == parse_a1111(text).settings["Model"] == name
    expected = {**{each: str(value) for each, value in SETTINGS.items()}, "Clip skip": "2"}
    assert {each: theirs[each] for each in expected} == expected
    assert {each: shown[each] for each in expected} == expected


PIECES = st.sampled_from(
    [
        "Steps: ",
        "\n",
        "Negative prompt:",
        "Template: ",
        "Hashes: {",
        "}",
        "]",
        '"',
        ",",
        ":",
        " ",
        "x>",
        "a",
        "\\",
        "日",
    ]
)
TEXTS = st.lists(PIECES | st.characters(codec="utf-8", exclude_characters="<"), max_size=12).map("".join)
LORA_NAMES = TEXTS.map(lambda text: " ".join(text.split())).filter(bool)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(TEXTS, TEXTS, st.dictionaries(LORA_NAMES, st.floats(-4, 4), max_size=3))
def test_any_text_comes_back(prompt: str, negative: str, loras: dict[str, float]) -> None:
    used = [UsedModel(name, f"{number:012x}", weight) for number, (name, weight) in enumerate(loras.items())]
    text = a1111_text(prompt, negative, {**SETTINGS, "Model": MODEL.name}, MODEL, used)
    ours, theirs, shown = parse_a1111(text), a1111(text), civitai(text)
    tags = "".join(f" {lora_tag(lora.name, lora.weight)}" for lora in used)
    assert {words(each) for each in (ours.prompt, theirs["Prompt"], shown["prompt"])} == {words(prompt + tags)}
    assert {words(each) for each in (ours.negative_prompt, theirs["Negative prompt"], shown["negative"])} == {
        words(negative)
    }
    for found in (ours.settings, theirs, shown):
        assert {name: found[name] for name in SETTINGS} == {name: str(value) for name, value in SETTINGS.items()}
    assert {lora.hash for lora in used} <= {*shown["hashes"].values()}
