"""LoRAs that a person named outside the prompt."""

from __future__ import annotations

import pytest

from intelligence import InvalidInputError
from intelligence.generation.lora_request import named_loras, parse_selection
from intelligence.prompt import LoRATag


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", None),
        (" \n", None),
        ("[]", []),
        ('["a"]', [LoRATag("a")]),
        ('[{"lora": "a", "strength": -0.5}]', [LoRATag("a", -0.5)]),
        ('[{"lora": "a", "strength": null}, {"lora": "b", "strength_clip": 0}]', [LoRATag("a"), LoRATag("b", 1.0, 0)]),
        ('[["a", 0.5, 0.25]]', [LoRATag("a", 0.5, 0.25)]),
    ],
)
def test_selections(text: str, named: list[LoRATag] | None) -> None:
    assert parse_selection(text) == named


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "nonsense",
        "[1]",
        '[{"name": "a"}]',
        '[{"lora": "a", "strength": "1"}]',
        '[{"lora": "a", "strength": NaN}]',
        '[{"lora": "a", "strength": 1e9}]',
        '[{"lora": "a", "strength": true}]',
        "[" * 100_000,
        "null",
    ],
)
def test_bad_selections(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_selection(text)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (["a"], [LoRATag("a")]),
        ({"a": 0.5}, [LoRATag("a", 0.5)]),
        ([("a.safetensors", 0.5, 0.4)], [LoRATag("a.safetensors", 0.5, 0.4)]),
        ([], []),
    ],
)
def test_python_arguments(value: object, named: list[LoRATag]) -> None:
    assert named_loras(value) == named


@pytest.mark.parametrize("value", ["a", 7, [None], {"a": "b"}])
def test_bad_python_arguments(value: object) -> None:
    with pytest.raises(InvalidInputError):
        named_loras(value)
