"""How strongly a LoRA is applied, and what that rests on.

A strength is the weighted median of what is known: what is usual for the LoRA's kind, what example prompts use, what
its creator's other LoRAs are used at, and what its description says. The same strength holds for the UNet and the text
encoders: of 71,528 `<lora:…>` tags in the example prompts of 7,955 CivitAI records 8 tell the two apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..config import MAX_LORA_STRENGTH
from ..models import LoRAKind, ModelMetadata
from ..records import Reason
from .search.documents import Listed
from .search.index import LoRAs
from .search.tokens import Query, digest, is_meta, tokens
from .search.traits import MAX_CHOSEN_STRENGTH, civitai_ids, is_slider, used_strengths

SPEED_STRENGTH = 1.0
"""What the makers of LCM-LoRA, SDXL-Lightning, Hyper-SD and DMD2 apply their LoRAs at (their model cards)."""
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

KIND, CREATOR, TEXT = 0.25, 0.6, 0.5
"""What each source counts beside an example prompt, which counts 1 …"""
LIKED = 6.0
"""… as an image of the user's own that was rated five stars: as much as an example of the same version and state …"""
SAME_VERSION, SAME_STATE, SAME_KIND = 2.0, 3.0, 2.0
"""… or more: of the same version, as alone or stacked as asked; of a creator's LoRAs, of the same kind."""
NEARBY = 2000.0
"""CivitAI numbers apart at which a creator's other LoRA counts half: habits change."""
ENOUGH = 4
"""Example prompts from which the creator's other LoRAs are not asked."""

TOTALS = (2.0, 2.6, 2.6, 3.3)
"""Bound of the summed strengths of two, three, four, and five LoRAs or more; what is chosen gives way to what is named.

Nine of ten example prompts with so many LoRAs stay within it (even numbers, as above)."""
LEAST_SHARE = 0.3
"""Room that a chosen LoRA needs below the bound."""

STATES = (False, True, None)
"""What `UsageHistory.stacked` means: 0, 1 and −1."""

_LESS = frozenset(("less", "no", "without", "fewer", "little", "low", "reduced", "minimal", "menos", "sin"))
_SIGNED = (
    (-1.0, re.compile(r"\bnegative\b|\bminus\b|(?<!\w)-\s?\d", re.IGNORECASE)),
    (1.0, re.compile(r"\bpositive\b|\bplus\b|(?<!\w)\+\s?\d", re.IGNORECASE)),
)
_CLAUSE = re.compile(r"[\n.;,()]+(?!\d)")


class Observation(NamedTuple):
    """A strength that was used, and how much it counts."""

    strength: float
    weight: float


Liked = Sequence[tuple[float, float]]
"""(strength, 0.5 for four stars, 1 for five) of the user's own images."""


@dataclass(frozen=True)
class Strength:
    """A strength, its useful range (None: not known), and why."""

    value: float
    limits: tuple[float, float] | None
    reason: Reason


class Strengths:
    """What a library tells of how strongly its LoRAs are used.

    Args:
        models: the library.
        loras: what the index holds of them, in the same order.
    """

    def __init__(self, models: Sequence[Listed], loras: LoRAs) -> None:
        self._models = models
        self._loras = loras

    def alone(self, model: ModelMetadata, asked: Query | None = None, liked: Liked = ()) -> Strength:
        """The strength of a LoRA that is applied alone.

        Args:
            asked: the prompt's words, which say in which direction a slider is moved.
            liked: strengths of the user's own images with it that were rated well.
        """
        return self._strength(model, False, asked, liked)

    def together(
        self,
        models: Sequence[ModelMetadata],
        named: Sequence[tuple[ModelMetadata, float]] = (),
        asked: Query | None = None,
        liked: Mapping[str, Liked] | None = None,
    ) -> list[Strength]:
        """The strengths of LoRAs that are applied with each other and with those that the user named.

        The strengths of all, sliders and speed LoRAs aside, sum to no more than `bound` of their number, and to no more
        than the named ones' sum where that is larger.

        Args:
            liked: model id → as for `alone`.
        """
        liked = liked or {}
        sharing = [name for name, _ in named if shares(name)] + [model for model in models if shares(model)]
        found = [
            self._strength(model, len(sharing) > 1 and shares(model), asked, liked.get(model.model_id, ()))
            for model in models
        ]
        lowering = [number for number, model in enumerate(models) if shares(model)]
        room = max(0.0, bound(len(sharing)) - sum(abs(strength) for model, strength in named if shares(model)))
        total = sum(abs(found[number].value) for number in lowering)
        if total <= room or len(sharing) < 2:
            return found
        for number in lowering:
            old = found[number]
            value = _rounded(old.value * room / total)
            evidence = f"lowered from {old.value:g} to {value:g}: {len(sharing)} LoRAs share the picture"
            reason = Reason("strength", f"{old.reason.evidence}; {evidence}", old.reason.weight, f"{old.value:g}")
            found[number] = Strength(value, old.limits, reason)
        return found

    def _strength(self, model: ModelMetadata, stacked: bool, asked: Query | None, liked: Liked) -> Strength:
        if model.lora_kind is LoRAKind.SPEED and model.strength is None:
            reason = Reason("strength", f"strength {SPEED_STRENGTH:g}, at which makers of speed LoRAs apply them")
            return Strength(SPEED_STRENGTH, None, reason)
        if is_slider(model):
            return _slider(model, asked)
        used = list(observations(model, stacked))
        limits = _limits(model, used)
        if (preset := _preset(model)) is not None:
            value = _bounded(preset, MAX_CHOSEN_STRENGTH)
            return Strength(value, limits, Reason("strength", f"strength {value:g}, set for this LoRA"))
        known = [*used, Observation(KIND_STRENGTH[model.lora_kind][stacked], KIND)]
        parts = []
        if mine := [Observation(strength, LIKED * weight) for strength, weight in liked]:
            known += mine
            parts.append(f"images of yours that you rated well have {weighted_median(mine):g}")
        if used:
            low, high = min(used).strength, max(used).strength
            span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            parts.append(f"{len(used)} example prompt{'s use' if len(used) > 1 else ' uses'} {span}")
        if model.strength is not None:
            known.append(Observation(model.strength, TEXT))
            parts.append(f"its description says {model.strength:g}")
        if len(used) < ENOUGH and (habit := self._habit(model, stacked)) is not None:
            known.append(Observation(habit, CREATOR))
            parts.append(f"its creator's other LoRAs are used at {habit:g}")
        value = _bounded(weighted_median(known), MAX_CHOSEN_STRENGTH)
        kind = "LoRAs of unknown kind" if model.lora_kind is LoRAKind.UNKNOWN else f"{model.lora_kind} LoRAs"
        evidence = "; ".join(parts) or f"usual for {kind}{' beside others' if stacked else ''}"
        return Strength(value, limits, Reason("strength", f"strength {value:g}: {evidence}"))

    def _habit(self, model: ModelMetadata, stacked: bool) -> float | None:
        """What the other LoRAs of its creator are used at."""
        if not model.creator:
            return None
        loras, number, known = self._loras, civitai_ids(model)[0], []
        for place in np.flatnonzero(loras.creator == digest([model.creator])[0]).tolist():
            other, theirs = self._models[place], int(loras.civitai_id[place])
            if other.model_id == model.model_id:
                continue
            apart = abs(theirs - number) if number is not None and theirs >= 0 else NEARBY
            weight = (SAME_KIND if other.lora_kind is model.lora_kind else 1) / (1 + apart / NEARBY)
            usage = loras.usage.take(np.array([place])).rows
            for strength, state, times in zip(*map(np.ndarray.tolist, vars(usage).values()), strict=True):
                alike = SAME_STATE if STATES[state] is stacked else 1
                known.append(Observation(strength, times * alike * weight))
        return weighted_median(known) if known else None


def observations(model: ModelMetadata, stacked: bool) -> Iterable[Observation]:
    """The strengths that a LoRA's example prompts use."""
    version = civitai_ids(model)[1]
    for example, strength in used_strengths(model, MAX_CHOSEN_STRENGTH):
        same = version is not None and example.version == version
        state = example.stacked is stacked
        yield Observation(strength, (SAME_VERSION if same else 1) * (SAME_STATE if state else 1))


def weighted_median(known: Iterable[Observation], share: float = 0.5) -> float:
    """The smallest strength that, with those below it, has `share` of all weight."""
    ordered = sorted(known)
    rest = share * sum(weight for _, weight in ordered)
    for strength, weight in ordered:
        rest -= weight
        if rest <= 1e-9:
            return strength
    return ordered[-1].strength


def bound(count: int) -> float:
    """The most that the strengths of so many LoRAs sum to; of one, what a chosen one may have."""
    return MAX_CHOSEN_STRENGTH if count < 2 else TOTALS[min(count, len(TOTALS) + 1) - 2]


def shares(model: ModelMetadata) -> bool:
    """Whether its strength counts towards the bound: a slider's and a speed LoRA's mean something else."""
    return model.lora_kind is not LoRAKind.SPEED and not is_slider(model)


def _slider(model: ModelMetadata, asked: Query | None) -> Strength:
    """The value on the side that is asked for: what prompts use there, else half of the range's end."""
    limits = (min(model.strength_range), max(model.strength_range)) if model.strength_range else None
    every = [weight for _, weight in used_strengths(model, MAX_LORA_STRENGTH)]
    most = max(map(abs, (*(limits or (MAX_CHOSEN_STRENGTH,)), *every)))
    sign, why = _direction(model, every, asked)
    used = [Observation(abs(weight), 1.0) for weight in every if weight * sign > 0]
    end = abs(limits[1] if sign > 0 else limits[0]) if limits else 0.0
    if model.strength is not None and not model.strength_from_text:
        sign, value, evidence, why = 1.0, model.strength, "set for this LoRA", "whatever the prompt says"
    elif used:
        value, evidence = weighted_median(used), f"the median of {len(used)} example prompt{'s' * (len(used) != 1)}"
    elif end:
        value, evidence = end / 2, "half of what its range allows"
    else:
        value, evidence = SLIDER_STRENGTH, "a slider's unit"
    value = _bounded(sign * value, most)
    return Strength(value, limits, Reason("strength", f"a slider at {value:g}, {evidence}; {why}"))


def _direction(model: ModelMetadata, used: Sequence[float], asked: Query | None) -> tuple[float, str]:
    """Sign of the side of a slider that the prompt speaks of, else that is used more, and why."""
    usual = (1.0, "upwards, as it is called")
    if 2 * sum(weight < 0 for weight in used) > len(used):
        usual = (-1.0, "downwards, as in most of its example prompts")
    if asked is None:
        return usual
    for clause in _CLAUSE.split(model.description):
        signs = [sign for sign, pattern in _SIGNED if pattern.search(clause)]
        met = {token for token in tokens(clause) if not is_meta(token)} & asked.tokens - {"negative", "positive"}
        if len(signs) == 1 and met:
            word = asked.written.get(min(met), min(met))
            return signs[0], f"{'upwards' if signs[0] > 0 else 'downwards'}, where its description has “{word}”"
    for word in tokens(model.title or model.name):
        less = sorted(term for term in _LESS if asked.has((term, word)))
        if less:
            return -1.0, f"downwards, for “{less[0]} {asked.written.get(word, word)}”"
    return usual


def _preset(model: ModelMetadata) -> float | None:
    """The strength that somebody set for this LoRA, or the middle of the range."""
    if model.strength_from_text or (model.strength is None and model.strength_range is None):
        return None
    return model.strength if model.strength is not None else sum(model.strength_range or ()) / 2


def _limits(model: ModelMetadata, used: Sequence[Observation]) -> tuple[float, float] | None:
    if model.strength_range is not None:
        low, high = sorted(model.strength_range)
        return _bounded(low, MAX_CHOSEN_STRENGTH), _bounded(high, MAX_CHOSEN_STRENGTH)
    return (weighted_median(used, 0.1), weighted_median(used, 0.9)) if len(used) >= 3 else None


def _bounded(value: float, most: float) -> float:
    return _rounded(max(-most, min(most, value)))


def _rounded(value: float) -> float:
    return round(value, 3)
