"""Choose how strongly LoRAs are applied, from what is known of their use.

A strength is the weighted median of what is known: what is usual for the LoRA's kind, what example prompts use, what
its creator's other LoRAs are used at, and what its description says. The same strength holds for the UNet and the text
encoders: of 71,528 `<lora:…>` tags in the example prompts of 7,955 CivitAI records 8 tell the two apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..config import MAX_LORA_STRENGTH
from ..models import LoRAKind, ModelMetadata
from ..records import Reason, Source
from .lora_messages import LoRAMessage
from .recommendation import NamedLoRA
from .search.documents import Listed
from .search.index import LoRAs
from .search.tokens import Query, digest, is_meta, tokens
from .search.traits import MAX_CHOSEN_STRENGTH, civitai_ids, is_slider, used_strengths

SPEED_STRENGTH = 1.0
"""Strength at which the makers of LCM-LoRA, SDXL-Lightning, Hyper-SD and DMD2 apply their LoRAs (their model cards)."""
KIND_STRENGTH = {
    LoRAKind.CHARACTER: (0.8, 0.8),
    LoRAKind.STYLE: (0.9, 0.8),
    LoRAKind.CONCEPT: (0.9, 0.8),
    LoRAKind.EFFECT: (0.75, 0.6),
    LoRAKind.SPEED: (SPEED_STRENGTH, SPEED_STRENGTH),
    LoRAKind.UNKNOWN: (0.9, 0.8),
}
"""Median strength of a LoRA used alone, and of one used beside others.

From 23,213 example prompts of CivitAI's LoRAs with even numbers (dfanr/CivitaiModelList, 2023, SD 1.5)."""
SLIDER_STRENGTH = 1.0
"""A slider's unit of training (Gandikota et al., Concept Sliders, arXiv 2311.12092), where nothing else is known."""

KIND_WEIGHT, CREATOR_WEIGHT, DESCRIPTION_WEIGHT = 0.25, 0.6, 0.5
"""Weight of each source beside an example prompt, which counts 1, …"""
SAME_VERSION_FACTOR, SAME_STATE_FACTOR, SAME_KIND_FACTOR = 2.0, 3.0, 2.0
"""… or more: of the same version, as alone or stacked as here; of a creator's LoRAs, of the same kind."""
OWN_FACTOR = 4.0
"""A picture that the user made beside an example prompt of others: strengths are a habit of people."""
LIKE_FACTOR = 30.0
"""… and more by the square of its prompt's overlap with the one at hand: with ten prompts of a LoRA known, the error
falls from .068 to .055 (even numbers, and .072 to .063 on odd ones, as above)."""
HALF_WEIGHT_DISTANCE = 2000.0
"""CivitAI ids apart at which a creator's other LoRA counts half: usage changes over time."""
ENOUGH_EXAMPLES = 4
"""Example prompts from which the creator's other LoRAs do not count."""

MAX_TOTALS = (2.0, 2.6, 2.6, 3.3)
"""Bound of the summed strengths of two, three, four, and five LoRAs or more; what is chosen gives way to what is named.

Nine of ten example prompts with so many LoRAs stay within it (even numbers, as above)."""
MIN_STRENGTH_ROOM = 0.3
"""Room that a chosen LoRA needs below the bound."""
MAX_ALONE = 1.3
"""Strength above which one example prompt alone tells nothing: of 31,026 tags (even numbers) 0.6 % exceed it."""
MIN_RANGE_EXAMPLES = 3
"""Example prompts from which they tell a useful range."""

USUAL_MESSAGES = {
    (False, False): LoRAMessage.STRENGTH_USUAL,
    (False, True): LoRAMessage.STRENGTH_USUAL_BESIDE,
    (True, False): LoRAMessage.STRENGTH_USUAL_UNKNOWN,
    (True, True): LoRAMessage.STRENGTH_USUAL_UNKNOWN_BESIDE,
}
"""Sentence for a strength that rests on the kind alone: (kind not known, beside others)."""
STATES = (False, True, None)
"""Meaning of `UsageHistory.stacked`: 0, 1 and −1."""

_LESS = frozenset(("less", "no", "without", "fewer", "little", "low", "reduced", "minimal", "menos", "sin"))
_SIGNED = (
    (-1.0, re.compile(r"\bnegative\b|\bminus\b|(?<!\w)-\s?\d", re.IGNORECASE)),
    (1.0, re.compile(r"\bpositive\b|\bplus\b|(?<!\w)\+\s?\d", re.IGNORECASE)),
)
_CLAUSE = re.compile(r"[\n.;,()]+(?!\d)")


EXAMPLE_MESSAGES = {
    True: (LoRAMessage.OWN_STRENGTH, LoRAMessage.OWN_STRENGTHS, LoRAMessage.OWN_STRENGTH_RANGE),
    False: (LoRAMessage.EXAMPLE_STRENGTH, LoRAMessage.EXAMPLE_STRENGTHS, LoRAMessage.EXAMPLE_STRENGTH_RANGE),
}
"""The user's own pictures or not → sentence for one strength, for several equal ones, for a range."""


class WeightedStrength(NamedTuple):
    """A strength that was used, and how much it counts."""

    strength: float
    weight: float
    own: bool = False
    """True where the user used it."""


class LearnedStrengths(Protocol):
    """Strengths as ratings see them."""

    def strength(self, model_id: str, usual: float) -> tuple[float, Reason] | None:
        """Return a better strength than the usual one, with its reason; None: nothing better is known."""


Named = Sequence[tuple[ModelMetadata, float] | NamedLoRA]
"""LoRAs that the user named, with their strengths."""


@dataclass(frozen=True)
class Strength:
    """A strength, its useful range (None: not known), and why; the first reason names the strength itself."""

    value: float
    limits: tuple[float, float] | None
    reasons: tuple[Reason, ...]


class Strengths:
    """Strengths of LoRAs, by the usage in a library.

    Args:
        models: the library.
        loras: what the index holds of them, in the same order.
    """

    def __init__(self, models: Sequence[Listed], loras: LoRAs) -> None:
        self._models, self._loras = models, loras

    def alone(
        self, model: ModelMetadata, query: Query | None = None, learned: LearnedStrengths | None = None
    ) -> Strength:
        """Return the strength of a LoRA that is applied alone.

        Args:
            query: the prompt's words, which say in which direction a slider is moved.
            learned: what ratings say of strengths.
        """
        return self._strength(model, False, query, learned)

    def together(
        self,
        models: Sequence[ModelMetadata],
        named: Named = (),
        query: Query | None = None,
        learned: LearnedStrengths | None = None,
    ) -> list[Strength]:
        """Return the strengths of LoRAs that are applied with each other and with those that the user named.

        The strengths of all, sliders and speed LoRAs aside, sum to no more than `max_total` of their number, and to no
        more than the named ones' sum where that is larger.
        """
        taken = [abs(strength) for model, strength, *_ in named if counts_towards_total(model)]
        lowering = [number for number, model in enumerate(models) if counts_towards_total(model)]
        sharing = len(taken) + len(lowering)
        found = [
            self._strength(model, sharing > 1 and number in lowering, query, learned)
            for number, model in enumerate(models)
        ]
        room = max(0.0, max_total(sharing) - sum(taken))
        total = sum(abs(found[number].value) for number in lowering)
        if total <= room or sharing < 2:
            return found
        for number in lowering:
            found[number] = _lowered(found[number], room / total, sharing)
        return found

    def _strength(
        self, model: ModelMetadata, stacked: bool, query: Query | None, learned: LearnedStrengths | None
    ) -> Strength:
        if model.lora_kind is LoRAKind.SPEED and model.strength is None:
            return Strength(SPEED_STRENGTH, None, (_at(SPEED_STRENGTH, Source.LORA, LoRAMessage.STRENGTH_SPEED),))
        if is_slider(model):
            return _slider(model, query)
        used = example_strengths(model, stacked, query)
        limits = _limits(model, used)
        if not model.strength_from_text and (model.strength is not None or model.strength_range is not None):
            preset = model.strength if model.strength is not None else sum(model.strength_range or ()) / 2
            value = _bounded(preset)
            return Strength(value, limits, (_at(value, Source.USER, LoRAMessage.STRENGTH_PRESET),))
        known = [*used, WeightedStrength(KIND_STRENGTH[model.lora_kind][stacked], KIND_WEIGHT)]
        evidence: list[Reason] = []
        for own in (True, False):
            if some := [one for one in used if one.own is own]:
                low, high = min(some).strength, max(some).strength
                one, same, others = EXAMPLE_MESSAGES[own]
                message = one if len(some) == 1 else same if low == high else others
                source = Source.LEARNED if own else Source.LORA
                evidence.append(_evidence(source, message, count=len(some), low=low, high=high))
        if model.strength is not None and model.strength > 0:
            known.append(WeightedStrength(model.strength, DESCRIPTION_WEIGHT))
            evidence.append(_evidence(Source.LORA, LoRAMessage.DESCRIBED_STRENGTH, strength=model.strength))
        if len(used) < ENOUGH_EXAMPLES and (usual := self._creator_strength(model, stacked)) is not None:
            known.append(WeightedStrength(usual, CREATOR_WEIGHT))
            evidence.append(_evidence(Source.LORA, LoRAMessage.CREATOR_STRENGTH, strength=usual))
        value = _bounded(weighted_median(known))
        if learned is not None and (better := learned.strength(model.model_id, value)) is not None:
            value = _bounded(better[0])
            evidence.insert(0, better[1])
        if evidence:
            return Strength(value, limits, (_at(value, evidence[0].source, LoRAMessage.STRENGTH), *evidence))
        message = USUAL_MESSAGES[model.lora_kind is LoRAKind.UNKNOWN, stacked]
        return Strength(value, limits, (_at(value, Source.DEFAULT, message, kind=model.lora_kind.value),))

    def _creator_strength(self, model: ModelMetadata, stacked: bool) -> float | None:
        if not model.creator:
            return None
        loras = self._loras
        places = np.flatnonzero(loras.creator == digest([model.creator]))
        counts = loras.usage.starts[places + 1] - loras.usage.starts[places]
        places = places[counts > 0]
        others = [self._models[place] for place in places.tolist()]
        usage, owner = loras.usage.take(places), np.repeat(np.arange(len(places)), counts[counts > 0])
        civitai_id, _ = civitai_ids(model)
        theirs = loras.civitai_id[places]
        far = np.full(len(places), HALF_WEIGHT_DISTANCE)
        apart = far if civitai_id is None else np.where(theirs < 0, far, np.abs(theirs - civitai_id))
        factor = [SAME_KIND_FACTOR if other.lora_kind is model.lora_kind else 1 for other in others]
        weight = np.array(factor, np.float64) / (1 + apart / HALF_WEIGHT_DISTANCE)
        weight *= [other.model_id != model.model_id for other in others]
        alike = [SAME_STATE_FACTOR if STATES[state] is stacked else 1 for state in usage.rows.stacked.tolist()]
        weights = usage.rows.times * np.array(alike, np.float64) * weight[owner]
        known = [
            WeightedStrength(strength, one)
            for strength, one in zip(usage.rows.strength.tolist(), weights.tolist(), strict=True)
            if one > 0
        ]
        return weighted_median(known) if known else None


def clip_strength(model: ModelMetadata, strength: float) -> float | None:
    """Return the strength for the text encoders of a LoRA applied at `strength`; None: the same.

    Where a LoRA beside others is lowered, it is lowered in proportion.
    """
    if model.strength_clip is None:
        return None
    share = strength / model.strength if model.strength else 1.0
    return _bounded(model.strength_clip * share)


def clip_reasons(clip: float | None) -> tuple[Reason, ...]:
    """Say the strength for the text encoders, where it is one of its own."""
    if clip is None:
        return ()
    return (Reason.of("strength_clip", Source.USER, LoRAMessage.CLIP_STRENGTH, value=clip, strength=clip),)


def example_strengths(model: ModelMetadata, stacked: bool, query: Query | None = None) -> list[WeightedStrength]:
    """Return the strengths up to 2 that the example prompts of a LoRA, which is no slider, use.

    One above `MAX_ALONE` counts only where another prompt has such a one too. Of the user's own, those like `query`
    count most.
    """
    asked = frozenset(word for piece in query.pieces[: query.spoken] for word in piece) if query else frozenset()
    _, version = civitai_ids(model)
    found = []
    used = [(example, strength) for example, strength in used_strengths(model, MAX_CHOSEN_STRENGTH) if strength > 0]
    high = {example.prompt for example, strength in used if strength > MAX_ALONE}
    for example, strength in used:
        if strength > MAX_ALONE and len(high) < 2:
            continue
        same_version = SAME_VERSION_FACTOR if version is not None and example.version == version else 1
        same_state = SAME_STATE_FACTOR if example.stacked is stacked else 1
        own = OWN_FACTOR * (1 + LIKE_FACTOR * _overlap(asked, _words(example.prompt)) ** 2) if example.own else 1
        found.append(WeightedStrength(strength, same_version * same_state * own, example.own))
    return found


@lru_cache(maxsize=4096)
def _words(prompt: str) -> frozenset[str]:
    return frozenset(tokens(prompt))


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard."""
    return len(one & other) / len(one | other) if one and other else 0.0


def weighted_median(known: Iterable[WeightedStrength], share: float = 0.5) -> float:
    """Return the smallest strength that, with those below it, has `share` of all weight."""
    ordered = sorted(known)
    rest = share * sum(weight for _, weight, _ in ordered)
    for strength, weight, _ in ordered:
        rest -= weight
        if rest <= 1e-9:
            return strength
    return ordered[-1].strength


def max_total(count: int) -> float:
    """Return the most that the strengths of so many LoRAs sum to; of one, what a chosen one may have."""
    return MAX_CHOSEN_STRENGTH if count < 2 else MAX_TOTALS[min(count, len(MAX_TOTALS) + 1) - 2]


def counts_towards_total(model: ModelMetadata) -> bool:
    """Return whether its strength counts towards the bound: a slider's and a speed LoRA's mean something else."""
    return model.lora_kind is not LoRAKind.SPEED and not is_slider(model)


def _at(strength: float, source: Source, message: LoRAMessage, **arguments: Any) -> Reason:
    return Reason.of("strength", source, message, value=strength, strength=strength, **arguments)


def _evidence(source: Source, message: LoRAMessage, **arguments: Any) -> Reason:
    return Reason.of("strength", source, message, **arguments)


def _lowered(strength: Strength, factor: float, count: int) -> Strength:
    old = strength.value
    value = round(old * factor, 3)
    message = LoRAMessage.STRENGTH_LOWERED
    reason = _at(value, Source.LORA, message, otherwise=f"{old:.2f}", before=old, count=count)
    return Strength(value, strength.limits, (reason, *strength.reasons[1:]))


def _slider(model: ModelMetadata, query: Query | None) -> Strength:
    """The value on the side that the prompt speaks of: what prompts use there, else half of the range's end."""
    limits = (min(model.strength_range), max(model.strength_range)) if model.strength_range else None
    every = [strength for _, strength in used_strengths(model, MAX_LORA_STRENGTH)]
    most = max(map(abs, (*(limits or (MAX_CHOSEN_STRENGTH,)), *every)))
    if model.strength is not None and not model.strength_from_text:
        value = _bounded(model.strength, most)
        return Strength(value, limits, (_at(value, Source.USER, LoRAMessage.SLIDER_PRESET),))
    sign, direction = _direction(model, every, query)
    used = [WeightedStrength(abs(strength), 1.0) for strength in every if strength * sign > 0]
    if used:
        value, source, message = weighted_median(used), Source.LORA, LoRAMessage.SLIDER_EXAMPLES
    elif limits and (end := limits[sign > 0]):
        value, source, message = abs(end) / 2, Source.LORA, LoRAMessage.SLIDER_RANGE
    else:
        value, source, message = SLIDER_STRENGTH, Source.DEFAULT, LoRAMessage.SLIDER_UNIT
    value = _bounded(sign * value, most)
    return Strength(value, limits, (_at(value, source, message, count=len(used)), direction))


def _direction(model: ModelMetadata, used: Sequence[float], query: Query | None) -> tuple[float, Reason]:
    """Sign of the side of a slider that the prompt speaks of, else that is used more, and why."""
    usual = (1.0, _evidence(Source.DEFAULT, LoRAMessage.SLIDER_UP))
    if 2 * sum(strength < 0 for strength in used) > len(used):
        usual = (-1.0, _evidence(Source.LORA, LoRAMessage.SLIDER_DOWN))
    if query is None:
        return usual
    for clause in _CLAUSE.split(model.description):
        signs = [sign for sign, pattern in _SIGNED if pattern.search(clause)]
        shared = {token for token in tokens(clause) if not is_meta(token)} & query.tokens - {"negative", "positive"}
        if len(signs) == 1 and shared:
            word = query.written.get(min(shared), min(shared))
            message = LoRAMessage.SLIDER_UP_FOR if signs[0] > 0 else LoRAMessage.SLIDER_DOWN_FOR
            return signs[0], _evidence(Source.PROMPT, message, word=word)
    for word in tokens(model.title or model.name):
        if less := [term for term in _LESS if query.has((term, word))]:
            words = f"{min(less)} {query.written.get(word, word)}"
            return -1.0, _evidence(Source.PROMPT, LoRAMessage.SLIDER_LESS, words=words)
    return usual


def _limits(model: ModelMetadata, used: Sequence[WeightedStrength]) -> tuple[float, float] | None:
    if model.strength_range is not None and (min(model.strength_range) >= 0 or not model.strength_from_text):
        low, high = sorted(model.strength_range)
        return _bounded(low), _bounded(high)
    return (weighted_median(used, 0.1), weighted_median(used, 0.9)) if len(used) >= MIN_RANGE_EXAMPLES else None


def _bounded(value: float, most: float = MAX_CHOSEN_STRENGTH) -> float:
    return round(max(-most, min(most, value)), 3)
