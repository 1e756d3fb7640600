"""How much there is to compute: forward items and their TFLOP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..registry import Architecture, Family
from .parameters import Improvements, OptimizedParameters
from .samplers import evaluations
from .schedules import core_sigmas, schedule_sigmas

MEGAPIXEL = 1024 * 1024

FORWARD_TFLOP: dict[Architecture, tuple[float, float, float]] = {
    Architecture.SDXL: (0.0525, 5.9571, 0.7516),
    Architecture.SD1: (0.0030, 2.7111, 1.9599),
    Architecture.SD2: (0.0040, 2.7111, 1.9599),
}
"""(c, a, b) of F(p) = c + a·p + b·p², one forward item at p · 1024². Counted on the full UNets (meta device, torch's
FlopCounterMode, six sizes from 256² to 1536²), which the three terms fit to the last digit: SDXL 1.589 TFLOP at 512²,
6.761 at 1024². The 5.98 (2.99 TMACs) that is often quoted leaves out attention's own products, 0.784 at 1024². Other
architectures are taken for SDXL."""

VAE_TFLOP = 10.47
"""One decode of 1024², linear in pixels [counted likewise: 9.92·p + 0.55·p²]."""

FAMILY_ARCHITECTURE = {Family.SD15: Architecture.SD1, Family.SD2: Architecture.SD2}


@dataclass(frozen=True)
class Work:
    """What there is to compute."""

    width: int
    height: int
    items: int
    """Forward items of all images."""
    passes: float
    """How often the model is called."""
    images: int = 1
    architecture: Architecture = Architecture.SDXL


def forward_tflop(width: int, height: int, architecture: Architecture = Architecture.SDXL) -> float:
    """TFLOP of one forward item."""
    c, a, b = FORWARD_TFLOP.get(architecture, FORWARD_TFLOP[Architecture.SDXL])
    p = width * height / MEGAPIXEL
    return c + a * p + b * p * p


def forward_items(
    sampler: str,
    scheduler: str,
    steps: int,
    cfg: float,
    schedule: str | None = None,
    improvements: Improvements | None = None,
) -> int:
    """Forward items of one image on the schedule that these names come to."""
    if schedule:
        sigmas = schedule_sigmas(schedule, steps)[:-1]
    elif sampler in DROP_PENULTIMATE:
        sigmas = core_sigmas(scheduler, steps + 1)[:-1]
    else:
        sigmas = core_sigmas(scheduler, steps)
    return evaluation_items(evaluations(sampler, steps), sampler, sigmas, cfg, improvements)


def evaluation_items(
    count: int, sampler: str, sigmas: Sequence[float], cfg: float, improvements: Improvements | None = None
) -> int:
    """Forward items of `count` evaluations of the model over steps that start at `sigmas`: an evaluation is two where
    it is guided, one where it is not.

    A sampler that evaluates the model more than once a step is taken to do so at the sigma where the step starts.
    """
    if cfg <= 1:
        return count
    if improvements is None or not improvements.limits_guidance or sampler.endswith(UNSAVED):
        return 2 * count
    share = sum(improvements.guides(sigma) for sigma in sigmas) / len(sigmas)
    return round(count * (1 + share))


UNSAVED = "_cfg_pp"
"""End of the names of samplers that need the negative prompt in every step: nothing is saved there."""

DROP_PENULTIMATE = frozenset(("dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"))
"""Samplers that ComfyUI gives one step more of a core schedule, without its last noise level."""


def architecture_of(parameters: OptimizedParameters) -> Architecture:
    """The architecture that the family implies."""
    return FAMILY_ARCHITECTURE.get(parameters.family, Architecture.SDXL)
