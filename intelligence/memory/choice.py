"""Which way to run a job: every combination of placement, forward and decode, and the fastest of those that fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

from ..config import OffloadStrategy
from .plan import Option
from .prediction import (
    FINEST_FIRST,
    Decoding,
    Demand,
    Denoising,
    Job,
    Placement,
    lora_demand,
    stage_demand,
    text_demand,
)

SIZE_STEP = 64
"""Pixels of the longer side by which the largest size that fits is searched."""

SMALLER = 0.95
"""Of what a plan needs, what is worth calling smaller."""

DECODES = ("float32", "float16", "bfloat16")
"""By the digits that they keep."""

COARSE = "nf4"
"""A weight format that changes the picture visibly: it stands against streaming alone, which is slower by far."""

How = TypeVar("How", Denoising, Decoding)


@dataclass(frozen=True)
class Choices:
    """What may be chosen from; among equals the first is taken."""

    strategies: Sequence[OffloadStrategy]
    weight_dtypes: Sequence[str]
    batches: Sequence[int]
    cfg_split: Sequence[bool]
    attention_slicing: Sequence[bool]
    tiles: Sequence[int]
    vae_dtypes: Sequence[str]


class Way(NamedTuple):
    """One combination, and what it takes."""

    placement: Placement
    denoising: Denoising
    decoding: Decoding
    stages: dict[str, Demand]
    seconds: float

    @property
    def rounding(self) -> tuple[int, int]:
        """How far weights and decode are from exact, to be compared."""
        return list(FINEST_FIRST).index(self.placement.weight_dtype), DECODES.index(self.decoding.dtype)

    @property
    def peak(self) -> float:
        """GiB, of the stage that takes the most."""
        return max(demand.peak for demand in self.stages.values())

    @property
    def need(self) -> float:
        """GiB that must be free."""
        return max(demand.need for demand in self.stages.values())

    def option(self) -> Option:
        """This way as a record."""
        return Option(
            strategy=self.placement.strategy,
            weight_dtype=self.placement.weight_dtype,
            batch_size=self.denoising.batch,
            cfg_split=self.denoising.cfg_split,
            attention_slicing=self.denoising.attention_slicing,
            tile_size=self.decoding.tile,
            vae_dtype=self.decoding.dtype,
            needed_gb=self.need,
            seconds=self.seconds,
        )


@dataclass(frozen=True)
class _Part(Generic[How]):
    how: How
    demand: Demand
    seconds: float


def way(job: Job, placement: Placement, denoising: Denoising, decoding: Decoding) -> Way:
    """What one combination takes."""
    first, last = _denoising(job, placement, denoising), _decoding(job, placement, decoding, denoising.batch)
    return _joined(_shared(job, placement), placement, first, last)


def ways(job: Job, choices: Choices) -> list[Way]:
    """Every combination, but for those that another as exact and placed alike beats in time and memory both."""
    return [
        found
        for strategy in choices.strategies
        for weight_dtype in choices.weight_dtypes
        if (placement := Placement(strategy, weight_dtype)).possible
        for found in _placed(job, placement, choices)
    ]


def fastest(found: Iterable[Way], budget: float | None) -> Way | None:
    """The fastest that fits; None when none does. Of each strategy only what fits with the least rounding counts, and
    4 bit weights only where no other whole model fits."""
    fitting = [way for way in found if budget is None or way.need <= budget]
    least: dict[OffloadStrategy, tuple[int, int]] = {}
    for way in fitting:
        strategy = way.placement.strategy
        least[strategy] = min(way.rounding, least.get(strategy, way.rounding))
    kept = [way for way in fitting if way.rounding == least[way.placement.strategy]]
    finer = [way for way in kept if way.placement.weight_dtype != COARSE]
    whole = any(way.placement.strategy is not OffloadStrategy.SEQUENTIAL for way in finer)
    return min(finer if whole else kept, key=lambda way: way.seconds, default=None)


def smallest(found: Iterable[Way]) -> Way:
    """The one that needs the least."""
    return min(found, key=lambda way: (way.need, way.seconds))


def neighbours(found: Sequence[Way], chosen: Way, budget: float | None) -> tuple[Way | None, Way | None]:
    """The least of what is faster than `chosen` and as exact but does not fit, and the fastest of what needs clearly
    less, in 4 bits where nothing else does."""
    taken = max(chosen.need, budget or 0.0)
    faster = (
        way for way in found if way.rounding <= chosen.rounding and way.seconds < chosen.seconds and way.need > taken
    )
    less = (way for way in found if way.need < chosen.need * SMALLER)
    return (
        min(faster, key=lambda way: (way.need, way.seconds), default=None),
        min(less, key=lambda way: (way.placement.weight_dtype == COARSE, way.seconds, way.need), default=None),
    )


def below(found: Iterable[Way], peaks: Mapping[str, float]) -> list[Way]:
    """Those that take less than these peaks (GiB by stage)."""
    return [way for way in found if all(way.stages[stage].peak < peak for stage, peak in peaks.items())]


def largest_size(
    job: Job, choices: Choices, budget: float | None, peaks: Mapping[str, float]
) -> tuple[int, int] | None:
    """Width and height, multiples of 64 in about the shape of `job`, of the largest smaller picture that fits, with
    its stages below `peaks`."""
    longest = max(job.width, job.height)

    def scaled(steps: int) -> tuple[int, int]:
        width, height = (max(1, side * steps // longest) * SIZE_STEP for side in (job.width, job.height))
        return width, height

    def fits(steps: int) -> bool:
        width, height = scaled(steps)
        return fastest(below(ways(replace(job, width=width, height=height), choices), peaks), budget) is not None

    low, high = 0, -(-longest // SIZE_STEP)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return scaled(low) if low else None


def _placed(job: Job, placement: Placement, choices: Choices) -> Iterator[Way]:
    shared = _shared(job, placement)
    forwards = (
        Denoising(batch, split, slicing)
        for slicing in choices.attention_slicing
        for split in choices.cfg_split
        for batch in choices.batches
    )
    for first in _unbeaten(_denoising(job, placement, how) for how in forwards):
        for dtype in choices.vae_dtypes:
            decodes = (Decoding(tile, dtype) for tile in choices.tiles)
            for last in _unbeaten(_decoding(job, placement, how, first.how.batch) for how in decodes):
                yield _joined(shared, placement, first, last)


def _shared(job: Job, placement: Placement) -> dict[str, Demand]:
    """The stages that only the placement decides."""
    stages = {"text": text_demand(job, placement)}
    return stages | {"lora": lora_demand(job, placement)} if job.patches_loras else stages


def _denoising(job: Job, placement: Placement, how: Denoising) -> _Part[Denoising]:
    return _Part(how, stage_demand(job, placement, "unet", how.footprint(job)), how.seconds(job, placement))


def _decoding(job: Job, placement: Placement, how: Decoding, images: int) -> _Part[Decoding]:
    demand = stage_demand(job, placement, "vae", how.footprint(job, images), how.dtype)
    return _Part(how, demand, how.seconds(job))


def _joined(shared: dict[str, Demand], placement: Placement, first: _Part[Denoising], last: _Part[Decoding]) -> Way:
    stages = {**shared, "unet": first.demand, "vae": last.demand}
    return Way(placement, first.how, last.how, stages, first.seconds + last.seconds)


def _unbeaten(parts: Iterable[_Part[How]]) -> list[_Part[How]]:
    """By time, only those that need less than every faster one."""
    kept: list[_Part[How]] = []
    for part in sorted(parts, key=lambda part: (part.seconds, part.demand.need)):
        if not kept or part.demand.need < kept[-1].demand.need:
            kept.append(part)
    return kept
