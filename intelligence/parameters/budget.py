"""What gives way, in a fixed order, when a generation does not fit its time or memory, and what is said at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ..memory import MemoryPlan, MemoryRequest
from ..records import Reason
from .parameters import Improvements
from .resolution import smaller_sizes
from .samplers import evaluations
from .speed import Speed, TimeEstimate
from .timing import Work, forward_items

STEP_FLOOR = 8
SCHEDULE_FLOOR = 10
"""Steps of Align Your Steps above which nothing is lost against the ordinary row."""

LATE_CUTOFF = 0.28
"""Sigma from which on guidance changes little [arXiv 2404.07724]. Leaving it out there saves 15 % of the forward items
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

    @property
    def items(self) -> int:
        """Forward items of one image."""
        return forward_items(self.sampler, self.scheduler, self.steps, self.cfg, self.schedule, self.improvements)

    def work(self, images: int) -> Work:
        """What these settings make the device compute."""
        passes = evaluations(self.sampler, self.steps) * images
        return Work(self.width, self.height, self.items * images, passes, images)


@dataclass(frozen=True)
class TimeBudget:
    """The limit, how to predict against it, and what may change."""

    limit: float
    estimate: Callable[[Choice], TimeEstimate]
    schedule: str | None
    """An explicit schedule that needs fewer steps; None: not for this model, or the user chose the scheduler."""
    free_cutoff: bool
    free_steps: bool
    free_size: bool

    def meets(self, choice: Choice) -> bool:
        """Whether the limit will be held."""
        return will_hold(self.estimate(choice), self.limit)


def will_hold(found: TimeEstimate, limit: float) -> bool:
    """By the upper end of the interval, or by a guess that is cautious anyway."""
    return (found.high if found.learned else found.seconds) <= limit


def fit_time(choice: Choice, budget: TimeBudget, reasons: dict[str, Reason], changes: list[str]) -> Choice:
    """`choice`, or the least changed one that will hold the time limit; else the nearest, with the reason."""
    if budget.meets(choice):
        return choice
    before = budget.estimate(choice).seconds
    for lever in (_cutoff, _schedule, _fewer_steps, _smaller):
        choice = lever(choice, budget, reasons, changes)
        if budget.meets(choice):
            text = f"{spoken(budget.estimate(choice))}, within the {budget.limit:g} s allowed"
            reasons["time"] = Reason("time", text, otherwise=f"about {before:.3g} s")
            return choice
    found = budget.estimate(choice)
    verdict = "may not be held" if found.seconds <= budget.limit else "cannot be met"
    plan = f"{choice.steps} steps at {choice.width}x{choice.height}, {spoken(found)}"
    text = f"the limit of {budget.limit:g} s {verdict}; the nearest plan is {plan}"
    reasons["time"] = Reason("time", text, otherwise=f"about {before:.3g} s" if changes else None)
    return choice


def fit_memory(
    choice: Choice,
    plan_for: Callable[[Choice], MemoryPlan],
    free_size: bool,
    reasons: dict[str, Reason],
    changes: list[str],
) -> tuple[Choice, MemoryPlan]:
    """`choice` and its memory plan, or the largest smaller size that fits; else the nearest, with the reason.

    Tiles, smaller forward batches and offloading come first: they are the memory plan's own levers.
    """
    plan = plan_for(choice)
    if plan.fits:
        return choice, plan
    for width, height in smaller_sizes(choice.width, choice.height) if free_size else ():
        smaller = replace(choice, width=width, height=height)
        if (fitting := plan_for(smaller)).fits:
            changes.append("smaller size")
            reasons["size"] = _size_reason(smaller, choice, f"for the {fitting.budget_gb:.1f} GiB at hand")
            return smaller, fitting
    tiles = f" and the VAE in tiles of {plan.tile_size}" if plan.tile_size else ""
    text = f"the {plan.budget_gb:.1f} GiB at hand are too few; the nearest plan is {plan.strategy.value}{tiles}, "
    reasons["memory"] = Reason("memory", f"{text}about {plan.predicted_peak_gb:.1f} GiB")
    return choice, plan


def completed(request: MemoryRequest, speed: Speed, work: Work, *, guided: bool) -> MemoryRequest:
    """`request` with chosen settings, and the rates of the device for them."""
    return replace(
        request,
        width=work.width,
        height=work.height,
        images=work.images,
        guided=guided,
        steps=round(work.passes / work.images),
        forward_items=work.items,
        rates=speed.rates(work),
    )


def spoken(found: TimeEstimate) -> str:
    """An estimate in words."""
    if not found.learned:
        return f"about {found.seconds:.3g} s (a cautious guess: the speed of this device is not known yet)"
    return f"about {found.seconds:.3g} s ({found.low:.3g} to {found.high:.3g})"


def _cutoff(choice: Choice, budget: TimeBudget, reasons: dict[str, Reason], changes: list[str]) -> Choice:
    if not budget.free_cutoff or choice.improvements.limits_guidance:
        return choice
    cut = replace(choice, improvements=replace(choice.improvements, cfg_cutoff_sigma=LATE_CUTOFF))
    if cut.items == choice.items:
        return choice
    changes.append("late guidance cutoff")
    reasons["guidance"] = cutoff_reason(cut, choice, f"for the limit of {budget.limit:g} s")
    return cut


def cutoff_reason(now: Choice, before: Choice, why: str) -> Reason:
    """What leaving guidance out at the end saves."""
    sigma = now.improvements.cfg_cutoff_sigma
    text = f"off below sigma {sigma:g}, where it changes little (arXiv 2404.07724): {now.items} forward items, {why}"
    return Reason("guidance", text, otherwise=f"{before.items} forward items")


def _schedule(choice: Choice, budget: TimeBudget, reasons: dict[str, Reason], changes: list[str]) -> Choice:
    if budget.schedule is None or choice.schedule or not budget.free_steps or choice.steps <= SCHEDULE_FLOOR:
        return choice
    fitting = _most_steps(replace(choice, schedule=budget.schedule, scheduler="karras"), SCHEDULE_FLOOR, budget)
    changes.append("Align Your Steps")
    reasons["scheduler"] = Reason(
        "scheduler",
        "Align Your Steps as sigmas, which needs fewer steps for the same result (arXiv 2404.14507); "
        "karras stands in for it where a scheduler's name is needed",
        otherwise=choice.scheduler,
    )
    reasons["steps"] = _steps_reason(fitting, choice, budget)
    return fitting


def _fewer_steps(choice: Choice, budget: TimeBudget, reasons: dict[str, Reason], changes: list[str]) -> Choice:
    if not budget.free_steps or choice.steps <= STEP_FLOOR:
        return choice
    fitting = _most_steps(choice, STEP_FLOOR, budget)
    changes.append("fewer steps")
    reasons["steps"] = _steps_reason(fitting, choice, budget)
    return fitting


def _smaller(choice: Choice, budget: TimeBudget, reasons: dict[str, Reason], changes: list[str]) -> Choice:
    sizes = smaller_sizes(choice.width, choice.height) if budget.free_size else []
    if not sizes:
        return choice
    tried = [replace(choice, width=width, height=height) for width, height in sizes]
    fitting = next((smaller for smaller in tried if budget.meets(smaller)), tried[-1])
    changes.append("smaller size")
    reasons["size"] = _size_reason(fitting, choice, f"for the limit of {budget.limit:g} s")
    return fitting


def _most_steps(choice: Choice, floor: int, budget: TimeBudget) -> Choice:
    """`choice` with the most steps that meet the limit, not below `floor`."""
    for steps in range(choice.steps, floor, -1):
        fewer = replace(choice, steps=steps)
        if budget.meets(fewer):
            return fewer
    return replace(choice, steps=floor)


def _steps_reason(now: Choice, before: Choice, budget: TimeBudget) -> Reason:
    return Reason("steps", f"{now.steps}, for the limit of {budget.limit:g} s", otherwise=str(before.steps))


def _size_reason(now: Choice, before: Choice, why: str) -> Reason:
    return Reason("size", f"{now.width}x{now.height}: {why}", otherwise=f"{before.width}x{before.height}")
