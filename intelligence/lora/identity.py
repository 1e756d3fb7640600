"""Telling whether two files are one LoRA, or versions of one."""

from __future__ import annotations

import re
from functools import cached_property

from ..models import ModelMetadata
from ..prompt import load_vocabulary
from .search.tokens import is_meta, tokens
from .search.traits import civitai_ids

MIN_NAME_OVERLAP = 0.75
"""Overlap of the telling name words (Jaccard) from which two LoRAs count as versions of one."""

_VERSION = re.compile(r"(?<![a-z])v\.?\s?(\d+(?:[._]\d+)*)(?![\d])|(?<=[a-z_\- ])(\d+(?:\.\d+)*)$", re.IGNORECASE)


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
