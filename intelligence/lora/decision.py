"""From a ranking to a set: one LoRA per subject, one style, one version, within the limits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..config import LoRAPreferences
from ..models import LoRAKind, ModelMetadata
from ..prompt import load_vocabulary
from ..records import Reason
from .recommendation import RejectedLoRA
from .search.tokens import Query, is_common, is_meta, tokens
from .search.traits import civitai_ids, is_style
from .strength import LEAST_SHARE, bound, shares

SAME_NAME = 0.75
"""Overlap of the telling name words (Jaccard) from which two LoRAs count as versions of one."""
AS_SURE = 0.05
"""How much less sure a newer version may be and still be taken in place of an older one."""

_VERSION = re.compile(r"(?<![a-z])v\.?\s?(\d+(?:[._]\d+)*)(?![\d])|(?<=[a-z_\- ])(\d+(?:\.\d+)*)$", re.IGNORECASE)

_Phrases = frozenset[tuple[str, ...]]


@dataclass(frozen=True)
class Candidate:
    """One LoRA of a ranking."""

    model: ModelMetadata
    confidence: float
    words: frozenset[str]
    """Telling tokens of the prompt that speak for it."""

    @cached_property
    def identity(self) -> Identity:
        return Identity(self.model)


def select(
    ranked: Sequence[Candidate],
    named: Sequence[tuple[ModelMetadata, float]],
    asked: Query,
    limits: LoRAPreferences,
) -> tuple[list[Candidate], list[RejectedLoRA]]:
    """Those to apply, best first, and those that are not, each with the reason.

    Args:
        ranked: LoRAs that may be applied, best first.
        named: the LoRAs that the user put in, with their strengths: they stay, and count towards `limits.max_loras`.
        asked: the prompt's words.
    """
    chosen: list[Candidate] = []
    rejected: list[RejectedLoRA] = []
    put_in = {model.model_id for model, _ in named}
    taken = [_Taken(model, _named_words(model, asked), Identity(model)) for model, _ in named]
    strengths = [abs(strength) for model, strength in named if shares(model)]
    others = [item for item in ranked if item.model.model_id not in put_in]
    sure = [item for item in others if item.confidence >= limits.min_confidence]
    for candidate in (*newest(sure), *(item for item in others if item.confidence < limits.min_confidence)):
        reason = _objection(candidate, taken, limits) or _no_room(candidate.model, chosen, strengths)
        if reason is None:
            chosen.append(candidate)
            taken.append(_Taken(candidate.model, candidate.words, candidate.identity))
        else:
            rejected.append(RejectedLoRA(candidate.model.name, Reason("lora", reason, round(candidate.confidence, 3))))
    return chosen, rejected


def newest(ranked: Sequence[Candidate]) -> list[Candidate]:
    """`ranked`, where the newest of a LoRA's versions takes the place of one that is hardly surer."""
    rest = [*ranked]
    ordered = []
    while rest:
        best, least = 0, rest[0].confidence - AS_SURE
        for number, item in enumerate(rest):
            if item.confidence >= least and item.identity.is_version_of(rest[best].identity):
                best = number if item.identity.is_newer_than(rest[best].identity) else best
        ordered.append(rest.pop(best))
    return ordered


def is_version(one: ModelMetadata, other: ModelMetadata) -> bool:
    """Whether two files are the same LoRA, or versions of one."""
    return Identity(one).is_version_of(Identity(other))


class Identity:
    """What tells whether two files are one LoRA."""

    def __init__(self, model: ModelMetadata) -> None:
        self.model, self.sha256, self.creator = model, model.sha256, model.creator
        self.number, self.version = civitai_ids(model)
        self.written_version = _version(model.name)
        self.name = frozenset(word for word in tokens(model.name) if not is_meta(word))

    @cached_property
    def triggers(self) -> _Phrases:
        return _triggers(self.model)

    @cached_property
    def telling(self) -> bool:
        """Whether its trigger words are more than a dictionary has: names, invented words."""
        known = load_vocabulary().english
        return any(not is_meta(w) and (w,) not in known for phrase in self.triggers for w in phrase)

    def is_version_of(self, other: Identity) -> bool:
        if self.sha256 is not None and self.sha256 == other.sha256:
            return True
        if self.number is not None and other.number is not None:
            return self.number == other.number
        together = self.name | other.name
        overlap = len(self.name & other.name) / len(together) if together else 0.0
        if overlap >= SAME_NAME:
            return True
        related = overlap > 0 or (self.creator is not None and self.creator == other.creator)
        return related and self.triggers == other.triggers and self.telling

    def is_newer_than(self, other: Identity) -> bool:
        if self.version is not None and other.version is not None:
            return self.version > other.version
        return self.written_version > other.written_version


class _Taken:
    """A LoRA of the set, and what the prompt says of it."""

    def __init__(self, model: ModelMetadata, words: Iterable[str], identity: Identity) -> None:
        self.model = model
        self.words = frozenset(words)
        self.is_style = is_style(model)
        self.identity = identity


def _objection(candidate: Candidate, taken: Sequence[_Taken], limits: LoRAPreferences) -> str | None:
    model = candidate.model
    if candidate.confidence < limits.min_confidence:
        return f"not sure enough: confidence {candidate.confidence:.3g}, {limits.min_confidence:g} is asked for"
    for other in taken:
        if candidate.identity.is_version_of(other.identity):
            return f"a version of {other.model.name}, which is applied already"
    style = next((other.model.name for other in taken if other.is_style), None) if is_style(model) else None
    if style is not None and not limits.allow_style_mixing:
        return f"a second style beside {style}; styles are not mixed unless that is allowed"
    if style is None and (serving := _serving(candidate, taken)):
        return f"what the prompt says of it is served by {', '.join(serving)}"
    if len(taken) >= limits.max_loras:
        return f"the limit of {limits.max_loras} LoRA{'s' * (limits.max_loras != 1)} is reached"
    return None


def _serving(candidate: Candidate, taken: Sequence[_Taken]) -> list[str]:
    """The LoRAs that show what the prompt has of this one; a second character needs words of its own that name it."""
    words = candidate.words
    if candidate.model.lora_kind is LoRAKind.CHARACTER:
        characters = [other for other in taken if other.model.lora_kind is LoRAKind.CHARACTER]
        own = words & _naming(candidate.model)
        if characters and own <= frozenset().union(*(other.words for other in characters)):
            return sorted(other.model.name for other in characters)
    if not words or not words <= frozenset().union(*(other.words for other in taken)):
        return []
    return sorted(other.model.name for other in taken if words & other.words)


def _no_room(model: ModelMetadata, chosen: Sequence[Candidate], named: Sequence[float]) -> str | None:
    if not named or not shares(model):
        return None
    sharing = 1 + sum(shares(candidate.model) for candidate in chosen)
    if bound(len(named) + sharing) - sum(named) >= LEAST_SHARE * sharing:
        return None
    return f"the strengths that you gave, {sum(named):g} together, leave no room for it"


def _named_words(model: ModelMetadata, asked: Query) -> set[str]:
    """What the prompt says of a LoRA that it names by a tag."""
    known = _naming(model) | {word for phrase in _triggers(model) for word in phrase}
    return {word for word in known & asked.tokens if not is_common(word)}


def _naming(model: ModelMetadata) -> frozenset[str]:
    """The words that name what a LoRA shows: its name, its title, and the first phrase of each trigger set."""
    first = (trigger.words[0] for trigger in model.trigger_sets if trigger.words)
    return frozenset(word for text in (model.name, model.title, *first) for word in tokens(text) if not is_meta(word))


def _triggers(model: ModelMetadata) -> _Phrases:
    return frozenset(key for trigger in model.trigger_sets for word in trigger.words if (key := tokens(word)))


def _version(name: str) -> tuple[int, ...]:
    """`witch_v1.5` → (1, 5); a name without a number is the first version."""
    found = _VERSION.search(name)
    return tuple(int(part) for part in re.split(r"[._]", found[1] or found[2])) if found else (1,)
