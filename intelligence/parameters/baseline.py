"""Settings before budgets: those of the profile, with the user's in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..config import AUTO, SecondPassUse, require
from ..history.own_use import CheckpointUse
from ..learning.value_model import ValueModel
from ..models import Architecture, Family, FamilyFinding
from ..models.kinds import TITLES, UNETS
from ..models.latents import LATENTS
from ..prompt import ComplexityCategory
from ..records import Reason, Source
from .budget import Choice, cutoff_reason
from .learned_settings import learned_settings, own_settings, with_learned
from .parameter_messages import ParameterMessage, shown
from .parameters import (
    IMPROVEMENTS,
    LATENT_UPSCALER,
    Improvements,
    OptimizedParameters,
    ParameterRequest,
)
from .profiles import Profile, choose_profile, find_profile
from .resolution import choose_size
from .schedules import AYS_TABLES, FLUX2, ZSNR_SCHEDULERS
from .second_pass import enlargement
from .upscalers import choose_upscaler

MANUAL_DEFAULTS: dict[str, Any] = {
    "num_steps": 20,
    "guidance_scale": 7.0,
    "sampler_name": "euler",
    "scheduler": "normal",
    "width": 1024,
    "height": 1024,
}
"""Settings of MANUAL mode where the user passed none, whatever the model or the prompt."""

SETTINGS = {
    "steps": ("num_steps",),
    "cfg": ("guidance_scale",),
    "sampler": ("sampler_name",),
    "scheduler": ("scheduler",),
    "size": ("width", "height"),
}
"""Setting, by its name in reasons → its parameters."""

IMPROVEMENT_TITLES = {"cfg_cutoff_sigma": "CFG cutoff", "cfg_start_sigma": "CFG start", "easycache": "EasyCache"}

_FIXED_SCHEDULE = (ParameterMessage.SCHEDULER_FIXED, "fixed sigmas")
_SCHEDULES = {
    **dict.fromkeys(AYS_TABLES, (ParameterMessage.SCHEDULER_ALIGN_YOUR_STEPS, "Align Your Steps")),
    FLUX2: (ParameterMessage.SCHEDULER_FLUX2, "Flux.2"),
}
"""Explicit schedule → its sentence and title."""

Others = tuple[tuple[Profile, str], ...]
"""Profiles that would have held under other circumstances, and which those are."""


@dataclass(frozen=True)
class Baseline:
    """Settings before budgets, what they follow from, and why."""

    request: ParameterRequest
    finding: FamilyFinding
    profile: Profile
    choice: Choice
    reasons: dict[str, Reason]
    """By setting."""

    @property
    def rescale_cfg(self) -> float:
        """RescaleCFG multiplier; 0 where another node's function stands in its place."""
        if self.request.guidance.own_function:
            return 0.0
        return float(self.request.overrides.get("rescale_cfg", self.profile.rescale_cfg))

    @property
    def shift(self) -> float | None:
        """Shift that the profile asks for, unless the graph has set one."""
        return None if self.request.model and self.request.model.own_sampling else self.profile.shift

    def parameters(self, choice: Choice, **predicted: Any) -> OptimizedParameters:
        """Return the parameters of `choice`. Raises InvalidInputError for an impossible override."""
        given = self.request.overrides
        return OptimizedParameters(
            num_steps=choice.steps,
            guidance_scale=choice.cfg,
            width=choice.width,
            height=choice.height,
            sampler_name=choice.sampler,
            scheduler=choice.scheduler,
            improvements=choice.improvements,
            clip_skip=given.get("clip_skip"),
            batch_size=given.get("batch_size", self.request.images),
            rescale_cfg=self.rescale_cfg,
            confidence=self.finding.confidence,
            family=self.profile.family,
            sigmas=choice.sigmas,
            schedule=choice.schedule,
            guidance=given.get("guidance", self.profile.guidance),
            shift=given.get("shift", self.shift),
            second_pass=choice.second,
            native=self.profile.native,
            latent=(self.request.model and self.request.model.latent) or LATENTS.get(self.finding.architecture),
            **predicted,
        )


def choose_baseline(
    request: ParameterRequest, table: Path, taste: ValueModel | None = None, own: CheckpointUse | None = None
) -> Baseline:
    """Return the settings of the model's profile with the user's in their place; `overrides` under full names.

    Args:
        taste: by which ratings move settings that the user tried; None: nothing is known.
        own: the user's usual settings with this checkpoint, before any rating; None: not known.

    Raises InvalidInputError for an impossible override, an unknown aspect, a table that cannot be used.
    """
    finding, profile, reasons = choose_profile(request, table)
    if request.manual:
        profile = replace(profile, schedule=None, rescale_cfg=0.0, cfg_cutoff_sigma=0.0, guidance=None, shift=None)
    width, height, _ = choose_size(request.analysis.intent.content_type, request.aspect, profile.native)
    learned = own_settings(request, profile, (width, height), own)
    profile = with_learned(profile, learned)
    learned = {name: one for name, one in learned.items() if not request.overrides.keys() & set(SETTINGS[name])}
    if taste is not None:
        if "size" in learned:
            width, height = learned["size"].value
        liked = learned_settings(request, profile, (width, height), taste)
        profile, learned = with_learned(profile, liked), {**learned, **liked}
    choice, chosen = _choice(request, profile, finding.architecture, _other_profiles(profile, request, table))
    if "size" in learned:
        choice = replace(choice, width=learned["size"].value[0], height=learned["size"].value[1])
    reasons |= {**chosen, **{name: one.reason for name, one in learned.items()}}
    Baseline(request, finding, profile, choice, reasons).parameters(choice)  # before anything is computed from it
    if choice.cfg <= 1:
        message = ParameterMessage.NEGATIVE_USELESS
        reasons["negative prompt"] = Reason.of("negative prompt", Source.MODEL_FAMILY, message, value=False)
    choice = _improved(choice, profile, request.overrides, reasons)
    choice = _with_second_pass(choice, request, profile)
    return Baseline(request, finding, profile, choice, reasons)


def as_edited(parameters: OptimizedParameters) -> OptimizedParameters:
    """Return settings with a reason of the user's for each that is not as it was chosen any more.

    Steps under a time limit may have been changed in flight, and tell nothing.
    """
    values: dict[str, Any] = {
        "cfg": parameters.guidance_scale,
        "sampler": parameters.sampler_name,
        "size": f"{parameters.width}x{parameters.height}",
    }
    if parameters.max_time_seconds is None:
        values["steps"] = parameters.num_steps
    if parameters.schedule is None:
        values["scheduler"] = parameters.scheduler
    reasons = [
        _set_by_user(reason.setting, values[reason.setting], shown(reason.value))
        if reason.source is not Source.USER and reason.value != values.get(reason.setting, reason.value)
        else reason
        for reason in parameters.reasons
    ]
    return replace(parameters, reasons=tuple(reasons))


def manual_reasons(given: Mapping[str, Any]) -> tuple[Reason, ...]:
    """Return a reason a setting for MANUAL mode: passed by the user, or a plain default."""
    used = {**MANUAL_DEFAULTS, **given}
    reasons = []
    for setting, parameters in SETTINGS.items():
        source, message = Source.DEFAULT, ParameterMessage.MANUAL_DEFAULT
        if any(parameter in given for parameter in parameters):
            source, message = Source.USER, ParameterMessage.MANUAL_USER
        values = [used[parameter] for parameter in parameters]
        value = "x".join(map(str, values)) if len(values) > 1 else values[0]
        reasons.append(Reason.of(setting, source, message, value=value))
    return tuple(reasons)


def _other_profiles(profile: Profile, request: ParameterRequest, table: Path) -> Others:
    style, zsnr = request.analysis.intent.artistic_style, profile.zsnr
    balanced, plain, general = (
        ParameterMessage.OTHERWISE_BALANCED,
        ParameterMessage.OTHERWISE_STYLE,
        ParameterMessage.OTHERWISE_UNKNOWN,
    )
    same_family = (
        (find_profile(profile.family, style, zsnr=zsnr, table=table), balanced),
        (find_profile(profile.family, None, profile.priority, zsnr=zsnr, table=table), plain),
    )
    unknown = (find_profile(Family.UNKNOWN, style, profile.priority, table=table), general)
    return (unknown,) if profile.fixed else (*same_family, unknown)


def _flow_reasons(request: ParameterRequest, profile: Profile) -> dict[str, Reason]:
    """Reasons for the guidance value and the shift, where the network has them."""
    given, model, reasons = request.overrides, request.model, {}
    guidance, shift = given.get("guidance"), given.get("shift")
    if guidance is not None:
        reasons["guidance value"] = _set_by_user("guidance value", guidance)
    elif profile.guidance is not None:
        source, message, value = Source.MODEL_FAMILY, ParameterMessage.GUIDANCE_VALUE, profile.guidance
        reasons["guidance value"] = Reason.of("guidance value", source, message, value=value, chosen=value)
    if shift is not None:
        reasons["shift"] = _set_by_user("shift", shift)
    elif model and model.own_sampling and model.shift is not None:
        kept = ParameterMessage.SHIFT_KEPT
        reasons["shift"] = Reason.of("shift", Source.USER, kept, value=model.shift, chosen=model.shift)
    elif profile.shift is not None:
        source, message, value = Source.MODEL_FAMILY, ParameterMessage.SHIFT, profile.shift
        reasons["shift"] = Reason.of("shift", source, message, value=value, chosen=value)
    elif model and model.shift is not None and not request.manual:
        own = ParameterMessage.SHIFT_OWN
        reasons["shift"] = Reason.of("shift", Source.MODEL, own, value=model.shift, chosen=model.shift)
    return reasons


def _choice(
    request: ParameterRequest, profile: Profile, architecture: Architecture, others: Others
) -> tuple[Choice, dict[str, Reason]]:
    given = request.overrides
    width, height, size_reason = choose_size(request.analysis.intent.content_type, request.aspect, profile.native)
    steps, steps_reason = _steps(request, profile, others)
    choice = Choice(
        steps=steps,
        cfg=given.get("guidance_scale", profile.cfg),
        sampler=given.get("sampler_name", profile.sampler),
        scheduler=given.get("scheduler", profile.scheduler),
        schedule=profile.schedule if "scheduler" not in given else None,
        width=given.get("width", width),
        height=given.get("height", height),
        guidance=request.guidance,
    )
    reasons = {"steps": steps_reason}
    for setting in ("cfg", "sampler", "scheduler"):
        value = getattr(choice, setting)
        by_user = SETTINGS[setting][0] in given
        reasons[setting] = (
            _user_reason(setting, value, profile) if by_user else _usual_reason(setting, value, profile, others)
        )
    if choice.schedule:
        name, (message, title) = choice.scheduler, _SCHEDULES.get(choice.schedule, _FIXED_SCHEDULE)
        reasons["scheduler"] = Reason.of(
            "scheduler", Source.MODEL_FAMILY, message, value=title, otherwise=name, scheduler=name
        )
    reasons |= _flow_reasons(request, profile)
    off = "off, which burns colours" if profile.zsnr else "off"
    if request.guidance.own_function and (given.get("rescale_cfg") or profile.rescale_cfg):
        reasons["rescale_cfg"] = Reason.of("rescale_cfg", Source.USER, ParameterMessage.OWN_CFG_FUNCTION, value=0.0)
    elif rescale := given.get("rescale_cfg"):
        reasons["rescale_cfg"] = _set_by_user("rescale_cfg", rescale, off)
    elif rescale is None and profile.rescale_cfg:
        source, message, rescale = Source.MODEL_FAMILY, ParameterMessage.RESCALE_CFG, profile.rescale_cfg
        reasons["rescale_cfg"] = Reason.of("rescale_cfg", source, message, value=rescale, otherwise=off, chosen=rescale)
    reasons["size"] = size_reason
    if sides := [f"{side} {given[side]}" for side in SETTINGS["size"] if side in given]:
        size = f"{choice.width}x{choice.height}"
        reasons["size"] = _set_by_user("size", size, f"{width}x{height}", chosen=" and ".join(sides))
    reasons["clip_skip"] = _clip_skip_reason(given.get("clip_skip"), profile.family, architecture)
    if "batch_size" in given:
        reasons["batch_size"] = _set_by_user("batch_size", given["batch_size"])
    return choice, reasons


def _improved(choice: Choice, profile: Profile, given: Mapping[str, Any], reasons: dict[str, Reason]) -> Choice:
    named = {name: given[name] for name in IMPROVEMENTS if name in given}
    if named:
        chosen = ", ".join(f"{IMPROVEMENT_TITLES[name]} {value}" for name, value in named.items())
        reasons["guidance"] = _set_by_user("guidance", chosen)
        return replace(choice, improvements=Improvements(**named))
    if choice.guidance.keeps_every_step:
        return choice
    cut = replace(choice, improvements=Improvements(profile.cfg_cutoff_sigma))
    if cut.items == choice.items:
        return choice
    priority, message = profile.priority.value, ParameterMessage.CUTOFF_FOR_PRIORITY
    reasons["guidance"] = cutoff_reason(cut, choice, Source.MODEL_FAMILY, message, priority=priority)
    return cut


def _with_second_pass(choice: Choice, request: ParameterRequest, profile: Profile) -> Choice:
    given = request.overrides
    use = given.get("second_pass", SecondPassUse.OFF if request.manual else SecondPassUse.AUTO)
    require(use in list(SecondPassUse), f"second_pass must be one of {', '.join(SecondPassUse)}, got {use!r}")
    found = enlargement(SecondPassUse(use), (choice.width, choice.height), profile.native, profile.family)
    if found is None:
        return choice
    width, height = found.size
    upscaler, known = given.get("upscaler", AUTO), (LATENT_UPSCALER, *request.upscalers)
    if upscaler == AUTO and request.manual:
        upscaler = LATENT_UPSCALER
    elif upscaler == AUTO:
        upscaler = choose_upscaler(request.upscalers, request.analysis.intent.artistic_style)
    require(
        upscaler in known,
        f"upscaler must be auto or one of {', '.join(known)}, got {upscaler!r}; an upscale model is known once its "
        "folder is scanned as such (scan --kind upscaler FOLDER)",
    )
    cost = None if upscaler == LATENT_UPSCALER else request.upscale_cost(upscaler)
    return replace(choice, width=width, height=height, first=found.first, upscaler=upscaler, cost=cost)


def _steps(request: ParameterRequest, profile: Profile, others: Others) -> tuple[int, Reason]:
    given, usual = request.overrides, profile.steps
    if "num_steps" in given:
        return given["num_steps"], _user_reason("steps", given["num_steps"], profile)
    complex_prompt = request.analysis.complexity_category is ComplexityCategory.COMPLEX
    if profile.schedule in AYS_TABLES and "scheduler" in given:
        steps, source, message = 2 * usual, Source.MODEL_FAMILY, ParameterMessage.STEPS_WITHOUT_ALIGN_YOUR_STEPS
    elif profile.complex_steps and complex_prompt and not profile.fixed:
        steps, source, message = profile.complex_steps, Source.PROMPT, ParameterMessage.STEPS_COMPLEX_PROMPT
    else:
        return usual, _usual_reason("steps", usual, profile, others)
    arguments = {"steps": steps, "scheduler": given.get("scheduler", "")}
    return steps, Reason.of("steps", source, message, value=steps, otherwise=str(usual), **arguments)


def _usual_reason(setting: str, value: Any, profile: Profile, others: Others) -> Reason:
    source, message = Source.MODEL_FAMILY, ParameterMessage.USUAL
    if profile.family is Family.UNKNOWN:
        source, message = Source.DEFAULT, ParameterMessage.USUAL_UNKNOWN
    tried = ((getattr(other, setting), circumstance) for other, circumstance in others)
    otherwise = next((circumstance.format(value=shown(found)) for found, circumstance in tried if found != value), None)
    arguments: dict[str, Any] = {"family": TITLES[profile.family], "priority": profile.priority.value}
    chosen = shown(value)
    return Reason.of(setting, source, message, value=value, otherwise=otherwise, chosen=chosen, **arguments)


def _user_reason(setting: str, value: Any, profile: Profile) -> Reason:
    usual = getattr(profile, setting)
    message, span = ParameterMessage.USER, ""
    if profile.fixed and setting in ("steps", "cfg"):
        low, high = (profile.step_range if setting == "steps" else profile.cfg_range) or (usual, usual)
        if not low <= value <= high:
            message = ParameterMessage.USER_OUTSIDE_DISTILLED
            span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    elif profile.zsnr and setting == "scheduler" and value not in ZSNR_SCHEDULERS:
        message = ParameterMessage.USER_SCHEDULER_WASTES_STEPS
    otherwise = None if value == usual else shown(usual)
    return _set_by_user(setting, value, otherwise, message, family=TITLES[profile.family], span=span)


def _set_by_user(
    setting: str,
    value: Any,
    otherwise: str | None = None,
    message: ParameterMessage = ParameterMessage.USER,
    **arguments: Any,
) -> Reason:
    arguments = {"chosen": shown(value), **arguments}
    return Reason.of(setting, Source.USER, message, value=value, otherwise=otherwise, **arguments)


def _clip_skip_reason(layer: int | None, family: Family, architecture: Architecture) -> Reason:
    if architecture not in (*UNETS, Architecture.UNKNOWN):
        if layer is None:
            return Reason.of("clip_skip", Source.MODEL_FAMILY, ParameterMessage.CLIP_SKIP_NONE)
        return _set_by_user("clip_skip", layer, message=ParameterMessage.CLIP_SKIP_USER_NONE)
    usual = -1 if family is Family.SD15 else -2
    sdxl = family not in (Family.SD15, Family.SD2)
    if layer is None:
        message = ParameterMessage.CLIP_SKIP_DEFAULT_SDXL if sdxl else ParameterMessage.CLIP_SKIP_DEFAULT
        return Reason.of("clip_skip", Source.MODEL_FAMILY, message, value=usual, layer=usual)
    message = ParameterMessage.CLIP_SKIP_USER_WRONG_LAYER if sdxl and layer != usual else ParameterMessage.USER
    otherwise = ParameterMessage.CLIP_SKIP_DEFAULT.format(layer=usual)
    return _set_by_user("clip_skip", layer, otherwise, message)
