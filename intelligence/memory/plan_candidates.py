"""Candidates for a plan: every combination of placement, forward and decode, and the fastest of those that fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

from ..config import OffloadStrategy
from .footprints import Footprint
from .job import Job
from .plan import MemoryPlan, PlanOption
from .prediction import FINEST_FIRST, Decoding, Demand, Denoising, Placement, lora_demand, stage_demand

SIZE_STEP = 64
"""Pixels of the longer side by which the largest size that fits is searched."""

CLEARLY_SMALLER = 0.95
"""Share of a plan's need below which another one is worth calling smaller."""

MOST_EXACT_DECODE_FIRST = ("float32", "float16", "bfloat16")

VISIBLY_COARSE = "nf4"
"""A weight format that changes the picture visibly: only used where the alternative is streaming, slower by far."""

Method = TypeVar("Method", Denoising, Decoding)


@dataclass(frozen=True)
class Choices:
    """Values to choose from; among equals the first is taken."""

    strategies: Sequence[OffloadStrategy]
    weight_dtypes: Sequence[str]
    batches: Sequence[int]
    cfg_split: Sequence[bool]
    attention_slicing: Sequence[bool]
    tiles: Sequence[int]
    vae_dtypes: Sequence[str]


class PlanCandidate(NamedTuple):
    """A combination of placement, forward and decode, with its memory and time."""

    placement: Placement
    denoising: Denoising
    decoding: Decoding
    stages: dict[str, Demand]
    seconds: float

    @property
    def rounding(self) -> tuple[int, int]:
        """Distance of weights and decode from exact, to be compared."""
        weights = list(FINEST_FIRST).index(self.placement.weight_dtype)
        return weights, MOST_EXACT_DECODE_FIRST.index(self.decoding.dtype)

    @property
    def peak_gb(self) -> float:
        """Peak of the stage that takes the most."""
        return max(demand.peak_gb for demand in self.stages.values())

    @property
    def needed_gb(self) -> float:
        """Memory that must be free."""
        return max(demand.needed_gb for demand in self.stages.values())

    def option(self, *, timed: bool) -> PlanOption:
        """This candidate as a record, with its time where the caller gave rates."""
        return PlanOption(
            strategy=self.placement.strategy,
            weight_dtype=self.placement.weight_dtype,
            batch_size=self.denoising.batch,
            cfg_split=self.denoising.cfg_split,
            attention_slicing=self.denoising.attention_slicing,
            tile_size=self.decoding.tile,
            vae_dtype=self.decoding.dtype,
            needed_gb=self.needed_gb,
            seconds=self.seconds if timed else None,
        )


@dataclass(frozen=True)
class _Part(Generic[Method]):
    method: Method
    demand: Demand
    seconds: float


def candidate_of(job: Job, option: PlanOption | MemoryPlan) -> PlanCandidate:
    """Return the candidate that runs `job` as `option` says, by what is known now."""
    placement = Placement(option.strategy, option.weight_dtype)
    denoising = _denoise(job, placement, Denoising(option.batch_size, option.cfg_split, option.attention_slicing))
    decoding = _decode(job, placement, Decoding(option.tile_size, option.vae_dtype), option.batch_size)
    return _joined(job, placement, denoising, decoding)


def candidates(job: Job, choices: Choices) -> list[PlanCandidate]:
    """Return every combination except those that another, as exact and placed alike, beats in both time and memory."""
    return [
        candidate
        for strategy in choices.strategies
        for weight_dtype in choices.weight_dtypes
        if (placement := Placement(strategy, weight_dtype)).possible
        for candidate in _placed(job, placement, choices)
    ]


def fastest(found: Iterable[PlanCandidate], budget: float | None) -> PlanCandidate | None:
    """Return the fastest that fits; None when none does.

    Of each strategy only what fits with the least rounding counts, and 4 bit weights only where no other whole model
    fits.
    """
    fitting = [candidate for candidate in found if budget is None or candidate.needed_gb <= budget]
    roughest_first = sorted(fitting, key=lambda candidate: candidate.rounding, reverse=True)
    least = {candidate.placement.strategy: candidate.rounding for candidate in roughest_first}
    kept = [candidate for candidate in fitting if candidate.rounding == least[candidate.placement.strategy]]
    finer = [candidate for candidate in kept if candidate.placement.weight_dtype != VISIBLY_COARSE]
    whole = any(candidate.placement.strategy is not OffloadStrategy.SEQUENTIAL for candidate in finer)
    return min(finer if whole else kept, key=lambda candidate: candidate.seconds, default=None)


def smallest(found: Iterable[PlanCandidate]) -> PlanCandidate:
    """Return the one that needs the least."""
    return min(found, key=lambda candidate: (candidate.needed_gb, candidate.seconds))


def neighbours(
    found: Sequence[PlanCandidate], chosen: PlanCandidate, budget: float | None
) -> tuple[PlanCandidate | None, PlanCandidate | None]:
    """Return (next faster, next smaller).

    The first is the least of those that are faster than `chosen` and as exact but do not fit; the second the fastest of
    those that need clearly less, in 4 bits where nothing else does.
    """
    taken = max(chosen.needed_gb, budget or 0.0)
    faster = [
        candidate
        for candidate in found
        if candidate.rounding <= chosen.rounding and candidate.seconds < chosen.seconds and candidate.needed_gb > taken
    ]
    less = (candidate for candidate in found if candidate.needed_gb < chosen.needed_gb * CLEARLY_SMALLER)

    def by_time(candidate: PlanCandidate) -> tuple[bool, float, float]:
        return candidate.placement.weight_dtype == VISIBLY_COARSE, candidate.seconds, candidate.needed_gb

    return smallest(faster) if faster else None, min(less, key=by_time, default=None)


def below(found: Iterable[PlanCandidate], peaks: Mapping[str, float]) -> list[PlanCandidate]:
    """Keep the candidates with lower peaks than these (GiB by stage)."""
    return [each for each in found if all(each.stages[stage].peak_gb < peak for stage, peak in peaks.items())]


def largest_size(
    job: Job, choices: Choices, budget: float | None, peaks: Mapping[str, float]
) -> tuple[int, int] | None:
    """Return width and height, multiples of 64 in about the shape of `job`, of the largest smaller picture that fits
    with its stages below `peaks`; None for none."""
    sides = job.request.width, job.request.height
    longest = max(sides)

    def scaled(steps: int) -> tuple[int, int]:
        width, height = (max(1, side * steps // longest) * SIZE_STEP for side in sides)
        return width, height

    def fits(steps: int) -> bool:
        width, height = scaled(steps)
        found = candidates(replace(job, request=replace(job.request, width=width, height=height)), choices)
        return fastest(below(found, peaks), budget) is not None

    low, high = 0, -(-longest // SIZE_STEP)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return scaled(low) if low else None


def _placed(job: Job, placement: Placement, choices: Choices) -> Iterator[PlanCandidate]:
    forwards = (
        Denoising(batch, split, slicing)
        for slicing in choices.attention_slicing
        for split in choices.cfg_split
        for batch in choices.batches
    )
    for denoising in _unbeaten(_denoise(job, placement, method) for method in forwards):
        for dtype in choices.vae_dtypes:
            decodes = (Decoding(tile, dtype) for tile in choices.tiles)
            batch = denoising.method.batch
            for decoding in _unbeaten(_decode(job, placement, method, batch) for method in decodes):
                yield _joined(job, placement, denoising, decoding)


def _denoise(job: Job, placement: Placement, method: Denoising) -> _Part[Denoising]:
    demand = stage_demand(job, placement, "unet", method.footprint(job))
    return _Part(method, demand, method.seconds(job, placement))


def _decode(job: Job, placement: Placement, method: Decoding, images: int) -> _Part[Decoding]:
    demand = stage_demand(job, placement, "vae", method.footprint(job, images), method.dtype)
    return _Part(method, demand, method.seconds(job))


def _joined(job: Job, placement: Placement, denoising: _Part[Denoising], decoding: _Part[Decoding]) -> PlanCandidate:
    encoding = Footprint(*job.footprints.text).scaled(job.weight_bytes / 2)
    stages = {"text": stage_demand(job, placement, "text", encoding)}
    if job.patches_loras:
        stages["lora"] = lora_demand(job, placement)
    stages |= {"unet": denoising.demand, "vae": decoding.demand}
    seconds = job.rates.run + denoising.seconds + decoding.seconds
    return PlanCandidate(placement, denoising.method, decoding.method, stages, seconds)


def _unbeaten(parts: Iterable[_Part[Method]]) -> list[_Part[Method]]:
    """Keep the parts that need less than every faster one, in order of time; of equal times in their own order."""
    kept: list[_Part[Method]] = []
    for part in sorted(parts, key=lambda part: part.seconds):
        if not kept or part.demand.needed_gb < kept[-1].demand.needed_gb:
            kept.append(part)
    return kept
