"""Noise levels (sigmas) that a run steps through: explicit schedules, and those that ComfyUI's schedulers make.

ComfyUI's schedulers are computed here for predictions, on the noise levels that SD and SDXL were trained with, and for
diffusers, on those of the loaded model. While ComfyUI samples, its own functions are called.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import accumulate

from ..errors import InvalidInputError

AYS_TABLES: dict[str, tuple[float, ...]] = {
    "ays": (
        *(14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945),
        *(0.8620721141, 0.5550693289, 0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582),
    ),
    "ays_sd1": (
        *(14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177),
        *(1.3943805092, 0.9642583904, 0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582),
    ),
}
"""Align Your Steps (arXiv 2404.14507), 10 steps, before the last sigma is put to 0: SDXL and SD 1.5, with the digits of
ComfyUI's AlignYourStepsScheduler, so that both step through the same sigmas."""

FLUX2 = "flux2"
FLUX2_PIXELS = 16 * 16
"""Pixels of a token of Flux.2."""

FIXED_TABLES: dict[str, tuple[float, ...]] = {
    "qwen_image_2_1_turbo": (1.0, 0.978453, 0.95418, 0.926626, 0.89508, 0.845148, 0.704534, 0.414568),
}
"""Sigmas that distilled models were made for, before the final 0 [ComfyUI's template image_qwen_image_2_1_turbo]."""

EXPLICIT_SCHEDULES = (*AYS_TABLES, FLUX2, *FIXED_TABLES)

TRAINED_STEPS = 1000
BETA_ENDS = (0.00085, 0.012)
"""SD and SDXL: 1000 betas, evenly spaced in their square roots."""

Trained = tuple[float, ...]
"""A model's sigmas at its training steps, rising."""


@dataclass(frozen=True)
class Scheduler:
    """A scheduler (spacing of the noise levels) of ComfyUI's."""

    name: str
    display: str
    """A1111's schedule type."""
    sigmas: Callable[[int, Trained], list[float]]
    """(steps, trained) → the sigmas at which the steps start [comfy/samplers.py]."""
    fits_zsnr: bool = False
    """Follows the model's own training steps. The others would spend most steps of a model with zero terminal SNR above
    sigma 60: karras-10 6 of 10 [measured at sigma_max 4518.8]."""


def scheduler_title(name: str) -> str:
    """Return A1111's schedule type of ComfyUI's scheduler `name`; the name itself of another pack's."""
    return _BY_NAME[name].display if name in _BY_NAME else name


def unknown_name(kind: str, name: str, known: Sequence[str]) -> InvalidInputError:
    """Return the error for a `name` that is not among `known`, with those that come close."""
    close = get_close_matches(str(name), known, n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(known)}"
    return InvalidInputError(f"unknown {kind} {name!r}; {hint}")


def schedule_sigmas(schedule: str, steps: int) -> tuple[float, ...]:
    """Return `steps` + 1 sigmas of Align Your Steps, ending in 0; log-linear between those for 10 steps."""
    table = AYS_TABLES[schedule]
    return (*(_at(index * (len(table) - 1) / steps, table) for index in range(steps)), 0.0)


def explicit_sigmas(schedule: str, steps: int, width: int, height: int) -> tuple[float, ...]:
    """Return `steps` + 1 sigmas of an explicit schedule, ending in 0.

    `schedule`: `ays` and `ays_sd1` (Align Your Steps), `flux2` (Flux.2's, which depends on the size in pixels), or one
    of `FIXED_TABLES`, log-linear between its values for another count of steps.
    """
    if schedule == FLUX2:
        return _flux2_sigmas(steps, width * height / FLUX2_PIXELS)
    if table := FIXED_TABLES.get(schedule):
        if steps == len(table):
            return (*table, 0.0)
        return (*(_at(index * (len(table) - 1) / max(1, steps - 1), table) for index in range(steps)), 0.0)
    return schedule_sigmas(schedule, steps)


def _flux2_sigmas(steps: int, tokens: float) -> tuple[float, ...]:
    """Return the sigmas of ComfyUI's Flux2Scheduler [comfy_extras/nodes_flux.py]."""
    tokens = round(tokens)
    many, few = 0.00016927 * tokens + 0.45666666, 8.73809524e-05 * tokens + 1.89833333
    slope = (many - few) / 190
    mu = many if tokens > 4300 else slope * steps + many - 200 * slope
    times = (1 - index / steps for index in range(steps))
    return (*(math.exp(mu) / (math.exp(mu) + 1 / time - 1) for time in times), 0.0)


@cache
def core_sigmas(scheduler: str, steps: int, trained: Trained | None = None) -> tuple[float, ...]:
    """Return the sigmas of ComfyUI's `scheduler` before the final 0, those of `normal` for one that core lacks.

    `trained`: the model's sigmas at its training steps, rising; None: those of an epsilon model of SD's or SDXL's usual
    training.
    """
    row = _BY_NAME.get(scheduler, _BY_NAME["normal"])
    return tuple(row.sigmas(steps, trained or usual_sigmas()))


@cache
def usual_sigmas() -> tuple[float, ...]:
    """Return the sigmas of the training steps, rising from 0.0292 to 14.6146."""
    low, high = (math.sqrt(beta) for beta in BETA_ENDS)
    product, sigmas = 1.0, []
    for index in range(TRAINED_STEPS):
        product *= 1 - (low + (high - low) * index / (TRAINED_STEPS - 1)) ** 2
        sigmas.append(math.sqrt((1 - product) / product))
    return tuple(sigmas)


def _at(step: float, sigmas: tuple[float, ...]) -> float:
    low = min(int(step), len(sigmas) - 2)
    first, second = math.log(sigmas[low]), math.log(sigmas[low + 1])
    return math.exp(first + (second - first) * (step - low))


def _between(start: float, end: float, count: int) -> list[float]:
    return [start + (end - start) * index / max(1, count - 1) for index in range(count)]


def _normal(steps: int, trained: Trained) -> list[float]:
    return [_at(step, trained) for step in _between(len(trained) - 1, 0, steps)]


def _sgm_uniform(steps: int, trained: Trained) -> list[float]:
    return [_at(step, trained) for step in _between(len(trained) - 1, 0, steps + 1)[:-1]]


def _simple(steps: int, trained: Trained) -> list[float]:
    return [trained[-1 - int(index * len(trained) / steps)] for index in range(steps)]


def _ddim_uniform(steps: int, trained: Trained) -> list[float]:
    return list(trained[1 :: max(len(trained) // steps, 1)])[::-1]


def _karras(steps: int, trained: Trained) -> list[float]:
    high, low = trained[-1] ** (1 / 7), trained[0] ** (1 / 7)
    return [root**7 for root in _between(high, low, steps)]


def _exponential(steps: int, trained: Trained) -> list[float]:
    return [math.exp(log) for log in _between(math.log(trained[-1]), math.log(trained[0]), steps)]


def _kl_optimal(steps: int, trained: Trained) -> list[float]:
    return [math.tan(angle) for angle in _between(math.atan(trained[-1]), math.atan(trained[0]), steps)]


def _beta(steps: int, trained: Trained) -> list[float]:
    positions = [round(_beta_quantile(1 - index / steps) * (len(trained) - 1)) for index in range(steps)]
    return [trained[position] for position in dict.fromkeys(positions)]


def _linear_quadratic(steps: int, trained: Trained) -> list[float]:
    if steps == 1:
        return [trained[-1]]
    threshold, linear = 0.025, steps // 2
    rest, excess = steps - linear, linear - threshold * steps
    square = excess / (linear * rest**2)
    slope = threshold / linear - 2 * excess / rest**2
    gone = [index * threshold / linear for index in range(linear)]
    gone += [square * index**2 + slope * index + square * linear**2 for index in range(linear, steps)]
    return [(1 - part) * trained[-1] for part in gone]


_BETA_SHAPE = 0.6
_BETA_PARTS = 4000


def _beta_quantile(probability: float) -> float:
    """Quantile of the beta distribution with both shapes 0.6."""
    cumulative = _beta_cumulative()
    part = bisect(cumulative, probability * cumulative[-1])
    return math.sin(min(part + 0.5, _BETA_PARTS) * math.pi / 2 / _BETA_PARTS) ** 2


@cache
def _beta_cumulative() -> tuple[float, ...]:
    """Integral of the density up to x = sin²(u) for rising u, which has no poles at 0 and 1."""
    angles = ((part + 0.5) * math.pi / 2 / _BETA_PARTS for part in range(_BETA_PARTS))
    return tuple(accumulate((math.sin(angle) * math.cos(angle)) ** (2 * _BETA_SHAPE - 1) for angle in angles))


SCHEDULERS: tuple[Scheduler, ...] = (
    Scheduler("simple", "Simple", _simple, fits_zsnr=True),
    Scheduler("sgm_uniform", "SGM Uniform", _sgm_uniform, fits_zsnr=True),
    Scheduler("karras", "Karras", _karras),
    Scheduler("exponential", "Exponential", _exponential),
    Scheduler("ddim_uniform", "DDIM", _ddim_uniform, fits_zsnr=True),
    Scheduler("beta", "Beta", _beta),
    Scheduler("normal", "Normal", _normal, fits_zsnr=True),
    Scheduler("linear_quadratic", "Linear Quadratic", _linear_quadratic),
    Scheduler("kl_optimal", "KL Optimal", _kl_optimal),
)

_BY_NAME = {scheduler.name: scheduler for scheduler in SCHEDULERS}

SCHEDULER_NAMES = tuple(_BY_NAME)
ZSNR_SCHEDULERS = frozenset(scheduler.name for scheduler in SCHEDULERS if scheduler.fits_zsnr)
