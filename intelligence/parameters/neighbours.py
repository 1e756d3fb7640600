"""Settings near a choice that are worth comparing with it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from ..config import require
from ..models import Family
from ..records import Reason
from .budget import will_hold
from .parameters import OptimizedParameters
from .profiles import Profile, find_profile
from .schedules import schedule_sigmas
from .speed import TimeEstimate
from .timing import forward_items

AXES = {"cfg": "guidance_scale", "sampler": "sampler_name", "steps": "num_steps", "scheduler": "scheduler"}
"""What is varied, in the order in which it is tried, and its field."""

Estimate = Callable[[OptimizedParameters, int], TimeEstimate]
"""Settings and forward items of all images → how long they take."""


def neighbours(
    parameters: OptimizedParameters,
    count: int,
    kept: Collection[str],
    estimate: Estimate,
    table: Path,
) -> list[OptimizedParameters]:
    """`parameters`, then at most `count` − 1 others: one value changed, then two, and so on; axes in `kept` stay.

    All lie within the family's range (`families.json`), and none breaks a time limit that `parameters` hold. Raises
    InvalidInputError for a count below 1.
    """
    require(
        isinstance(count, int) and not isinstance(count, bool) and count >= 1, f"count must be 1 or more, got {count!r}"
    )
    profile = find_profile(parameters.family, zsnr=parameters.rescale_cfg > 0, path=table)
    options = [[None, *(_options(axis, parameters, profile) if axis not in kept else ())] for axis in AXES]
    combinations = sorted(
        (tuple(enumerate(combination)) for combination in product(*(range(len(values)) for values in options))),
        key=lambda indexed: (
            sum(index > 0 for _, index in indexed),
            sum(index for _, index in indexed),
            _order(indexed),
        ),
    )
    found = [parameters]
    for indexed in combinations[1:]:
        if len(found) == count:
            break
        changed = {
            axis: options[position][index] for (position, index), axis in zip(indexed, AXES, strict=True) if index
        }
        other, took = _changed(parameters, changed, kept, estimate)
        if _affordable(took, parameters):
            found.append(other)
    return found


def _affordable(took: TimeEstimate, parameters: OptimizedParameters) -> bool:
    """Whether that holds the time limit, or is no longer than `parameters` take where these may not hold it either."""
    limit = parameters.max_time_seconds
    if limit is None or will_hold(took, limit):
        return True
    return took.seconds <= (parameters.estimated_time_seconds or 0.0)


def _order(indexed: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    """Earlier axes first."""
    return tuple(-index for _, index in indexed)


def _options(axis: str, parameters: OptimizedParameters, profile: Profile) -> list[Any]:
    make: dict[str, Callable[[OptimizedParameters, Profile], list[Any]]] = {
        "cfg": _cfgs,
        "steps": _steps,
        "sampler": _samplers,
        "scheduler": _schedulers,
    }
    return make[axis](parameters, profile)


def _cfgs(parameters: OptimizedParameters, profile: Profile) -> list[float]:
    if profile.cfg_range is None:
        return []
    low, high = profile.cfg_range
    stride = 1.0 if high - low >= 2 else 0.3
    tried = [round(parameters.guidance_scale + stride * factor, 2) for factor in (1, -1, 2, -2)]
    return [cfg for cfg in tried if low <= cfg <= high]


def _steps(parameters: OptimizedParameters, profile: Profile) -> list[int]:
    if profile.step_range is None:
        return []
    low, high = profile.step_range
    steps = parameters.num_steps
    tried = dict.fromkeys(round(steps * factor) for factor in (1.25, 0.75, 1.5))
    return [other for other in tried if low <= other <= high and other != steps]


def _samplers(parameters: OptimizedParameters, profile: Profile) -> list[str]:
    return [name for name in profile.samplers if name != parameters.sampler_name]


def _schedulers(parameters: OptimizedParameters, profile: Profile) -> list[str]:
    current = parameters.scheduler if parameters.sigmas is None else None
    return [name for name in profile.schedulers if name != current]


def _changed(
    parameters: OptimizedParameters, changed: dict[str, Any], kept: Collection[str], estimate: Estimate
) -> tuple[OptimizedParameters, TimeEstimate]:
    """The neighbour, and how long it takes."""
    old = {axis: getattr(parameters, field) for axis, field in AXES.items()}
    schedule = None if parameters.sigmas is None else _schedule_of(parameters)
    if schedule:
        old["scheduler"] = "Align Your Steps"
    if schedule and "scheduler" in changed:
        schedule = None
        if not {"steps"} & {*changed, *kept}:
            # Align Your Steps is what let so few steps do.
            changed = {**changed, "steps": 2 * parameters.num_steps}
    other = replace(parameters, **{AXES[axis]: value for axis, value in changed.items()})
    items = parameters.batch_size * forward_items(
        other.sampler_name, other.scheduler, other.num_steps, other.guidance_scale, schedule, other.improvements
    )
    took = estimate(other, items)
    text = ", ".join(f"{axis} {value} instead of {old[axis]}" for axis, value in changed.items())
    neighbour = replace(
        other,
        sigmas=schedule_sigmas(schedule, other.num_steps) if schedule else None,
        forward_items=items,
        estimated_time_seconds=took.seconds,
        time_interval_seconds=took.interval,
        reasons=(*parameters.reasons, Reason("variation", f"a neighbour worth comparing: {text}")),
    )
    return neighbour, took


def _schedule_of(parameters: OptimizedParameters) -> str:
    return "ays_sd1" if parameters.family is Family.SD15 else "ays"
