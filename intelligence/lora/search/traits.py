"""Read traits of a LoRA from its record: a style, a slider, strengths in example prompts, what its versions share."""

from __future__ import annotations

import re
from functools import cached_property
from itertools import chain

from ...config import MAX_LORA_STRENGTH
from ...models import ExamplePrompt, LoRAKind, ModelMetadata
from ...prompt import load_vocabulary
from .tokens import is_everyday, is_meta, tokens

MAX_CHOSEN_STRENGTH = 2.0
"""Bound of a strength that is chosen (not named by the user), either sign; a slider's bound is its range."""
MIN_NEGATIVE_SHARE = 0.2
"""Share of example prompts with a negative strength from which a LoRA counts as a slider; one prompt tells nothing."""
MIN_NAME_OVERLAP = 0.75
"""Overlap of the telling name words (Jaccard) from which two LoRAs count as versions of one."""

_STYLE = frozenset(("style", "estilo"))
_SLIDER = frozenset(("slider", "sliders"))
_CIVITAI_IDS = re.compile(r"(\d{1,16}):(\d{1,16})")
_VERSION = re.compile(r"(?<![a-z])v\.?\s?(\d+(?:[._]\d+)*)(?![\d])|(?<=[a-z_\- ])(\d+(?:\.\d+)*)$", re.IGNORECASE)


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
    return len(used) > 1 and sum(strength < 0 for strength in used) >= MIN_NEGATIVE_SHARE * len(used)


def used_strengths(model: ModelMetadata, bound: float) -> list[tuple[ExamplePrompt, float]]:
    """Return the example prompts that say at which strength they apply the LoRA, with that strength.

    Args:
        bound: largest magnitude of a strength that counts.
    """
    weighted = [(example, example.weight) for example in model.example_prompts if example.weight is not None]
    return [(example, weight) for example, weight in weighted if 0 < abs(weight) <= bound]


def civitai_ids(model: ModelMetadata) -> tuple[int | None, int | None]:
    """CivitAI's ids of the model and of its version; None where they are not known."""
    found = _CIVITAI_IDS.fullmatch(model.source_id or "")
    return (int(found[1]), int(found[2])) if found else (None, None)


def version_stem(name: str) -> frozenset[str]:
    """Return the words that versions of a LoRA share in their names; empty where none of them is rare."""
    words = frozenset(word for word in tokens(name) if not is_meta(word))
    return words if any(not is_everyday(word) for word in words) else frozenset()


class Identity:
    """Hashes, CivitAI ids, name and trigger words of a LoRA, as versions of it share them."""

    def __init__(self, model: ModelMetadata) -> None:
        self.model, self.sha256, self.creator = model, model.sha256, model.creator
        self.civitai_id, self.version = civitai_ids(model)
        self.version_in_name = _version_in(model.name)
        self.name = frozenset(word for word in tokens(model.name) if not is_meta(word))

    @cached_property
    def triggers(self) -> frozenset[tuple[str, ...]]:
        """The tokens of each of its trigger phrases."""
        words = (word for trigger in self.model.trigger_sets for word in trigger.words)
        return frozenset(phrase for word in words if (phrase := tokens(word)))

    @cached_property
    def has_invented_trigger(self) -> bool:
        """Return whether its trigger words are more than a dictionary has: names, invented words."""
        known = load_vocabulary().english
        return any(not is_meta(w) and (w,) not in known for phrase in self.triggers for w in phrase)

    def is_version_of(self, other: Identity) -> bool:
        """Return whether both are one LoRA, or versions of one."""
        if self.sha256 is not None and self.sha256 == other.sha256:
            return True
        if self.model.digest is not None and self.model.digest == other.model.digest:
            return True
        if self.civitai_id is not None and other.civitai_id is not None:
            return self.civitai_id == other.civitai_id
        union = self.name | other.name
        overlap = len(self.name & other.name) / len(union) if union else 0.0
        if overlap >= MIN_NAME_OVERLAP:
            return True
        related = overlap > 0 or (self.creator is not None and self.creator == other.creator)
        return related and self.triggers == other.triggers and self.has_invented_trigger

    def is_newer_than(self, other: Identity) -> bool:
        """Return whether this version has the higher number, on CivitAI or else in its name."""
        if self.version is not None and other.version is not None:
            return self.version > other.version
        return self.version_in_name > other.version_in_name


def _version_in(name: str) -> tuple[int, ...]:
    """`witch_v1.5` → (1, 5); a name without a number is the first version."""
    found = _VERSION.search(name)
    return tuple(int(part) for part in re.split(r"[._]", found[1] or found[2])) if found else (1,)
