"""What gives way when a generation does not fit its time, in a fixed order, and what is said when memory is short."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..memory import MemoryPlan
from ..records import Reason
from ..registry import Architecture
from .resolution import smaller_sizes
from .timing import Work

STEP_FLOOR = 8
SCHEDULE_FLOOR = 10
"""Steps of Align Your Steps above which nothing is lost against the ordinary row."""


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

    def work(self, images: int, architecture: Architecture) -> Work:
        """What these settings make the device compute."""
        return Work(self.width, self.height, self.steps, self.sampler, self.cfg, images, architecture)


@dataclass(frozen=True)
class TimeBudget:
    """The limit, how to predict against it, and what may change."""

    limit: float
    seconds: Callable[[Choice], float]
    learned: bool
    schedule: str | None
    """An explicit schedule that needs fewer steps; None: not for this model, or the user chose the scheduler."""
    free_steps: bool
    free_size: bool


def memory_reason(plan: MemoryPlan) -> Reason | None:
    """What to say when even the smallest memory plan does not fit.

    A smaller picture is no lever here: by then the VAE decodes in tiles, which cost the same whatever the size, and one
    forward item at 0.8 of the area saves less than 0.1 GiB.
    """
    if plan.fits:
        return None
    tiles = f" and the VAE in tiles of {plan.tile_size}" if plan.tile_size else ""
    return Reason(
        "memory",
        f"does not fit: about {plan.predicted_peak_gb:.1f} GiB are needed of {plan.budget_gb:.1f}, "
        f"even with {plan.strategy.value}{tiles}",
    )


def fit_time(choice: Choice, budget: TimeBudget, reasons: dict[str, Reason], changes: list[str]) -> Choice:
    """`choice`, or the least changed one within the time limit; the nearest, with the reason, when none is."""
    if budget.seconds(choice) <= budget.limit:
        return choice
    start, first = choice, budget.seconds(choice)
    for lever in (_schedule, _fewer_steps, _smaller):
        choice = lever(choice, budget, reasons, changes)
        if budget.seconds(choice) <= budget.limit:
            text = f"about {budget.seconds(choice):.0f} s of the {budget.limit:g} s allowed"
            reasons["time"] = Reason("time", text + _basis(budget), otherwise=f"about {first:.0f} s")
            return choice
    nearest = f"{choice.steps} steps at {choice.width}x{choice.height}, about {budget.seconds(choice):.0f} s"
    text = f"{budget.limit:g} s cannot be met; the nearest plan is {nearest}"
    reasons["time"] = Reason(
        "time", text + _basis(budget), otherwise=None if start == choice else f"about {first:.0f} s"
    )
    return choice


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
    fitting = next((smaller for smaller in tried if budget.seconds(smaller) <= budget.limit), tried[-1])
    changes.append("smaller size")
    reasons["size"] = _size_reason(fitting, choice, f"for the limit of {budget.limit:g} s")
    return fitting


def _most_steps(choice: Choice, floor: int, budget: TimeBudget) -> Choice:
    """`choice` with the most steps that meet the limit, not below `floor`."""
    for steps in range(choice.steps, floor, -1):
        fewer = replace(choice, steps=steps)
        if budget.seconds(fewer) <= budget.limit:
            return fewer
    return replace(choice, steps=floor)


def _steps_reason(now: Choice, before: Choice, budget: TimeBudget) -> Reason:
    return Reason("steps", f"{now.steps}, for the limit of {budget.limit:g} s", otherwise=str(before.steps))


def _size_reason(now: Choice, before: Choice, why: str) -> Reason:
    return Reason("size", f"{now.width}x{now.height}: {why}", otherwise=f"{before.width}x{before.height}")


def _basis(budget: TimeBudget) -> str:
    return "" if budget.learned else " (a cautious guess: the speed of this device is not known yet)"
