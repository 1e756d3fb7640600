"""Settings that give way, in a fixed order, where a generation does not fit its time or memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ..memory import MemoryPlan, describe
from ..memory.upscaling import UpscaleCost
from ..records import Reason, Source
from ..units import format_duration, format_memory
from .parameter_messages import ParameterMessage
from .parameters import (
    LATENT_UPSCALER,
    NO_GUIDANCE,
    SIZE_MULTIPLE,
    Improvements,
    Lever,
    ModelGuidance,
    OptimizedParameters,
    SecondPass,
)
from .resolution import smaller_sizes
from .samplers import evaluations
from .schedules import explicit_sigmas
from .second_pass import planned as planned_second
from .second_pass import second_items
from .speed import TimeEstimate
from .workload import Work, forward_items

MIN_STEPS = 8
MIN_ALIGN_YOUR_STEPS = 10
"""Steps of Align Your Steps from which on nothing is lost against the ordinary schedule."""

CUTOFF_SIGMA = 0.28
"""Sigma below which guidance changes little [arXiv 2404.07724]. Leaving it out there saves 15 % of the forward items
of karras-20, 10 % of Align Your Steps-10, 5 % of normal-20 [measured]."""


@dataclass(frozen=True)
class Choice:
    """Settings on their way to a decision."""

    steps: int
    cfg: float
    sampler: str
    scheduler: str
    schedule: str | None
    width: int
    height: int
    improvements: Improvements = field(default_factory=Improvements)
    guidance: ModelGuidance = NO_GUIDANCE
    """Guidance that is on the model already."""
    first: tuple[int, int] | None = None
    """Width and height of the first picture, where a second pass follows; None: one pass."""
    upscaler: str = LATENT_UPSCALER
    cost: UpscaleCost | None = None
    """Size and work of the upscale model."""

    @property
    def first_size(self) -> tuple[int, int]:
        """Width and height of what is sampled first."""
        return self.first or (self.width, self.height)

    @property
    def sigmas(self) -> tuple[float, ...] | None:
        """Sigmas of the explicit schedule, or None."""
        return explicit_sigmas(self.schedule, self.steps, *self.first_size) if self.schedule else None

    @property
    def second(self) -> SecondPass | None:
        """The second pass, or None."""
        return planned_second(self.first, self.steps, self.upscaler, self.cost) if self.first else None

    @property
    def items(self) -> int:
        """Forward items of one image."""
        return self._first_items + self.second_items

    @property
    def _first_items(self) -> int:
        names = self.sampler, self.scheduler, self.steps
        return forward_items(*names, self.cfg, self.schedule, self.improvements, self.guidance)

    @property
    def second_items(self) -> int:
        """Forward items of one image's second pass; 0 without one."""
        if (second := self.second) is None:
            return 0
        run = OptimizedParameters(
            self.steps,
            self.cfg,
            self.width,
            self.height,
            self.sampler,
            self.scheduler,
            improvements=self.improvements,
        )
        return second_items(second, run, self.guidance)

    def resized(self, width: int, height: int) -> Choice:
        """Return the choice at another size in pixels, its first picture in the same proportion."""
        if self.first is None:
            return replace(self, width=width, height=height)
        share = (self.first[0] * self.first[1] / (self.width * self.height)) ** 0.5
        first = tuple(round(side * share / SIZE_MULTIPLE) * SIZE_MULTIPLE for side in (width, height))
        return replace(self, width=width, height=height, first=(first[0], first[1]))

    def work(self, images: int) -> Work:
        """Work of so many images."""
        passes, items = evaluations(self.sampler, self.steps) * images, self._first_items * images
        if (second := self.second) is None:
            return Work(self.width, self.height, items, passes, images)
        earlier = Work(*self.first_size, items, passes, 0)
        passes = evaluations(self.sampler, second.steps) * images
        return Work(self.width, self.height, self.second_items * images, passes, images, earlier)


@dataclass(frozen=True)
class TimeBudget:
    """A limit in seconds, the prediction that is held against it, and the settings that may change."""

    limit: float
    estimate: Callable[[Choice], TimeEstimate]
    schedule: str | None
    """An explicit schedule that needs fewer steps; None: not for this model, or the user chose the scheduler."""
    free_cutoff: bool
    free_steps: bool
    free_size: bool

    @property
    def levers(self) -> tuple[Lever, ...]:
        """Settings that may still change while the run goes on."""
        free = ((Lever.GUIDANCE, self.free_cutoff), (Lever.STEPS, self.free_steps))
        return tuple(lever for lever, is_free in free if is_free)

    def meets(self, choice: Choice) -> bool:
        """Tell whether the limit will be held."""
        return self.estimate(choice).holds(self.limit)


def fit_time(choice: Choice, budget: TimeBudget, reasons: dict[str, Reason], changes: list[str]) -> Choice:
    """Return `choice`, or the least changed one that will hold the time limit; else the nearest, with the reason."""
    if budget.meets(choice):
        return choice
    otherwise = ParameterMessage.ABOUT.format(time=format_duration(budget.estimate(choice).seconds))
    for change, lever in _LEVERS.items():
        choice, why = lever(choice, budget)
        reasons |= {reason.setting: reason for reason in why}
        changes += [change] if why else []
        if budget.meets(choice):
            reasons["time"] = _time_reason(ParameterMessage.TIME_KEPT, choice, budget, otherwise)
            return choice
    late = budget.estimate(choice).seconds > budget.limit
    message = ParameterMessage.TIME_TOO_SHORT if late else ParameterMessage.TIME_AT_RISK
    reasons["time"] = _time_reason(message, choice, budget, otherwise if changes else None)
    return choice


def fit_memory(
    choice: Choice,
    plan_for: Callable[[Choice], MemoryPlan],
    free_size: bool,
    reasons: dict[str, Reason],
    changes: list[str],
) -> tuple[Choice, MemoryPlan]:
    """Return `choice` and its memory plan, or the largest smaller size that fits; else the nearest, with the reason.

    Tiles, smaller forward batches and offloading come first: they are the memory plan's own levers.
    """
    plan = plan_for(choice)
    if plan.fits:
        return choice, plan
    budget = format_memory(plan.budget_gb or 0.0)
    for width, height in smaller_sizes(choice.width, choice.height) if free_size else ():
        smaller = choice.resized(width, height)
        if (fitting := plan_for(smaller)).fits:
            changes.append("smaller size")
            reasons["size"] = _size_reason(ParameterMessage.SIZE_FOR_MEMORY, smaller, choice, budget=budget)
            return smaller, fitting
    option, peak = describe(plan, plan.max_batch), format_memory(plan.predicted_peak_gb)
    reasons["memory"] = _reason(
        "memory", ParameterMessage.MEMORY_TOO_SMALL, value=False, budget=budget, option=option, peak=peak
    )
    return choice, plan


def format_estimate(found: TimeEstimate) -> str:
    """Return an estimate as people say it: "about 54 s (50 s to 58 s)"."""
    time = format_duration(found.seconds)
    if not found.learned:
        return ParameterMessage.ABOUT_GUESSED.format(time=time)
    return ParameterMessage.ABOUT_WITHIN.format(
        time=time, low=format_duration(found.low), high=format_duration(found.high)
    )


def cutoff_reason(now: Choice, before: Choice, source: Source, message: ParameterMessage, **arguments: Any) -> Reason:
    """Return the reason for leaving guidance out at the end; `arguments`: those of `message` beside sigma and items."""
    sigma = now.improvements.cfg_cutoff_sigma
    otherwise = ParameterMessage.OTHERWISE_ITEMS.format(items=before.items)
    return Reason.of(
        "guidance", source, message, value=sigma, otherwise=otherwise, sigma=sigma, items=now.items, **arguments
    )


def _cutoff(choice: Choice, budget: TimeBudget) -> tuple[Choice, list[Reason]]:
    if not budget.free_cutoff or choice.improvements.limits_guidance:
        return choice, []
    cut = replace(choice, improvements=replace(choice.improvements, cfg_cutoff_sigma=CUTOFF_SIGMA))
    if cut.items == choice.items:
        return choice, []
    limit = format_duration(budget.limit)
    return cut, [cutoff_reason(cut, choice, Source.BUDGET, ParameterMessage.CUTOFF_FOR_TIME, limit=limit)]


def _align_your_steps(choice: Choice, budget: TimeBudget) -> tuple[Choice, list[Reason]]:
    if budget.schedule is None or choice.schedule or not budget.free_steps or choice.steps <= MIN_ALIGN_YOUR_STEPS:
        return choice, []
    fitting = _most_steps(replace(choice, schedule=budget.schedule, scheduler="karras"), MIN_ALIGN_YOUR_STEPS, budget)
    message, names = ParameterMessage.ALIGN_YOUR_STEPS_FOR_TIME, (choice.scheduler, fitting.scheduler)
    reason = _reason("scheduler", message, value="Align Your Steps", otherwise=names[0], scheduler=names[1])
    return fitting, [reason, _steps_reason(fitting, choice, budget)]


def _fewer_steps(choice: Choice, budget: TimeBudget) -> tuple[Choice, list[Reason]]:
    if not budget.free_steps or choice.steps <= MIN_STEPS:
        return choice, []
    fitting = _most_steps(choice, MIN_STEPS, budget)
    return fitting, [_steps_reason(fitting, choice, budget)]


def _smaller(choice: Choice, budget: TimeBudget) -> tuple[Choice, list[Reason]]:
    sizes = smaller_sizes(choice.width, choice.height) if budget.free_size else []
    if not sizes:
        return choice, []
    tried = [choice.resized(width, height) for width, height in sizes]
    fitting = next((smaller for smaller in tried if budget.meets(smaller)), tried[-1])
    limit = format_duration(budget.limit)
    return fitting, [_size_reason(ParameterMessage.SIZE_FOR_TIME, fitting, choice, limit=limit)]


_LEVERS = {
    "late guidance cutoff": _cutoff,
    "Align Your Steps": _align_your_steps,
    "fewer steps": _fewer_steps,
    "smaller size": _smaller,
}
"""Changes in the order in which they are made, the least harmful first."""


def _most_steps(choice: Choice, least: int, budget: TimeBudget) -> Choice:
    tried = [replace(choice, steps=steps) for steps in range(choice.steps, least - 1, -1)]
    return next((fewer for fewer in tried if budget.meets(fewer)), tried[-1])


def _time_reason(message: ParameterMessage, choice: Choice, budget: TimeBudget, otherwise: str | None) -> Reason:
    found = budget.estimate(choice)
    times = {"limit": format_duration(budget.limit), "time": format_estimate(found)}
    settings = {name: getattr(choice, name) for name in ("steps", "width", "height")}
    return _reason("time", message, value=round(found.seconds, 3), otherwise=otherwise, **times, **settings)


def _steps_reason(now: Choice, before: Choice, budget: TimeBudget) -> Reason:
    steps, otherwise, limit = now.steps, str(before.steps), format_duration(budget.limit)
    message = ParameterMessage.STEPS_FOR_TIME
    return _reason("steps", message, value=steps, otherwise=otherwise, steps=steps, limit=limit)


def _size_reason(message: ParameterMessage, now: Choice, before: Choice, **arguments: Any) -> Reason:
    size, otherwise = (f"{each.width}x{each.height}" for each in (now, before))
    return _reason("size", message, value=size, otherwise=otherwise, size=size, **arguments)


def _reason(setting: str, message: ParameterMessage, **details: Any) -> Reason:
    return Reason.of(setting, Source.BUDGET, message, **details)
