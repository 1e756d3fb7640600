"""Read traits of a LoRA from its record: a style, a slider, the strengths of its example prompts, its CivitAI ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from ...config import MAX_LORA_STRENGTH
from ...models import ExamplePrompt, LoRAKind, ModelMetadata
from .tokens import digest, tokens

MAX_CHOSEN_STRENGTH = 2.0
"""Bound of a strength that is chosen (not named by the user), either sign; a slider's bound is its range."""
MIN_NEGATIVE_SHARE = 0.2
"""Share of example prompts with a negative strength from which a LoRA counts as a slider."""

_STYLE = frozenset(("style", "estilo"))
_SLIDER = frozenset(("slider", "sliders"))
_CIVITAI_IDS = re.compile(r"(\d{1,16}):(\d{1,16})")


def is_style(model: ModelMetadata) -> bool:
    """Return whether the LoRA is there for a look."""
    if model.lora_kind is not LoRAKind.UNKNOWN:
        return model.lora_kind is LoRAKind.STYLE
    return any(_STYLE & set(tokens(text)) for text in (model.name, *(w for s in model.trigger_sets for w in s.words)))


def is_slider(model: ModelMetadata) -> bool:
    """Return whether the LoRA is applied at either sign: called a slider, with such a range set, or so used."""
    texts = chain((model.name, model.title), model.tags)
    if any(_SLIDER & set(tokens(text)) for text in texts if "slider" in text.lower()):
        return True
    if not model.strength_from_text and model.strength_range is not None and min(model.strength_range) < 0:
        return True
    used = [strength for _, strength in used_strengths(model, MAX_LORA_STRENGTH)]
    return bool(used) and sum(strength < 0 for strength in used) >= MIN_NEGATIVE_SHARE * len(used)


def used_strengths(model: ModelMetadata, bound: float) -> list[tuple[ExamplePrompt, float]]:
    """Return the example prompts that say at which strength they apply the LoRA, with that strength.

    Args:
        bound: largest magnitude of a strength that counts.
    """
    return [
        (example, example.weight)
        for example in model.example_prompts
        if example.weight is not None and 0 < abs(example.weight) <= bound
    ]


def civitai_ids(model: ModelMetadata) -> tuple[int | None, int | None]:
    """CivitAI's ids of the model and of its version; None where they are not known."""
    found = _CIVITAI_IDS.fullmatch(model.source_id or "")
    return (int(found[1]), int(found[2])) if found else (None, None)


@dataclass(frozen=True)
class StrengthTraits:
    """Parts of a LoRA's record that its strength rests on."""

    model: ModelMetadata
    is_slider: bool
    used: Sequence[tuple[ExamplePrompt, float]]
    """Example prompts with the strengths that they use, within ±10."""
    civitai_id: int | None
    version: int | None
    """CivitAI's id of its version."""
    creator: int
    """`digest` of its creator's name, 0 where that is not known."""


def strength_traits(model: ModelMetadata) -> StrengthTraits:
    """Return what the strength of a LoRA rests on."""
    used, slider, ids = used_strengths(model, MAX_LORA_STRENGTH), is_slider(model), civitai_ids(model)
    return StrengthTraits(model, slider, used, *ids, int(digest([model.creator])[0]) if model.creator else 0)
