"""Memory request and device → plan. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ..config import OffloadStrategy
from . import reasons
from .job import Job, make_job
from .memory_request import HostTraits, MemoryRequest
from .plan import MemoryPlan
from .plan_candidates import Choices, below, candidate_of, candidates, fastest, largest_size, neighbours, smallest
from .prediction import UPSCALE, Placement, upscale_demand
from .resources import OWN_MEMORY, Resources
from .upscaling import TILES as UPSCALE_TILES

TILE_SIDES = (1024, 768, 512, 256)
"""VAE tiles in pixels; smaller ones show their seams."""

FASTEST_FIRST = (OffloadStrategy.FULL_GPU, OffloadStrategy.CPU_OFFLOAD, OffloadStrategy.SEQUENTIAL)


def make_plan(
    request: MemoryRequest, resources: Resources, host: HostTraits, corrections: Mapping[str, float]
) -> MemoryPlan:
    """Return the fastest plan that fits; see `MemoryManager.plan`. `corrections`: see `Job`."""
    job = make_job(request, resources, host, corrections)
    budget, budget_reason = reasons.budget_of(request, resources)
    choices = _choices(job, resources, host)
    found = candidates(job, choices)
    failed = {stage: candidate_of(job, plan) for stage, plan in request.failed.items()}
    peaks = {stage: candidate.stages[stage].peak_gb for stage, candidate in failed.items()}
    possible = below(found, peaks)
    fitting = fastest(possible, budget)
    chosen = fitting or smallest(possible or failed.values())
    made = [budget_reason, *reasons.plan_reasons(job, chosen, found, resources)]
    largest = None
    if fitting is None:
        largest = largest_size(job, choices, budget, peaks)
        made += reasons.refusal(request, chosen, budget or chosen.needed_gb, largest)
    next_faster, next_smaller = neighbours(found, chosen, budget)
    timed = request.rates is not None
    stages, upscale_tile = dict(chosen.stages), 0
    resident = {stage: chosen.placement.resident(job, stage, chosen.decoding.dtype) for stage in stages}
    if request.upscaling is not None:
        upscale_tile = _upscale_tile(job, chosen.placement, budget)
        stages[UPSCALE] = upscale_demand(job, chosen.placement, upscale_tile)
        resident[UPSCALE] = upscale_demand(job, chosen.placement, 0).peak_gb - job.context_gb
    needed = max(demand.needed_gb for demand in stages.values())
    return MemoryPlan(
        **{**vars(chosen.option(timed=timed)), "needed_gb": needed},
        device=resources.device,
        predicted_peak_gb=max(demand.peak_gb for demand in stages.values()),
        budget_gb=budget,
        fits=fitting is not None and (budget is None or needed <= budget),
        stages={stage: demand.peak_gb for stage, demand in stages.items()},
        reasons=tuple(made),
        context_gb=job.context_gb,
        resident=resident,
        reserved_gb={stage: demand.reserved_gb for stage, demand in stages.items()},
        next_faster=next_faster and next_faster.option(timed=timed),
        next_smaller=next_smaller and next_smaller.option(timed=timed),
        largest_size=largest,
        max_batch=request.largest_batch,
        requested_strategy=request.settings.offload_strategy,
        requested_tile=request.tile_size,
        speed_learned=timed and job.rates.learned,
        upscale_tile=upscale_tile,
    )


def _upscale_tile(job: Job, placement: Placement, budget: float | None) -> int:
    """The largest tile that fits; the smallest where none does."""
    fitting = (
        tile for tile in UPSCALE_TILES if budget is None or upscale_demand(job, placement, tile).needed_gb <= budget
    )
    return next(fitting, UPSCALE_TILES[-1])


def _choices(job: Job, resources: Resources, host: HostTraits) -> Choices:
    request = job.request
    longest = max(request.width, request.height)
    tiles = [0, *(side for side in TILE_SIDES if side < longest)] if request.tile_size is None else [request.tile_size]
    even_splits = {-(-request.images // parts) for parts in range(1, request.images + 1)}
    batches = sorted((size for size in even_splits if size <= request.largest_batch), reverse=True)
    return Choices(
        strategies=_strategies(request.settings.offload_strategy, resources),
        weight_dtypes=_weight_dtypes(request, resources, host),
        batches=batches,
        cfg_split=(False, True) if request.guided and host.cfg_split else (False,),
        attention_slicing=(False, True) if host.attention_slicing and job.attention == "math" else (False,),
        tiles=tiles,
        vae_dtypes=job.vae_dtypes,
    )


def _strategies(requested: OffloadStrategy, resources: Resources) -> tuple[OffloadStrategy, ...]:
    if resources.device not in OWN_MEMORY:
        return (OffloadStrategy.FULL_GPU,)
    if requested is not OffloadStrategy.AUTO:
        return (requested,)
    return FASTEST_FIRST[:1] if resources.dynamic_vram else FASTEST_FIRST


def _weight_dtypes(request: MemoryRequest, resources: Resources, host: HostTraits) -> list[str]:
    """Formats that the host offers, the device and the installed libraries can hold, and the user allows."""
    if request.settings.exact_weights or resources.dynamic_vram or resources.device not in OWN_MEMORY:
        return ["float16"]
    names = {"float8": "float8_e4m3fn"}
    possible = ("float16", *resources.dtypes)
    return [dtype for dtype in host.weight_dtypes if names.get(dtype, dtype) in possible]
