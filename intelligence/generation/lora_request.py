"""LoRAs that a person named outside the prompt: a confirmed selection (JSON), a LORA_STACK, or a Python argument."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ..config import MAX_LORA_STRENGTH, is_number
from ..errors import InvalidInputError
from ..prompt import LoRATag

DEFAULT_STRENGTH = 1.0


def parse_selection(text: str) -> list[LoRATag] | None:
    """Read the confirmed selection of a workflow: JSON, a list of names or of
    `{"lora": name, "strength": s, "strength_clip": s}`. Empty text: nothing was confirmed (None); `[]`: no LoRA was.

    Raises InvalidInputError for anything else.
    """
    if not text.strip():
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, list):
        raise InvalidInputError('selection must be JSON like [{"lora": "name", "strength": 0.8}], [] or empty')
    return [_tag(item) for item in data]


def named_loras(value: object) -> list[LoRATag]:
    """LoRAs as callers pass them: names, `{name: strength}`, or (name, strength[, strength_clip]) rows (LORA_STACK).

    Raises InvalidInputError.
    """
    if isinstance(value, Mapping):
        return [_tag((name, strength)) for name, strength in value.items()]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_tag(item) for item in value]
    raise InvalidInputError(f"loras must be a list of names or a mapping of name to strength, got {value!r}")


def _tag(item: object) -> LoRATag:
    if isinstance(item, str):
        item = {"lora": item}
    elif isinstance(item, Sequence):
        item = dict(zip(("lora", "strength", "strength_clip"), item, strict=False))
    if not isinstance(item, Mapping) or not isinstance(item.get("lora"), str):
        raise InvalidInputError(f"a selected LoRA needs a name, got {item!r}")
    strength, clip = item.get("strength", DEFAULT_STRENGTH), item.get("strength_clip")
    for value in (strength, clip):
        if value is not None and not (is_number(value) and abs(value) <= MAX_LORA_STRENGTH):
            raise InvalidInputError(
                f"{item['lora']}: strength must be a number from -{MAX_LORA_STRENGTH:g} to {MAX_LORA_STRENGTH:g}, "
                f"got {value!r}"
            )
    return LoRATag(item["lora"], DEFAULT_STRENGTH if strength is None else float(strength), clip)
