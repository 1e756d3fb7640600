"""Work of a generation: forward items, decodes, and their TFLOP.

A forward item is one latent through the UNet once: an image's evaluation has two where it is guided, one elsewhere. A
pass is a call of the model, with one or several items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..memory.upscaling import UpscaledPicture, upscaled_pixels
from ..models import Architecture
from ..units import PIXELS_PER_MEGAPIXEL
from .parameters import NO_GUIDANCE, Improvements, ModelGuidance
from .samplers import evaluations, find_sampler
from .schedules import AYS_TABLES, core_sigmas, schedule_sigmas


class Cost(NamedTuple):
    """TFLOP of one model at p · 1024²."""

    forward: tuple[float, float, float]
    """(c, a, b) of c + a·p + b·p², one forward item."""
    decode: tuple[float, float]
    """(d, e) of d·p + e·p², one decoded image."""


COSTS: dict[str, Cost] = {
    Architecture.SDXL: Cost((0.0525, 5.9571, 0.7516), (9.92, 0.55)),
    Architecture.SD1: Cost((0.0030, 2.7111, 1.9599), (9.92, 0.55)),
    Architecture.SD2: Cost((0.0040, 2.7111, 1.9599), (9.92, 0.55)),
    Architecture.DEMO: Cost((0.0000701, 0.0523585, 0.0289910), (0.2285230, 0.1374390)),
}
"""Counted on the full networks (meta device, torch's FlopCounterMode, six sizes from 256² to 1536²), which the terms
fit to the last digit: SDXL 1.589 TFLOP at 512², 6.761 at 1024². The 5.98 (2.99 TMACs) that is often quoted leaves out
attention's own products, 0.784 at 1024². Other models are taken for SDXL."""


@dataclass(frozen=True)
class Work:
    """Work of one run."""

    width: int
    height: int
    items: int
    """Forward items of all images."""
    passes: float
    """Calls of the model."""
    images: int = 1
    """Images that are decoded."""
    earlier: Work | None = None
    """First pass of the same images at another size, which decodes nothing; the other fields are those of the last."""
    enlarging: float = 0.0
    """Seconds of enlarging by a model between the passes."""

    @property
    def all_passes(self) -> float:
        """Calls of the model, those of an earlier pass included."""
        return self.passes + (self.earlier.passes if self.earlier else 0)


def cost_of(key: str) -> Cost:
    """Return the cost of the model in `key` (`OptimizedParameters.timing_key`)."""
    model = key.split(":")[1] if ":" in key else ""
    return COSTS.get(model, COSTS[Architecture.SDXL])


def forward_tflop(width: int, height: int, cost: Cost) -> float:
    """Return the TFLOP of one forward item."""
    c, a, b = cost.forward
    p = width * height / PIXELS_PER_MEGAPIXEL
    return c + a * p + b * p * p


ENCODED = 0.47
"""TFLOP of encoding a picture over those of decoding it: .444 at 512², .466 at 1024², .499 at 1536² [counted, SDXL]."""


def enlarging_tflop(upscaling: UpscaledPicture, tile: int, size: tuple[int, int], cost: Cost) -> float:
    """Return the TFLOP of enlarging a picture by a model: decoded, through the model, and encoded at `size`.

    `cost`: of the model that samples.
    """
    given, first = upscaling.cost, (upscaling.width, upscaling.height)
    by_model = given.tflop * upscaled_pixels(*first, tile) / PIXELS_PER_MEGAPIXEL
    return decode_tflop(*first, cost) + by_model + ENCODED * decode_tflop(*size, cost)


def decode_tflop(width: int, height: int, cost: Cost) -> float:
    """Return the TFLOP of one decoded image."""
    d, e = cost.decode
    p = width * height / PIXELS_PER_MEGAPIXEL
    return d * p + e * p * p


def forward_items(
    sampler: str,
    scheduler: str,
    steps: int,
    cfg: float,
    schedule: str | None = None,
    improvements: Improvements | None = None,
    guidance: ModelGuidance = NO_GUIDANCE,
) -> int:
    """Forward items of one image on the schedule that these names come to."""
    sigmas = schedule_sigmas(schedule, steps)[:-1] if schedule in AYS_TABLES else step_sigmas(sampler, scheduler, steps)
    return evaluation_items(evaluations(sampler, steps), sampler, sigmas, cfg, improvements, guidance)


def step_sigmas(
    sampler: str, scheduler: str, steps: int, trained: tuple[float, ...] | None = None
) -> tuple[float, ...]:
    """The sigmas at which each step starts, as ComfyUI's KSampler has them; see `core_sigmas`."""
    if find_sampler(sampler).drops_penultimate:
        return core_sigmas(scheduler, steps + 1, trained)[:-1]
    return core_sigmas(scheduler, steps, trained)


def evaluation_items(
    count: int,
    sampler: str,
    sigmas: Sequence[float],
    cfg: float,
    improvements: Improvements | None = None,
    guidance: ModelGuidance = NO_GUIDANCE,
) -> int:
    """Forward items of `count` evaluations of the model over steps that start at `sigmas`: an evaluation is two where
    it is guided, one where it is not.

    A sampler that evaluates the model more than once a step is taken to do so at the sigma where the step starts.
    """
    extra = (guidance.fewest_extra + guidance.most_extra) / 2
    forced = guidance.needs_negative or find_sampler(sampler).cfg_pp
    if not (forced or guidance.guided(cfg)):
        return round(count * (1 + extra))
    if forced or improvements is None or not improvements.limits_guidance:
        return round(count * (2 + extra))
    share = sum(improvements.guides(sigma) for sigma in sigmas) / len(sigmas)
    return round(count * (1 + share + extra))
