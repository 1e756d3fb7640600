"""How long a generation takes: work in TFLOP over the speed of the device.

t = t_fixed + items · F(p) / R + images · V(p) / R, with p = pixels / 1024², items = evaluations × 2 with CFG × images,
and R learned per device and kind of model from finished runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..config import EMBEDDED_MODEL
from ..registry import Architecture, Family, ModelEvidence
from .parameters import OptimizedParameters
from .samplers import evaluations

MEGAPIXEL = 1024 * 1024

FORWARD_TFLOP: dict[Architecture, tuple[float, float]] = {
    Architecture.SDXL: (5.23, 0.75),
    Architecture.SD1: (2.72, 1.95),
    Architecture.SD2: (2.72, 1.95),
}
"""(a, b) of F(p) = a·p + b·p², one forward item. SDXL: 2.99 TMACs at 1024². SD1 and SD2: counted on the modules at 512,
768 and 1024² with torch's FlopCounterMode (0.80, 2.15, 4.67), within 1 %. Other architectures are taken for SDXL."""

VAE_TFLOP = 10.3
"""One decode of 1024², linear in pixels [counted likewise: 2.51 at 512², 10.47 at 1024²]."""

FIXED_SECONDS = 1.0
"""Text encoding and what else comes once a run."""

PRIOR_TFLOPS = {"cuda": 10.0, "mps": 2.0, "cpu": 0.1, f"cpu:{EMBEDDED_MODEL}": 10.0}
"""Sustained TFLOP/s before anything was learned: low on purpose. An A100 reaches about 108, 35 % of its
peak. The embedded model does so little of SDXL's work that 2 cores take 0.27 s an item at 1024², as if at 22."""

_FAMILY_ARCHITECTURE = {Family.SD15: Architecture.SD1, Family.SD2: Architecture.SD2}


@dataclass(frozen=True)
class Work:
    """What there is to compute."""

    width: int
    height: int
    steps: int
    sampler: str
    cfg: float
    images: int = 1
    architecture: Architecture = Architecture.SDXL


class TimeEstimate(NamedTuple):
    """Seconds for all images, and whether the device's speed was learned (or is the prior)."""

    seconds: float
    learned: bool


def forward_tflop(width: int, height: int, architecture: Architecture = Architecture.SDXL) -> float:
    """TFLOP of one forward item."""
    a, b = FORWARD_TFLOP.get(architecture, FORWARD_TFLOP[Architecture.SDXL])
    p = width * height / MEGAPIXEL
    return a * p + b * p * p


def forward_items(work: Work) -> int:
    """Forward items of the whole run: CFG above 1 computes each evaluation twice."""
    return evaluations(work.sampler, work.steps) * (2 if work.cfg > 1 else 1) * work.images


def estimate(work: Work, key: str, throughput: float | None = None) -> TimeEstimate:
    """How long `work` takes at the learned `throughput` (TFLOP/s), else at the prior of `key` (`throughput_key`)."""
    prior = PRIOR_TFLOPS.get(key) or PRIOR_TFLOPS.get(key.partition(":")[0], PRIOR_TFLOPS["cpu"])
    speed = throughput or prior
    sampling = forward_items(work) * forward_tflop(work.width, work.height, work.architecture)
    decoding = work.images * VAE_TFLOP * work.width * work.height / MEGAPIXEL
    return TimeEstimate(FIXED_SECONDS + (sampling + decoding) / speed, throughput is not None)


def step_tflop(parameters: OptimizedParameters, batch_size: int = 1) -> float:
    """TFLOP of one sampling step of a forward batch: over its seconds, the throughput to learn from.

    An average, where the sampler evaluates the model more than once a step.
    """
    items = evaluations(parameters.sampler_name, parameters.num_steps) / parameters.num_steps
    items *= (2 if parameters.guidance_scale > 1 else 1) * batch_size
    architecture = _FAMILY_ARCHITECTURE.get(parameters.family, Architecture.SDXL)
    return items * forward_tflop(parameters.width, parameters.height, architecture)


def throughput_key(device: str, model: ModelEvidence | None = None) -> str:
    """The key to keep a throughput under: the device's kind, and apart from it the embedded model, which is tiny."""
    return f"{device}:{EMBEDDED_MODEL}" if model is not None and model.name == EMBEDDED_MODEL else device
