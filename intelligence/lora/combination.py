"""From candidates to a set: one LoRA per subject, one style, one version, within the limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..config import LoRAPreferences
from ..models import LoRAKind, ModelMetadata
from ..records import Reason, Source
from .candidates import Candidate
from .lora_messages import LoRAMessage
from .search.tokens import Query, is_common, is_meta, tokens
from .search.traits import Identity, is_style
from .strength import MIN_STRENGTH_ROOM, Named, counts_towards_total, max_total

NEWER_MARGIN = 0.05
"""Confidence by which a newer version may be less sure and still be taken in place of an older one."""


def select(
    ranked: Sequence[Candidate], named: Named, query: Query, limits: LoRAPreferences
) -> tuple[list[Candidate], list[tuple[Candidate, Reason]]]:
    """Return the LoRAs to apply, best first, and those that are not, each with the reason.

    Args:
        ranked: LoRAs that may be applied, best first.
        named: the LoRAs that the user named, with their strengths: they stay, and count towards `limits.max_loras`.
        query: the prompt's words.
    """
    chosen: list[Candidate] = []
    rejected: list[tuple[Candidate, Reason]] = []
    taken = [Candidate(model, 1.0, _named_words(model, query)) for model, *_ in named]
    named_ids = {model.model_id for model, *_ in named}
    strengths = [abs(strength) for model, strength, *_ in named if counts_towards_total(model)]
    others = [item for item in ranked if item.model.model_id not in named_ids]
    sure = [item for item in others if item.confidence >= limits.min_confidence]
    for candidate in (*newest(sure), *(item for item in others if item.confidence < limits.min_confidence)):
        objection = _objection(candidate, taken, limits) or _no_room(candidate.model, chosen, strengths)
        if objection is None:
            chosen.append(candidate)
            taken.append(candidate)
        else:
            reason = replace(objection, weight=round(min(1.0, max(0.0, candidate.confidence)), 3))
            rejected.append((candidate, reason))
    return chosen, rejected


def newest(ranked: Sequence[Candidate]) -> list[Candidate]:
    """Return `ranked`, where the newest of a LoRA's versions takes the place of one that is hardly surer."""
    rest = [*ranked]
    ordered = []
    while rest:
        best, least = 0, rest[0].confidence - NEWER_MARGIN
        for number, item in enumerate(rest):
            if item.confidence >= least and item.identity.is_version_of(rest[best].identity):
                best = number if item.identity.is_newer_than(rest[best].identity) else best
        ordered.append(rest.pop(best))
    return ordered


def _objection(candidate: Candidate, taken: Sequence[Candidate], limits: LoRAPreferences) -> Reason | None:
    if candidate.confidence < limits.min_confidence:
        confidence, minimum = max(0.0, candidate.confidence), limits.min_confidence
        if candidate.relevance >= minimum and candidate.ratings is not None:
            return replace(candidate.ratings, setting="lora")
        return Reason.of("lora", Source.PROMPT, LoRAMessage.NOT_CONFIDENT, confidence=confidence, minimum=minimum)
    for other in taken:
        if candidate.identity.is_version_of(other.identity):
            return Reason.of("lora", Source.LORA, LoRAMessage.SAME_LORA, other=other.model.name)
    styles = [other.model.name for other in taken if is_style(other.model)] if is_style(candidate.model) else []
    if styles and not limits.allow_style_mixing:
        return Reason.of("lora", Source.USER, LoRAMessage.SECOND_STYLE, other=styles[0])
    if not styles and (covering := _covering(candidate, taken)):
        return Reason.of("lora", Source.LORA, LoRAMessage.COVERED, others=", ".join(covering))
    if len(taken) >= limits.max_loras:
        message = LoRAMessage.LIMIT_ONE if limits.max_loras == 1 else LoRAMessage.LIMIT
        return Reason.of("lora", Source.USER, message, count=limits.max_loras)
    return None


def _covering(candidate: Candidate, taken: Sequence[Candidate]) -> list[str]:
    """The LoRAs that show what the prompt has of this one; a second character needs words of its own that name it."""
    words = candidate.words
    if candidate.model.lora_kind is LoRAKind.CHARACTER:
        characters = [other for other in taken if other.model.lora_kind is LoRAKind.CHARACTER]
        own = words & _naming_words(candidate.model)
        if characters and own <= frozenset().union(*(other.words for other in characters)):
            return sorted(other.model.name for other in characters)
    if not words or not words <= frozenset().union(*(other.words for other in taken)):
        return []
    return sorted(other.model.name for other in taken if words & other.words)


def _no_room(model: ModelMetadata, chosen: Sequence[Candidate], named: Sequence[float]) -> Reason | None:
    if not named or not counts_towards_total(model):
        return None
    sharing = 1 + sum(counts_towards_total(candidate.model) for candidate in chosen)
    if max_total(len(named) + sharing) - sum(named) >= MIN_STRENGTH_ROOM * sharing:
        return None
    return Reason.of("lora", Source.USER, LoRAMessage.NO_ROOM, total=sum(named))


def _named_words(model: ModelMetadata, query: Query) -> frozenset[str]:
    """Words of the prompt that speak for a LoRA that it names by a tag."""
    known = _naming_words(model) | {word for phrase in Identity(model).triggers for word in phrase}
    return frozenset(word for word in known & query.tokens if not is_common(word))


def _naming_words(model: ModelMetadata) -> frozenset[str]:
    """The words that name what a LoRA shows: its name, its title, and the first phrase of each trigger set."""
    first = (trigger.words[0] for trigger in model.trigger_sets if trigger.words)
    return frozenset(word for text in (model.name, model.title, *first) for word in tokens(text) if not is_meta(word))
