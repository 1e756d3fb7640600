"""What is said about a memory plan: the budget, why this way, and what else there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..config import MemorySettings, OffloadStrategy
from ..records import Reason
from .choice import Way
from .plan import Resources
from .prediction import Decoding, Job
from .text import NAMES, describe

MEANING = {
    OffloadStrategy.FULL_GPU: "all weights stay on the device",
    OffloadStrategy.CPU_OFFLOAD: "one whole model at a time is on the device",
    OffloadStrategy.SEQUENTIAL: "weights stream to the device module by module, which is slow",
}

WEIGHT_MEANING = {
    "float8": "the UNet's weights lie there as 8 bit floats, which changes the picture a little",
    "int8": "the UNet's Linear weights lie there as 8 bit integers, which changes the picture a little",
    "nf4": "the UNet's Linear weights lie there in 4 bits, which changes the picture visibly",
}

VAE_MEANING = {
    "float16": "as it was loaded: this one does not overflow",
    "bfloat16": "to stay within the budget; it has float32's range and fewer digits",
    "float32": "SDXL's overflows in float16",
}


def budget(resources: Resources, settings: MemorySettings, max_vram_gb: float | None) -> tuple[float | None, Reason]:
    """What one run may take, GiB (None: no limit is known), and what sets that limit.

    A card's budget is this process's whole share: what is free, what torch holds, and the context that is there.
    """
    if resources.device == "cpu":
        free = resources.ram_free_gb or None
        text = f"{free:.1f} GiB of RAM are free" if free else "free RAM could not be read, so no limit is known"
        return free, Reason("budget", f"{text}; the CPU samples, so limits on VRAM do not apply")
    at_hand = resources.free_gb + (resources.context_gb or 0.0)
    others = f" ({resources.others_gb:.1f} GiB are other processes')" if resources.others_gb else ""
    named = {
        f"{resources.free_gb:.1f} GiB are free on {resources.name}{others}": at_hand,
        "limit of the memory settings": settings.max_vram_gb,
        "limit of this generation": max_vram_gb,
    }
    text, smallest = min(((text, gb) for text, gb in named.items() if gb is not None), key=lambda item: item[1])
    free_instead = f"{at_hand:.1f} GiB, what is free" if smallest != at_hand else None
    return smallest, Reason("budget", f"{smallest:.1f} GiB: {text}", otherwise=free_instead)


def corrected(corrections: Mapping[str, float]) -> list[Reason]:
    """By how much earlier runs on this device correct the predicted activations."""
    factors = ", ".join(f"{NAMES[stage]} ×{factor:.2f}" for stage, factor in corrections.items())
    return [Reason("learned", f"activations as earlier runs on this device had them: {factors}")] if factors else []


def for_way(
    chosen: Way, found: Sequence[Way], asked: OffloadStrategy, resources: Resources, job: Job, *, learned: bool
) -> list[Reason]:
    """Why `chosen` and what stood against the faster ones. `learned`: the job's speed is from earlier runs."""
    placement, denoising, decoding = chosen.placement, chosen.denoising, chosen.decoding
    as_exact = (way for way in found if way.rounding <= chosen.rounding)
    fastest = min(as_exact, key=lambda way: way.seconds, default=chosen)
    speed = f"at the {job.tflops:.3g} TFLOP/s that {'earlier runs reached' if learned else 'are assumed'}"
    took = f"about {chosen.seconds:.0f} s {speed}"
    text = f"{MEANING[placement.strategy]}; predicted peak {chosen.peak:.1f} GiB, {took}"
    if resources.dynamic_vram:
        text = f"ComfyUI pages weights in and out by itself; predicted peak without them {chosen.peak:.1f} GiB, {took}"
    elif asked is not OffloadStrategy.AUTO:
        text += f"; {asked.value} was asked for"
        if asked is not placement.strategy:
            text += f", but on {resources.device} there is no separate memory to offload to"
    faster = (
        f"{describe(fastest.option(), job.images)}, needing about {fastest.need:.1f} GiB" if fastest != chosen else None
    )
    made = [Reason("strategy", text, otherwise=faster)]
    if placement.weight_dtype in WEIGHT_MEANING:
        made.append(Reason("weight_dtype", WEIGHT_MEANING[placement.weight_dtype]))
    if job.decoder == "diffusers" and job.device != "cpu":
        made.append(Reason("vae_dtype", f"the VAE decodes in {decoding.dtype}: {VAE_MEANING[decoding.dtype]}"))
    if decoding.tile:
        at_once = (placement, Decoding(0, decoding.dtype))
        whole = next((way for way in found if (way.placement, way.decoding) == at_once), None)
        made.append(
            Reason(
                "tile_size",
                f"the VAE decodes in tiles of {decoding.tile} pixels: {chosen.stages['vae'].peak:.1f} GiB there",
                otherwise=f"decoded whole, about {whole.stages['vae'].peak:.1f} GiB" if whole else None,
            )
        )
    if denoising.cfg_split:
        made.append(Reason("cfg_split", "prompt and negative prompt one after the other, to stay within the budget"))
    if denoising.attention_slicing:
        made.append(Reason("attention_slicing", "attention head by head, to stay within the budget"))
    most = max(way.denoising.batch for way in found)
    if denoising.batch < most:
        made.append(
            Reason(
                "batch_size",
                f"{denoising.batch} of {job.images} images per forward batch, to stay within the budget",
                otherwise=f"{most} per forward batch",
            )
        )
    return made


def refusal(
    smallest: Way, budget_gb: float, largest: tuple[int, int] | None, asked: OffloadStrategy, images: int
) -> Reason:
    """Why nothing fits, and what would."""
    size = f"{largest[0]}x{largest[1]} would fit" if largest else "no smaller size would fit"
    remedy = "let AUTO offload" if asked is not OffloadStrategy.AUTO else "raise the limit"
    return Reason(
        "fits",
        f"even the smallest plan ({describe(smallest.option(), images)}) needs about {smallest.need:.1f} GiB of "
        f"{budget_gb:.1f}: {size}; or free memory, or {remedy}",
    )
