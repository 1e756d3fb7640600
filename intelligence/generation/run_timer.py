"""Times a run at the model: seconds per step and forward item, and whether a time limit will be kept."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..parameters import OptimizedParameters
from ..parameters.samplers import evaluations
from ..parameters.second_pass import first_run, second_items
from ..parameters.workload import cost_of, decode_tflop, evaluation_items, forward_tflop, step_sigmas
from ..units import format_duration
from .generation_messages import GenerationMessage


def sigmas_of(parameters: OptimizedParameters, trained: tuple[float, ...] | None = None) -> tuple[float, ...]:
    """Return the schedule of `parameters` as in ComfyUI's KSampler, ending in 0; see `core_sigmas`."""
    if parameters.sigmas is not None:
        return parameters.sigmas
    return (*step_sigmas(parameters.sampler_name, parameters.scheduler, parameters.num_steps, trained), 0.0)


def planned_items(
    parameters: OptimizedParameters, sigmas: Sequence[float], images: int = 1, calls: int | None = None
) -> int:
    """Return the forward items of `images` images on a schedule of steps + 1 `sigmas`.

    `calls`: how often the model is called for an image; None: as often as ComfyUI's sampler does.
    EasyCache's skips depend on the picture and are not counted.
    """
    if len(sigmas) < 2:
        return 0
    count = calls or evaluations(parameters.sampler_name, len(sigmas) - 1)
    return images * evaluation_items(
        count, parameters.sampler_name, sigmas[:-1], parameters.guidance_scale, parameters.improvements
    )


def all_items(parameters: OptimizedParameters) -> int:
    """Return the forward items of one image in all passes, as ComfyUI's sampler computes them."""
    first, second = first_run(parameters), parameters.second_pass
    items = planned_items(first, sigmas_of(first))
    return items + (second_items(second, parameters) if second else 0)


def step_items(parameters: OptimizedParameters, sigmas: Sequence[float]) -> list[float]:
    """Return the forward items of one image in each step on a schedule of steps + 1 `sigmas`."""
    steps = len(sigmas) - 1
    count = evaluations(parameters.sampler_name, steps) / max(1, steps)
    return [count * planned_items(parameters, (sigma, 0.0), calls=1) for sigma in sigmas[:-1]]


def decoding_items(parameters: OptimizedParameters, images: int = 1) -> float:
    """Return the time to decode `images` images, in forward items that take as long on the same device."""
    if parameters.decode_items is not None:
        return images * parameters.decode_items
    size, cost = (parameters.width, parameters.height), cost_of(parameters.timing_key)
    return images * decode_tflop(*size, cost) / forward_tflop(*size, cost)


def items_after(parameters: OptimizedParameters, images: int = 1) -> float:
    """Return the time after the first pass of `images` images, in forward items of it: a second pass and decoding."""
    second = parameters.second_pass
    if second is None:
        return decoding_items(parameters, images)
    cost = cost_of(parameters.timing_key)
    size, first = (parameters.width, parameters.height), (second.width, second.height)
    items = second.forward_items or images * second_items(second, parameters)
    taken, sampling = second.enlarging_seconds, second.estimated_seconds
    enlarging = items * taken / sampling if taken and sampling else 0.0
    share = forward_tflop(*size, cost) / forward_tflop(*first, cost)
    return (items + enlarging + decoding_items(parameters, images)) * share


RECENT_STEPS = 3
SLOWED = 1.25
"""Times the run's usual time an item that the median of the last steps must take to be what the rest is expected to
take: then another program has begun to compute. Steps of an idle machine vary by less."""

LONGEST = 3.0
"""Times the median time an item from which a step does not count for more: it waited for something else."""

STEP_SPREAD = 0.08
STEP_SPREAD_WEIGHT = 2
"""Relative spread of a run's steps before they show it, and how many steps it counts for."""

AFTER_SPREAD = 0.15
"""Relative spread of the time after sampling about its prediction."""

LATE, SAFE = 1.0, 2.0
"""Standard deviations of the time left by which a run must keep its limit: else it is changed, to keep it by the
second."""

Change = Callable[[float, float], float]
"""(forward items that the time left is enough for, seconds that the run would take) → forward items that are still to
come."""


class Pace(NamedTuple):
    """Seconds of a forward item, as the steps of a run show them."""

    mean: float
    spread: float
    """Standard deviation of a step's mean item, in shares of `mean`."""
    steps: int
    """Number of steps behind it."""
    items_per_step: float

    @classmethod
    def of(cls, rates: Sequence[float], items_per_step: float) -> Pace:
        """Return the pace of steps that took `rates` seconds a forward item: of the last ones, if those are slow."""
        recent = rates[-RECENT_STEPS:]
        shown = recent if statistics.median(recent) > SLOWED * statistics.median(rates) else rates
        longest = LONGEST * statistics.median(shown)
        cut = [min(rate, longest) for rate in shown]
        mean, count = statistics.mean(cut), len(cut)
        squares = sum((rate / mean - 1) ** 2 for rate in cut) + STEP_SPREAD_WEIGHT * STEP_SPREAD**2
        return cls(mean, (squares / (count - 1 + STEP_SPREAD_WEIGHT)) ** 0.5, count, items_per_step)

    def seconds(self, items: float, after: float, deviations: float = 0.0) -> float:
        """Return the seconds of `items` more forward items and of what comes `after` them, in items; so many standard
        deviations longer than expected."""
        steps = max(1.0, items / self.items_per_step)
        left = items + after
        known = self.spread * left * self.steps**-0.5
        doubt = (known**2 + (self.spread * items) ** 2 / steps + (AFTER_SPREAD * after) ** 2) ** 0.5
        return self.mean * (left + deviations * doubt)

    def affordable(self, seconds: float, after: float, deviations: float) -> float:
        """Return the most forward items for which `seconds` will do, with what comes `after` them; 0: none."""
        low, high = 0.0, max(0.0, seconds / self.mean - after)
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if self.seconds(middle, after, deviations) <= seconds else (low, middle)
        return low


class PassTime(NamedTuple):
    """Measurements of one pass of a run."""

    seconds: float
    seconds_per_step: float | None
    seconds_per_item: float | None
    forward_items: int


class RunTimer:
    """Seconds per step and per forward item of a run, and a warning when its time limit will be missed.

    Args:
        items: forward items of the whole run.
        after: time after sampling (decoding), in forward items that take as long.
        limit: seconds for everything; None: no limit.
        earlier: timer of the pass before, whose seconds count for the limit; None: there was none.
    """

    def __init__(
        self, items: int, after: float = 0.0, limit: float | None = None, earlier: RunTimer | None = None
    ) -> None:
        self._items, self._after, self._limit = items, after, limit
        self._started: float = earlier._started if earlier else time.perf_counter()
        self._last: tuple[float, int] | None = None
        self._count = 0
        self._steps: list[float] = []
        self._rates: list[float] = []
        self.warning: str | None = earlier.warning if earlier else None
        """Set once the limit is certain to be missed."""

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started

    @property
    def seconds_per_step(self) -> float | None:
        """Median over the steps from the second on, where the model computed; None with fewer than two steps."""
        return statistics.median(self._steps) if self._steps else None

    @property
    def seconds_per_item(self) -> float | None:
        """Median over the same steps, per forward item that the model computed."""
        return statistics.median(self._rates) if self._rates else None

    def time(self, items: int) -> PassTime:
        """Return the measurements up to now, with so many forward items."""
        return PassTime(self.seconds, self.seconds_per_step, self.seconds_per_item, items)

    def verdict(self) -> str | None:
        """Return what is to be told of the limit once everything is done: the warning, or that it was missed after all;
        None where it was held."""
        if self.warning is None and self._limit is not None and self.seconds > self._limit:
            took = format_duration(self.seconds)
            return GenerationMessage.TIME_LIMIT_EXCEEDED.format(limit=self._limit, took=took)
        return self.warning

    def pause(self) -> None:
        """Leave the time until the next step out: another forward batch starts."""
        self._last = None

    def step(self, items: int, rest: float | None = None, change: Change | None = None) -> str | None:
        """Time a step. Returns the warning once, when it is first set.

        The first step is not timed: it loads and warms up.

        Args:
            items: forward items computed so far in the run.
            rest: forward items that are still to come; None: the others of the whole run.
            change: may shorten a run that will be late.
        """
        now = time.perf_counter()
        self._count += 1
        if self._last is not None:
            seconds, computed = now - self._last[0], items - self._last[1]
            if computed:
                self._steps.append(seconds)
                self._rates.append(seconds / computed)
        self._last = now, items
        if self._limit is None or not self._rates:
            return None
        pace, spent = Pace.of(self._rates, items / self._count), now - self._started
        left, after = self._limit - spent, self._after
        rest = max(0, self._items - items) if rest is None else rest
        expected = spent + pace.seconds(rest, after)
        if change is not None and pace.seconds(rest, after, LATE) > left:
            rest = change(pace.affordable(left, after, SAFE), expected)
            expected = spent + pace.seconds(rest, after)
        if self.warning is None and expected > self._limit:
            took = format_duration(expected)
            self.warning = GenerationMessage.TIME_LIMIT_MISSED.format(limit=self._limit, expected=took)
            return self.warning
        return None
