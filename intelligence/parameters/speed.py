"""The clock: a device's speed, learned from its runs, and the seconds of a run, with an interval.

All seconds come from here; memory plans multiply its `Rates`.

A run's seconds are the sum of six parts: forward items' and decodes' TFLOP that grow with the pixels and with their
square, passes of the model, and the run itself. Bayesian linear regression over earlier runs finds the seconds of each:
its prior is one speed for all TFLOP, so that the first run tells the speed, and runs of other sizes tell the parts
apart. Residuals count as Student's t (4 degrees of freedom), so that a run that loaded the model, or shared the
machine, does not count for much; they also give the interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from statistics import median
from typing import Any, NamedTuple

from ..learning import Timing
from ..memory import Rates
from ..memory.job import FLOAT32_SLOWDOWN
from ..models import Architecture
from ..units import BYTES_PER_GIB, PIXELS_PER_MEGAPIXEL
from .workload import Cost, Work, cost_of, forward_tflop

PRIOR_TFLOPS = {"cuda": 10.0, "mps": 2.0, "cpu": 0.1, Architecture.DEMO: 0.05}
"""Sustained TFLOP/s before anything was learned: low on purpose. An A100 reaches about 122, 39 % of its peak, 2 cores
0.2. The demo model is so small that computing is the least of it: a core takes 0.02 s an item at 128²."""

ITEM_SPREAD = (0.6, 1.0)
"""Standard deviation of what a TFLOP of a forward item's linear and quadratic part takes, in shares of the speed that
the runs show as a whole: small models have other proportions, and convolutions another efficiency."""

DECODE_SPREAD = (1.5, 1.0)
"""The same of a decode's linear part, and of as many TFLOP that grow with the square: large pictures leave caches."""

PASS_SPREAD = 0.1
"""Standard deviation of a pass' own seconds (mean 0), in shares of the forward items that the runs timed."""

RUN_SECONDS = (0.3, 0.5)
"""Mean and standard deviation of a run's own seconds."""

NOISE = 0.08
NOISE_WEIGHT = 2.0
"""Relative spread of runs before residuals tell it, and how many runs it counts for."""

LEAST_SHARE = 0.3
"""Share of the time of its TFLOP that a run takes at least, whatever earlier runs tell."""

FORGETTING = 0.97
"""Weight of a run against the one after it: half after 23 runs."""

TAILS = 4.0
QUANTILE = 2.13
"""Of Student's t with as many degrees of freedom, for an interval that holds 90 %."""

ALIKE_ENLARGINGS, SAME_SIZE = 5, 0.1
"""Newest enlargings by a model of the nearest size, whose median counts, and the difference of logarithms of pixels up
to which sizes are one: larger tiles leave caches."""

PARTS = 6
ITEM, DECODE = slice(0, 3), slice(4, 6)
"""Number of parts (`_parts`), and those of forward items and of decodes."""

READ_GIB_S = 250.0
"""Rate at which a device reads its own memory: the slowest usual 8 GB cards (RTX 4060: 272)."""

STREAMED_GIB_S = 10.0
"""From pinned RAM, module by module: PCIe 3.0 x16 moves 14.7 GiB/s at best, about two thirds of it in practice."""

MOVED_GIB_S = 2.8
"""Of whole models, from and to pageable RAM. From Hugging Face's readings for SDXL on an A100: model offload takes
16.1 s in place of 11.4 for 6.5 GiB there and back."""

HOOKED_FORWARD_SECONDS = 0.03
"""Hooks at each of 1050 modules, 26 µs each [diffusers 0.42's group offload on a CPU, empty model]."""


class TimeEstimate(NamedTuple):
    """Seconds for all images."""

    seconds: float
    low: float
    high: float
    """`low` to `high` holds 90 %."""
    runs: int
    """Number of earlier runs behind it; 0: the prior."""

    @property
    def learned(self) -> bool:
        """Earlier runs told the device's speed."""
        return self.runs > 0

    @property
    def interval(self) -> tuple[float, float] | None:
        """`low` and `high`, where they are learned."""
        return (self.low, self.high) if self.learned else None

    def holds(self, limit: float) -> bool:
        """Tell whether `limit` (seconds) is held, by the upper end of a learned interval or by a cautious guess."""
        return (self.high if self.learned else self.seconds) <= limit


@dataclass(frozen=True)
class Speed:
    """Seconds of a device for one kind of model. `learn` makes it."""

    seconds: tuple[float, ...]
    """Of each part (`_parts`), for one unit of it."""
    covariance: tuple[tuple[float, ...], ...]
    noise: float
    """Relative spread of a run's seconds."""
    runs: float
    """Earlier runs, older ones with less weight; 0: none."""
    cost: Cost
    """Of the model that ran."""

    def estimate(self, work: Work) -> TimeEstimate:
        """Return the seconds of `work`, with an interval."""
        parts = _all_parts(work, self.cost)
        expected = sum(self._taken(parts)) + work.enlarging
        if not self.runs:
            return TimeEstimate(expected, 0.0, 1.5 * expected, 0)
        seconds = max(expected, LEAST_SHARE * sum(parts[:2]) * self.seconds[0], 1e-3)
        doubt = sum(one * other * self.covariance[i][j] for i, one in enumerate(parts) for j, other in enumerate(parts))
        freedom = NOISE_WEIGHT + self.runs
        reach = QUANTILE * (1 + 1 / freedom) * ((self.noise * seconds) ** 2 + max(0.0, doubt)) ** 0.5
        return TimeEstimate(seconds, max(0.0, seconds - reach), seconds + reach, max(1, round(self.runs)))

    def decode_items(self, work: Work) -> float:
        """Return the time of decoding an image, in forward items that take as long."""
        taken = self._taken(_parts(work, self.cost))
        return max(0.0, sum(taken[DECODE]) / work.images) / self.item_seconds(work)

    def item_seconds(self, work: Work) -> float:
        """Return the seconds of a forward item."""
        parts = _parts(work, self.cost)
        return max(sum(self._taken(parts)[ITEM]), LEAST_SHARE * sum(parts[:2]) * self.seconds[0], 1e-6) / work.items

    def rates(self, work: Work) -> Rates:
        """Return the rates at the size of `work`, for its memory plan; by them it takes the estimated seconds."""
        estimate = self.estimate(work)
        forward_item = min(self.item_seconds(work), estimate.seconds / work.items)
        left = estimate.seconds - work.items * forward_item
        decoding = min(left, max(0.0, sum(self._taken(_parts(work, self.cost))[DECODE])))
        return Rates(
            forward_item=forward_item,
            decoded_pixel=decoding / (work.images * work.width * work.height),
            run=left - decoding,
            read_byte=1 / READ_GIB_S / BYTES_PER_GIB,
            moved_byte=1 / MOVED_GIB_S / BYTES_PER_GIB,
            streamed_byte=1 / STREAMED_GIB_S / BYTES_PER_GIB,
            hooked_forward=HOOKED_FORWARD_SECONDS,
            learned=estimate.learned,
        )

    def _taken(self, parts: Sequence[float]) -> list[float]:
        return [part * each for part, each in zip(parts, self.seconds, strict=True)]


def learn(timings: Sequence[Timing], key: str) -> Speed:
    """Return the speed that `timings` (oldest first) show; without any the cautious prior of `key` (`timing_key`)."""
    device, model = (*key.split(":"), "")[:2]
    cost = cost_of(key)
    if not timings:
        each = 1 / (PRIOR_TFLOPS.get(model) or PRIOR_TFLOPS.get(device, PRIOR_TFLOPS["cpu"]))
        none = ((0.0,) * PARTS,) * PARTS
        return Speed(_prior(each, cost), none, NOISE, 0.0, cost)
    return _fit(timings, cost)


def enlarging_seconds(tflop: float, pixels: int, timings: Sequence[Timing], speed: Speed, device: str) -> float:
    """Return the seconds of enlarging by a model (`enlarging_tflop`).

    Args:
        pixels: of a picture that goes in.
        timings: of earlier runs with it (`upscale_key`); without any, it is as fast as sampling in float32.
        speed: of the model that samples.
    """
    if timings:
        apart = [(abs(log(one.width * one.height / pixels)), one.item_seconds) for one in timings]
        alike = [seconds for distance, seconds in apart if distance <= min(apart)[0] + SAME_SIZE]
        return tflop * 1000 * median(alike[-ALIKE_ENLARGINGS:])
    return tflop * speed.seconds[0] * (1.0 if device == "cpu" else FLOAT32_SLOWDOWN)


def upscale_key(device: str, upscaler: str) -> str:
    """Return the key of remembered enlargings by an upscale model; their items are GFLOP."""
    return f"{device}:upscale:{upscaler}"


def timing_key(device: str, architecture: Architecture, unet_gb: float | None) -> str:
    """Return the key of remembered runs: device, architecture, and the size of the UNet.

    The size tells SDXL from its smaller relatives and fp16 from fp8; a key without it finds the runs of every size.
    """
    size = f":{unet_gb:.1f}" if unet_gb else ""
    return f"{device}:{architecture.value}{size}"


def _parts(work: Work, cost: Cost) -> tuple[float, ...]:
    """Forward items' TFLOP that grow with the pixels and with their square, passes, the run, and decodes' TFLOP."""
    (c, a, b), (d, e) = cost
    p = work.width * work.height / PIXELS_PER_MEGAPIXEL
    items = (work.items * (c + a * p), work.items * b * p * p)
    return (*items, work.passes, 1.0, work.images * d * p, work.images * (d + e) * p * p)


def _all_parts(work: Work, cost: Cost) -> tuple[float, ...]:
    """Parts of a run of one pass or two."""
    parts = _parts(work, cost)
    if work.earlier is None:
        return parts
    run = parts[3]
    both = [one + other for one, other in zip(parts, _parts(work.earlier, cost), strict=True)]
    return (*both[:3], run, *both[4:])


def _prior(each: float, cost: Cost) -> tuple[float, ...]:
    """Seconds of each part at `each` seconds per TFLOP."""
    d, e = cost.decode
    return (each, each, 0.0, RUN_SECONDS[0], each, each * e / (d + e))


def _fit(timings: Sequence[Timing], cost: Cost) -> Speed:
    """Every run gives two rows: one for its forward item, one for its total."""
    import numpy as np

    rows, ages = [], []
    for age, timing in enumerate(reversed(timings)):
        whole = _parts(Work(timing.width, timing.height, timing.items, timing.passes, timing.images), cost)
        item = [part / timing.items for part in whole[ITEM]] + [0.0] * (PARTS - 3)
        rows += [[part / timing.item_seconds for part in item], [part / timing.seconds for part in whole]]
        ages += [FORGETTING**age] * 2
    x, age_weights = np.array(rows), np.array(ages)
    each = median(timing.item_seconds / forward_tflop(timing.width, timing.height, cost) for timing in timings)
    item_seconds = median(timing.item_seconds for timing in timings)
    mean = np.array(_prior(each, cost))
    shares = [each * share for share in (*ITEM_SPREAD, *DECODE_SPREAD)]
    spread = np.array([*shares[:2], PASS_SPREAD * item_seconds, RUN_SECONDS[1], *shares[2:]])
    z, rest = x * spread, 1 - x @ mean
    weights, noise = age_weights, NOISE
    totals = slice(1, None, 2)
    for _ in range(20):
        roots = weights**0.5
        q, r = np.linalg.qr(np.vstack([roots[:, None] * z, noise * np.eye(PARTS)]))
        inverse = np.linalg.inv(r)
        found = inverse @ (q[: len(z)].T @ (roots * rest))
        residuals = z @ found - rest
        # What a run itself decides of the prediction for it says nothing of how far runs spread.
        free = 1 - np.sum(q[: len(z)] ** 2, axis=1)
        weights = age_weights * (TAILS + 1) / (TAILS + (residuals / noise) ** 2)
        squares = float(np.sum((weights * residuals**2)[totals]))
        freedom = float(np.sum((age_weights * free)[totals]))
        noise = ((NOISE_WEIGHT * NOISE**2 + squares) / (NOISE_WEIGHT + freedom)) ** 0.5
    theta = mean + spread * found
    covariance: Any = noise**2 * np.outer(spread, spread) * (inverse @ inverse.T)
    return Speed(
        seconds=tuple(float(value) for value in theta),
        covariance=tuple(tuple(float(value) for value in row) for row in covariance),
        noise=noise,
        runs=float(np.sum(age_weights[totals])),
        cost=cost,
    )
