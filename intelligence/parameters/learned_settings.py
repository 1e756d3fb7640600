"""Settings that ratings prove better than the family's: among values that the user tried, never any other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..config import Priority
from ..history.own_use import CheckpointUse
from ..learning.observations import PromptTraits
from ..learning.preferences import traits_of
from ..learning.value_model import ValueModel
from ..records import Reason, Source
from .parameter_messages import ParameterMessage, shown
from .parameters import ParameterRequest
from .profiles import Profile
from .resolution import NATIVE_SIDES
from .samplers import SAMPLERS
from .schedules import AYS_TABLES

PROOF = 1.25
"""Standard deviations by which a value must be better than the usual one: fewer move settings that a user is
indifferent to, more keep one who likes another value mildly waiting."""
CFG_STEP = 0.5
"""Values of cfg between those that were tried."""
MAX_STARS = 8
NAMES = {sampler.display: sampler.name for sampler in SAMPLERS}
"""A1111's name of a sampler → ComfyUI's."""
OWN_AREA = (0.6, 1.3)
"""Pictures' area, of the native one, within which a size of the user's own is taken: beyond, it was enlarged or cut."""
OWN_STEP = 16
"""Pixels of which its sides are multiples: that is what the strictest family takes."""
MIN_OWN_PICTURES = 5
"""Pictures of the user's own with a checkpoint from which their settings are the usual ones."""
PARAMETERS = {
    "cfg": ("guidance_scale",),
    "steps": ("num_steps",),
    "sampler": ("sampler_name",),
    "scheduler": ("scheduler",),
    "size": ("width", "height"),
}


class LearnedSetting(NamedTuple):
    """A value that the user likes better than the usual one."""

    value: Any
    reason: Reason


def learned_settings(
    request: ParameterRequest, profile: Profile, size: tuple[int, int], model: ValueModel
) -> dict[str, LearnedSetting]:
    """Return the settings that ratings prove better than those of the profile, by setting.

    What the user set, and what a distilled or zero-terminal-SNR model needs, stays.

    Args:
        size: the usual width and height.
    """
    if profile.fixed or profile.zsnr or request.manual:
        return {}
    usual = {name: getattr(profile, name) for name in ("cfg", "steps", "sampler")}
    usual |= {"scheduler": profile.schedule or profile.scheduler, "size": size}
    prompt, found = traits_of(request.analysis), {}
    for name, value in usual.items():
        if any(parameter in request.overrides for parameter in PARAMETERS[name]):
            continue
        if name == "size" and request.aspect != "auto":
            continue
        if (better := _better(name, value, request, profile, prompt, model)) is not None:
            found[name] = better
    return found


def own_settings(
    request: ParameterRequest, profile: Profile, size: tuple[int, int], use: CheckpointUse | None
) -> dict[str, LearnedSetting]:
    """Return the settings of the user's own pictures with this checkpoint, where they are not those of the profile.

    Only what the family takes, and nothing where it needs what it has; steps only where no priority moves them; a size
    only near the native one, and where no aspect was asked for.

    Args:
        size: the usual width and height.
        use: see `PictureHistory.usual_settings`.
    """
    if use is None or use.pictures < MIN_OWN_PICTURES or profile.fixed or profile.zsnr or request.manual:
        return {}
    steps = profile.step_range if profile.priority is Priority.BALANCED else None
    takes: dict[str, Callable[[Any], bool]] = {
        "cfg": lambda value: _within(value, profile.cfg_range),
        "steps": lambda value: _within(value, steps),
        "sampler": request.samplers.__contains__,
        "scheduler": request.schedulers.__contains__,
    }
    found = {}
    for name, is_taken in takes.items():
        value, usual = use.settings.get(name), getattr(profile, name)
        value = NAMES.get(str(value), value) if name == "sampler" else value
        if value is None or value == usual or not is_taken(value):
            continue
        value = type(usual)(value)
        arguments: dict[str, Any] = {"chosen": shown(value), "pictures": use.pictures}
        reason = Reason.of(
            name, Source.LEARNED, ParameterMessage.OWN_SETTING, value=value, otherwise=shown(usual), **arguments
        )
        found[name] = LearnedSetting(value, reason)
    own = str(use.settings.get("size", ""))
    sides = tuple(int(side) for side in own.split("x")) if own else size
    if sides != size and request.aspect == "auto" and _is_near(sides, profile.native):
        told: dict[str, Any] = {"otherwise": f"{size[0]}x{size[1]}", "chosen": own, "pictures": use.pictures}
        reason = Reason.of("size", Source.LEARNED, ParameterMessage.OWN_SETTING, value=own, **told)
        found["size"] = LearnedSetting(sides, reason)
    return found


def _is_near(size: tuple[int, ...], native: str) -> bool:
    """Tell a size that models with these native sizes take as it is. Args: native: see `NATIVE_SIDES`."""
    low, high = OWN_AREA
    near = low <= size[0] * size[1] / NATIVE_SIDES[native] ** 2 <= high
    return near and all(side % OWN_STEP == 0 for side in size)


def _within(value: Any, span: tuple[float, float] | None) -> bool:
    return span is not None and isinstance(value, int | float) and span[0] <= value <= span[1]


def with_learned(profile: Profile, learned: dict[str, LearnedSetting]) -> Profile:
    """Return the profile with the learned values of everything but the size in it."""
    values = {name: one.value for name, one in learned.items() if name in ("cfg", "steps", "sampler")}
    if "steps" in values:
        values["complex_steps"] = None
    if "scheduler" in learned:
        name = learned["scheduler"].value
        values |= {"schedule": name} if name in AYS_TABLES else {"scheduler": name, "schedule": None}
    return replace(profile, **values)


def _better(
    name: str, usual: Any, request: ParameterRequest, profile: Profile, prompt: PromptTraits, model: ValueModel
) -> LearnedSetting | None:
    family = profile.family.value
    rated = [
        (getattr(one.picture.settings, name), one.stars if one.is_rating else None)
        for one in model.observations
        if one.picture.settings is not None and one.picture.settings.family == family
    ]
    tried = list(dict.fromkeys(value for value, _ in rated if value is not None and value != usual))
    values = [usual, *_allowed(name, usual, tried, request, profile)]
    if len(values) == 1:
        return None
    mean, covariance = model.setting_effects(name, values, family, prompt)
    gain = mean - mean[0]
    variance = covariance.diagonal() + covariance[0, 0] - 2 * covariance[0]
    proven = np.where(gain > PROOF * np.sqrt(np.maximum(variance, 0.0)), gain, 0.0)
    best = int(np.argmax(proven))
    if not best:
        return None
    value = values[best]
    liked, others = _stars(name, value, usual, rated)
    chosen, before = (f"{each[0]}x{each[1]}" if name == "size" else shown(each) for each in (value, usual))
    message = ParameterMessage.LEARNED_SETTING if others else ParameterMessage.LEARNED_LIKED
    if not liked:
        message = ParameterMessage.LEARNED_SET
    reason = Reason.of(
        name,
        Source.LEARNED,
        message,
        value=chosen if name == "size" else value,
        otherwise=before,
        chosen=chosen,
        before=before,
        stars=liked,
        others=others,
    )
    return LearnedSetting(value, reason)


def _allowed(name: str, usual: Any, tried: Sequence[Any], request: ParameterRequest, profile: Profile) -> Sequence[Any]:
    if name == "sampler":
        return [value for value in tried if value in request.samplers]
    if name == "scheduler":
        return [value for value in tried if value in request.schedulers or value in AYS_TABLES]
    if name != "cfg" or not tried:
        return tried
    low, high = min(*tried, usual), max(*tried, usual)
    if profile.cfg_range:
        low, high = max(low, min(profile.cfg_range[0], usual)), min(high, max(profile.cfg_range[1], usual))
    inside = [value for value in tried if low <= value <= high]
    return [*inside, *(np.arange(np.ceil(low / CFG_STEP), np.floor(high / CFG_STEP) + 1) * CFG_STEP).tolist()]


def _stars(name: str, value: Any, usual: Any, rated: Sequence[tuple[Any, float | None]]) -> tuple[str, str]:
    """Stars of pictures nearer to a value, and of those nearer to the usual one."""
    groups: tuple[list[float], list[float]] = ([], [])
    for other, stars in rated:
        if other is None or stars is None:
            continue
        if name in ("cfg", "steps"):
            groups[abs(other - usual) < abs(other - value)].append(stars)
        elif other in (value, usual):
            groups[other == usual].append(stars)
    liked, others = (", ".join(f"{one:g}" for one in group[-MAX_STARS:]) for group in groups)
    return liked, others
