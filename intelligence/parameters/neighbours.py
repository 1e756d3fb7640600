"""Settings near a choice that are worth comparing with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from ..models import Family
from ..records import Reason, Source
from ..validation import checked
from .baseline import SETTINGS
from .parameter_messages import ParameterMessage, shown
from .parameters import NO_GUIDANCE, ModelGuidance, OptimizedParameters
from .profiles import Profile, find_profile
from .schedules import AYS_TABLES, explicit_sigmas
from .second_pass import first_run, second_items
from .speed import TimeEstimate
from .workload import forward_items

Estimate = Callable[[OptimizedParameters, int], TimeEstimate]
"""(settings, forward items of all images) → time."""


def neighbours(
    parameters: OptimizedParameters,
    count: int,
    kept: Collection[str],
    estimate: Estimate,
    table: Path,
    guidance: ModelGuidance = NO_GUIDANCE,
) -> list[OptimizedParameters]:
    """Return `parameters`, then at most `count` − 1 others: those with one changed setting first, then with two …

    All lie within the family's range (`families.json`), and none breaks a time limit that `parameters` hold. Settings
    in `kept` (`steps`, `cfg` …) stay. `guidance` is that which is on the model.

    Raises InvalidInputError for a count below 1.
    """
    checked("count", count, int, ge=1)
    profile = find_profile(parameters.family, zsnr=parameters.rescale_cfg > 0, table=table)
    options = {name: others for name, others in _options(parameters, profile).items() if name not in kept}
    found = [parameters]
    for changes in _combinations(options):
        if len(found) == count:
            break
        other, took = _changed(parameters, changes, kept, estimate, guidance)
        limit = parameters.max_time_seconds
        if limit is None or took.holds(limit) or took.seconds <= (parameters.estimated_time_seconds or 0.0):
            found.append(other)
    return found


def _combinations(options: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """All sets of changes: those of the fewest settings first, then of the nearest values, then of earlier settings."""
    ranks = sorted(
        product(*(range(len(values) + 1) for values in options.values())),
        key=lambda ranks: (sum(map(bool, ranks)), sum(ranks), [-rank for rank in ranks]),
    )
    return [
        {setting: values[rank - 1] for rank, (setting, values) in zip(each, options.items(), strict=True) if rank}
        for each in ranks[1:]
    ]


def _options(parameters: OptimizedParameters, profile: Profile) -> dict[str, list[Any]]:
    """Other values of each setting, the nearest first, in the order in which settings are varied."""
    cfgs, steps = [], []
    if profile.cfg_range is not None:
        low, high = profile.cfg_range
        stride = 1.0 if high - low >= 2 else 0.3
        cfgs = [round(parameters.guidance_scale + stride * factor, 2) for factor in (1, -1, 2, -2)]
        cfgs = [cfg for cfg in cfgs if low <= cfg <= high]
    if profile.step_range is not None:
        low, high = profile.step_range
        tried = dict.fromkeys(round(parameters.num_steps * factor) for factor in (1.25, 0.75, 1.5))
        steps = [other for other in tried if low <= other <= high and other != parameters.num_steps]
    if parameters.guidance_scale <= 1 < profile.cfg:
        return {}  # a speed LoRA is on the model, whose settings the family's range does not hold for
    scheduler = parameters.scheduler if parameters.sigmas is None else None
    return {
        "cfg": cfgs,
        "sampler": [name for name in profile.samplers if name != parameters.sampler_name],
        "steps": steps,
        "scheduler": [name for name in profile.schedulers if name != scheduler],
    }


def _changed(
    parameters: OptimizedParameters,
    changes: dict[str, Any],
    kept: Collection[str],
    estimate: Estimate,
    guidance: ModelGuidance,
) -> tuple[OptimizedParameters, TimeEstimate]:
    schedule = None
    aligned = parameters.sigmas is not None and parameters.schedule in (None, *AYS_TABLES)
    if parameters.sigmas is not None:
        if "scheduler" not in changes:
            # Records of earlier versions do not name theirs, which was Align Your Steps.
            schedule = parameters.schedule or ("ays_sd1" if parameters.family is Family.SD15 else "ays")
        elif not {"steps"} & {*changes, *kept} and aligned:
            # A core schedule needs about twice the steps of Align Your Steps.
            changes = {**changes, "steps": 2 * parameters.num_steps}
    other = replace(
        parameters, sigmas=None, schedule=None, **{SETTINGS[setting][0]: value for setting, value in changes.items()}
    )
    names = other.sampler_name, other.scheduler, other.num_steps
    items = parameters.batch_size * forward_items(*names, other.guidance_scale, schedule, other.improvements, guidance)
    if other.second_pass is not None:
        items += parameters.batch_size * second_items(other.second_pass, other, guidance)
    took = estimate(other, items)
    reasons = {reason.setting: reason for reason in parameters.reasons if reason.setting != "time"}
    for setting, value in changes.items():
        before = (
            "Align Your Steps"
            if aligned and setting == "scheduler"
            else shown(getattr(parameters, SETTINGS[setting][0]))
        )
        message = ParameterMessage.VARIATION
        reasons[setting] = Reason.of(setting, Source.DEFAULT, message, value=value, chosen=shown(value), before=before)
    first = first_run(other)
    first_size = first.width, first.height
    neighbour = replace(
        other,
        sigmas=explicit_sigmas(schedule, other.num_steps, *first_size) if schedule else None,
        schedule=schedule,
        forward_items=items,
        estimated_time_seconds=took.seconds,
        time_interval_seconds=took.interval,
        reasons=tuple(reasons.values()),
    )
    return neighbour, took
