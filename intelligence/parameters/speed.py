"""How fast a device is, learned from its runs, and how long a run will take, with an interval.

A run's seconds are taken for a sum of five parts: forward items' TFLOP that grow with the pixels and with their square,
passes of the model, the run itself, and the decode. Bayesian linear regression over what earlier runs took finds the
seconds of each: its prior is one speed for all TFLOP, so that the first run tells the speed, and runs of other sizes
tell the parts apart. Residuals count as Student's t (4 degrees of freedom), so that a run that loaded the model, or
shared the machine, does not count for much; they also give the interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from ..config import EMBEDDED_MODEL
from ..learning import Timing
from ..registry import Architecture, ModelEvidence
from .timing import FORWARD_TFLOP, MEGAPIXEL, VAE_TFLOP, Work, forward_tflop

PRIOR_TFLOPS = {"cuda": 10.0, "mps": 2.0, "cpu": 0.1, EMBEDDED_MODEL: 10.0}
"""Sustained TFLOP/s before anything was learned: low on purpose. An A100 reaches about 122, 39 % of its peak, 2 cores
0.2. The embedded model does so little of SDXL's work that 2 cores take 0.27 s an item at 1024², as if at 25."""

PRIOR_SPREAD = (0.6, 1.0, 1.5)
"""Standard deviation of what a TFLOP of the linear part, the quadratic part and the decode takes, in shares of the
speed that the runs show as a whole: small models have other proportions, and convolutions another efficiency."""

PASS_SECONDS = 0.1
RUN_SECONDS = (0.3, 0.5)
"""Standard deviation of a pass' own seconds (mean 0); mean and standard deviation of a run's own."""

NOISE = 0.08
NOISE_WEIGHT = 2.0
"""Relative spread of runs before residuals tell it, and how many runs it counts for."""

FORGETTING = 0.97
"""How much a run counts against the one after it: half after 23 runs."""

TAILS = 4.0
QUANTILE = 2.13
"""Of Student's t with as many degrees of freedom, for an interval that holds 90 %."""


class TimeEstimate(NamedTuple):
    """Seconds for all images."""

    seconds: float
    low: float
    high: float
    """`low` to `high` holds 90 %."""
    runs: int
    """How many earlier runs it rests on; 0: the prior."""

    @property
    def learned(self) -> bool:
        """Whether earlier runs told the device's speed."""
        return self.runs > 0


@dataclass(frozen=True)
class Speed:
    """What a device takes for one kind of model. `learn` makes it."""

    seconds: tuple[float, ...]
    """Of each part (`_parts`)."""
    covariance: tuple[tuple[float, ...], ...]
    noise: float
    """Relative spread of a run's seconds."""
    runs: float
    """Earlier runs, the older ones counted for less; 0: none."""

    def estimate(self, work: Work) -> TimeEstimate:
        """How long `work` takes."""
        parts = _parts(work)
        expected = sum(part * each for part, each in zip(parts, self.seconds, strict=True))
        if not self.runs:
            return TimeEstimate(expected, 0.0, 1.5 * expected, 0)
        seconds = max(expected, 0.3 * _tflop(work) * self.seconds[0], 1e-3)
        doubt = sum(one * other * self.covariance[i][j] for i, one in enumerate(parts) for j, other in enumerate(parts))
        freedom = NOISE_WEIGHT + self.runs
        reach = QUANTILE * (1 + 1 / freedom) * ((self.noise * seconds) ** 2 + max(0.0, doubt)) ** 0.5
        return TimeEstimate(seconds, max(0.0, seconds - reach), seconds + reach, max(1, round(self.runs)))


def learn(timings: Sequence[Timing], key: str) -> Speed:
    """The speed that `timings` (oldest first) show, or the cautious prior of `key` without any."""
    device, _, model = key.partition(":")
    slowest = PRIOR_TFLOPS.get(model) or PRIOR_TFLOPS.get(device, PRIOR_TFLOPS["cpu"])
    each = 1 / slowest
    if not timings:
        none = ((0.0,) * 5,) * 5
        return Speed((each, each, 0.0, RUN_SECONDS[0], each), none, NOISE, 0.0)
    architecture = _architecture(key)
    each = median(timing.item_seconds / forward_tflop(timing.width, timing.height, architecture) for timing in timings)
    return _fit(timings, architecture, each)


def timing_key(device: str, architecture: Architecture, model: ModelEvidence | None, unet_gb: float | None) -> str:
    """What runs are remembered under: device, architecture, and the size of the UNet, which tells SDXL from its smaller
    relatives and fp16 from fp8; the embedded model apart. Without the size, the runs of every size are found."""
    if model is not None and model.name == EMBEDDED_MODEL:
        return f"{device}:{EMBEDDED_MODEL}"
    size = f":{unet_gb:.1f}" if unet_gb else ""
    return f"{device}:{architecture.value}{size}"


def _architecture(key: str) -> Architecture:
    name = key.split(":")[1] if ":" in key else ""
    return Architecture(name) if name in list(Architecture) else Architecture.SDXL


def _tflop(work: Work) -> float:
    return work.items * forward_tflop(work.width, work.height, work.architecture)


def _parts(work: Work) -> tuple[float, ...]:
    c, a, b = FORWARD_TFLOP.get(work.architecture, FORWARD_TFLOP[Architecture.SDXL])
    p = work.width * work.height / MEGAPIXEL
    return (work.items * (c + a * p), work.items * b * p * p, work.passes, 1.0, work.images * VAE_TFLOP * p)


def _fit(timings: Sequence[Timing], architecture: Architecture, each: float) -> Speed:
    """Regression around `each` seconds per TFLOP. Every run gives two rows: one for its item, one for its total."""
    import numpy as np

    rows, ages = [], []
    for age, timing in enumerate(reversed(timings)):
        item = Work(timing.width, timing.height, 1, timing.passes / timing.items, 0, architecture)
        whole = Work(timing.width, timing.height, timing.items, timing.passes, timing.images, architecture)
        one = (*_parts(item)[:3], 0.0, 0.0)
        rows += [[part / timing.item_seconds for part in one], [part / timing.seconds for part in _parts(whole)]]
        ages += [FORGETTING**age] * 2
    x, age_weights = np.array(rows), np.array(ages)
    mean = np.array([each, each, 0.0, RUN_SECONDS[0], each])
    spread = np.array(
        [each * PRIOR_SPREAD[0], each * PRIOR_SPREAD[1], PASS_SECONDS, RUN_SECONDS[1], each * PRIOR_SPREAD[2]]
    )
    weights, noise = age_weights, NOISE
    for _ in range(20):
        prior = np.diag(noise**2 / spread**2)
        precision = x.T @ (weights[:, None] * x) + prior
        theta = np.linalg.solve(precision, x.T @ weights + prior @ mean)
        residuals = x @ theta - 1
        robust = (TAILS + 1) / (TAILS + (residuals / noise) ** 2)
        weights = age_weights * robust
        totals = slice(1, None, 2)
        squares = float(np.sum((weights * residuals**2)[totals]))
        noise = ((NOISE_WEIGHT * NOISE**2 + squares) / (NOISE_WEIGHT + float(np.sum(age_weights[totals])))) ** 0.5
    covariance: Any = noise**2 * np.linalg.inv(precision)
    return Speed(
        seconds=tuple(float(value) for value in theta),
        covariance=tuple(tuple(float(value) for value in row) for row in covariance),
        noise=noise,
        runs=float(np.sum(age_weights[totals])),
    )
