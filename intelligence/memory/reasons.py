"""Reasons of a memory plan: the budget, the chosen candidate, and the alternatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..config import OffloadStrategy
from ..records import Reason, Source
from ..units import format_duration, format_memory
from .job import Job
from .memory_messages import MemoryMessage
from .memory_request import MemoryRequest
from .plan import STAGE_TITLES, describe
from .plan_candidates import PlanCandidate
from .prediction import Decoding
from .resources import Resources

MENTIONED_SECONDS = 1.0
"""Seconds from which on the time that a plan adds is worth a sentence."""


def budget_of(request: MemoryRequest, resources: Resources) -> tuple[float | None, Reason]:
    """Return the memory that one run may take, GiB (None: no limit is known), and the reason for that limit.

    A card's budget is this process's whole share: free memory, memory that torch holds, and the driver's context.
    """
    if resources.device == "cpu":
        if not resources.ram_free_gb:
            return None, Reason.of("budget", Source.BUDGET, MemoryMessage.BUDGET_UNKNOWN)
        ram = resources.ram_free_gb
        return ram, Reason.of("budget", Source.BUDGET, MemoryMessage.BUDGET_RAM, value=ram, budget=format_memory(ram))
    free = resources.free_gb + (resources.context_gb or 0.0)
    limits = {
        MemoryMessage.BUDGET_SETTINGS: request.settings.max_vram_gb,
        MemoryMessage.BUDGET_GENERATION: request.max_vram_gb,
    }
    lower = [(limit, message) for message, limit in limits.items() if limit is not None and limit < free]
    if lower:
        limit, message = min(lower, key=lambda item: item[0])
        otherwise = MemoryMessage.OTHERWISE_FREE.format(free=format_memory(free))
        budget = format_memory(limit)
        return limit, Reason.of("budget", Source.USER, message, value=limit, otherwise=otherwise, budget=budget)
    shared = resources.others_gb or 0.0
    message = MemoryMessage.BUDGET_SHARED if shared else MemoryMessage.BUDGET_FREE
    others = format_memory(shared)
    budget = format_memory(resources.free_gb)
    device = resources.name
    return free, Reason.of("budget", Source.BUDGET, message, value=free, budget=budget, device=device, others=others)


def plan_reasons(job: Job, chosen: PlanCandidate, found: Sequence[PlanCandidate], resources: Resources) -> list[Reason]:
    """Return the reasons for `chosen` among the candidates that were found."""
    return [
        *_knowledge(job),
        *_strategy(job, chosen, found, resources),
        *_added_time(job, chosen),
        *_precision(job, chosen, resources),
        *_savings(job, chosen, found),
    ]


def refusal(
    request: MemoryRequest, smallest: PlanCandidate, budget_gb: float, largest: tuple[int, int] | None
) -> list[Reason]:
    """Return the reasons why nothing fits, the last with the remedies."""
    option = describe(smallest.option(timed=False), request.images)
    requested = request.settings.offload_strategy is not OffloadStrategy.AUTO
    message, size = MemoryMessage.OFFLOAD_ONLY if requested else MemoryMessage.LIMIT_ONLY, {}
    if largest is not None:
        message = MemoryMessage.SIZE_OR_OFFLOAD if requested else MemoryMessage.SIZE_OR_LIMIT
        size = dict(zip(("width", "height"), largest, strict=True))
    return [
        _saving(
            "fits",
            MemoryMessage.TOO_LARGE,
            value=False,
            option=option,
            needed=format_memory(smallest.needed_gb),
            budget=format_memory(budget_gb),
        ),
        _saving("fits", message, value=False, **size),
    ]


def _knowledge(job: Job) -> list[Reason]:
    reasons = []
    if job.corrections:
        factors = ", ".join(f"{STAGE_TITLES[stage]} ×{factor:.2f}" for stage, factor in job.corrections.items())
        reasons.append(Reason.of("learned", Source.LEARNED, MemoryMessage.CORRECTED, factors=factors))
    if job.footprints.estimated and job.activation_gb is None:
        model = job.footprints.title
        reasons.append(Reason.of("model", Source.MODEL, MemoryMessage.ESTIMATED, weight=0.5, model=model))
    return reasons


def _strategy(job: Job, chosen: PlanCandidate, found: Sequence[PlanCandidate], resources: Resources) -> list[Reason]:
    strategy, requested = chosen.placement.strategy, job.request.settings.offload_strategy
    as_exact = (candidate for candidate in found if candidate.rounding <= chosen.rounding)
    fastest = min(as_exact, key=lambda candidate: candidate.seconds, default=chosen)
    otherwise = None
    if fastest != chosen:
        option = describe(fastest.option(timed=False), job.request.images)
        otherwise = MemoryMessage.OTHERWISE_FASTER.format(option=option, needed=format_memory(fastest.needed_gb))
    source = Source.BUDGET if requested is OffloadStrategy.AUTO else Source.USER
    message = MemoryMessage.DYNAMIC_VRAM if resources.dynamic_vram else MemoryMessage[strategy.value]
    peak = format_memory(chosen.peak_gb)
    reasons = [Reason.of("strategy", source, message, value=strategy.value, otherwise=otherwise, peak=peak)]
    if requested is OffloadStrategy.AUTO or resources.dynamic_vram:
        return reasons
    if requested is strategy:
        return [*reasons, Reason.of("strategy", Source.USER, MemoryMessage.REQUESTED, strategy=requested.value)]
    message, name = MemoryMessage.NOTHING_TO_OFFLOAD, requested.value
    return [*reasons, Reason.of("strategy", Source.USER, message, strategy=name, device=resources.device)]


def _added_time(job: Job, chosen: PlanCandidate) -> list[Reason]:
    """Time beside that of whole batches and decodes with all weights on the device; none where no rates were given."""
    request, rates, learned = job.request, job.rates, job.rates.learned
    decoding = request.images * request.pixels * rates.decoded_pixel
    added = chosen.seconds - (rates.run + request.items * rates.forward_item + decoding)
    if request.rates is None or added < MENTIONED_SECONDS:
        return []
    message = MemoryMessage.ADDED_TIME if learned else MemoryMessage.ADDED_TIME_GUESSED
    source = Source.LEARNED if learned else Source.DEFAULT
    return [Reason.of("added time", source, message, value=added, time=format_duration(added))]


def _precision(job: Job, chosen: PlanCandidate, resources: Resources) -> list[Reason]:
    weights, decode = chosen.placement.weight_dtype, chosen.decoding.dtype
    reasons = []
    if weights != "float16":
        reasons.append(_saving("weight_dtype", MemoryMessage[f"WEIGHTS_{weights.upper()}"], value=weights))
    if job.decoder == "diffusers" and resources.device != "cpu":
        source = Source.BUDGET if decode == "bfloat16" else Source.MODEL
        reasons.append(Reason.of("vae_dtype", source, MemoryMessage[f"VAE_{decode.upper()}"], value=decode))
    return reasons


def _savings(job: Job, chosen: PlanCandidate, found: Sequence[PlanCandidate]) -> list[Reason]:
    denoising, decoding = chosen.denoising, chosen.decoding
    reasons = []
    if decoding.tile:
        at_once = (chosen.placement, Decoding(0, decoding.dtype))
        peaks = [each.stages["vae"].peak_gb for each in found if (each.placement, each.decoding) == at_once]
        otherwise = MemoryMessage.OTHERWISE_WHOLE.format(peak=format_memory(peaks[0])) if peaks else None
        source = Source.BUDGET if job.request.tile_size is None else Source.USER
        tile, message, peak = decoding.tile, MemoryMessage.TILES, format_memory(chosen.stages["vae"].peak_gb)
        reasons.append(Reason.of("tile_size", source, message, value=tile, otherwise=otherwise, tile=tile, peak=peak))
    if denoising.cfg_split:
        reasons.append(_saving("cfg_split", MemoryMessage.CFG_SPLIT, value=True))
    if denoising.attention_slicing:
        reasons.append(_saving("attention_slicing", MemoryMessage.ATTENTION_SLICING, value=True))
    if denoising.batch < job.request.largest_batch:
        batch, images = denoising.batch, job.request.images
        otherwise = MemoryMessage.OTHERWISE_BATCH.format(batch=job.request.largest_batch)
        message = MemoryMessage.BATCH_SIZE
        reasons.append(_saving("batch_size", message, value=batch, otherwise=otherwise, batch=batch, images=images))
    return reasons


def _saving(setting: str, message: MemoryMessage, **details: Any) -> Reason:
    return Reason.of(setting, Source.BUDGET, message, **details)
