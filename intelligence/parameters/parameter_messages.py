"""Sentences of the reasons for sampling settings."""

from __future__ import annotations

from typing import Any

from ..records import Message


class ParameterMessage(Message):
    """See `Reason.of`."""

    FAMILY = "{family}: {evidence}"
    FAMILY_BY_LORA = "{family}: the model itself does not say, but the LoRA {lora} was made for this family"
    FAMILY_BY_TAGS = "{family}: the model itself does not say, but the prompt uses this family's quality tags"
    FAMILY_UNKNOWN = "unknown: {evidence}. Safe defaults are used; name the family to get its own"
    FEW_STEP_LORA = "the LoRA {lora} makes it a {family} model, which has to be sampled as one"

    FEW_STEP_SAMPLING = "a node has the model sampled as {family}: {steps} steps, cfg {cfg:g}"
    SPEED_LORA = "the LoRA {lora} makes {family} a few-step model: {steps} steps, cfg {cfg:g}"

    USER = "set by you: {chosen}"
    USER_OUTSIDE_DISTILLED = "set by you: {chosen}; a {family} model was distilled for {span}"
    USER_SCHEDULER_WASTES_STEPS = "set by you: {chosen}; on this model it spends most steps at useless noise levels"
    USUAL = "{chosen}, usual for {family} at {priority} priority"
    USUAL_UNKNOWN = "{chosen}, safe for most models at {priority} priority"
    LEARNED_SETTING = (
        "{chosen} instead of {before}: you gave {stars} ★ to pictures near it, {others} ★ to those near {before}"
    )
    LEARNED_LIKED = "{chosen}, which you set: you gave {stars} ★ to pictures near it"
    LEARNED_SET = "{chosen}, which you set in earlier pictures"
    OWN_SETTING = "{chosen}, usual in your {pictures} pictures with this checkpoint"
    MANUAL_USER = "MANUAL: as passed"
    MANUAL_DEFAULT = "MANUAL: a plain default, not passed"

    STEPS_WITHOUT_ALIGN_YOUR_STEPS = "{steps}: {scheduler} needs about twice the steps of Align Your Steps"
    STEPS_COMPLEX_PROMPT = "{steps}, as the prompt asks for much in one picture"
    SCHEDULER_ALIGN_YOUR_STEPS = (
        "Align Your Steps, passed on as sigmas; {scheduler} stands in for it where a scheduler's name is needed"
    )
    OWN_CFG_FUNCTION = "off: another node put a function of its own on the model, in whose place it would stand"
    SCHEDULER_FLUX2 = (
        "Flux.2's own schedule for this size, passed on as sigmas; {scheduler} stands in for it where a scheduler's "
        "name is needed"
    )
    SCHEDULER_FIXED = (
        "the noise levels that it was distilled for, passed on as sigmas; {scheduler} stands in for them where a "
        "scheduler's name is needed"
    )
    GUIDANCE_VALUE = "{chosen:g}: the guidance value that the network itself reads, beside cfg"
    SHIFT = "{chosen:g}: shift of the noise schedule that these settings were made for"
    SHIFT_OWN = "{chosen:g}: the model's own shift of the noise schedule"
    SHIFT_KEPT = "{chosen:g}: shift of the noise schedule, set in the graph and kept"
    NEGATIVE_USELESS = "does nothing at cfg 1: say in the prompt what the picture should show instead"
    RESCALE_CFG = "RescaleCFG {chosen:g} for v-prediction with zero terminal SNR"
    CLIP_SKIP_DEFAULT = "model default ({layer})"
    CLIP_SKIP_DEFAULT_SDXL = "model default ({layer}), which is what 'clip skip 2' means elsewhere"
    CLIP_SKIP_NONE = "none: this model's text encoder has no layer to stop at"
    CLIP_SKIP_USER_NONE = "set by you: {chosen}; this model's text encoder has no layer to stop at"
    CLIP_SKIP_USER_WRONG_LAYER = "set by you: {chosen}; SDXL was trained on layer -2 and falls apart with another"

    SIZE_BY_ASPECT = "{size}: aspect {aspect}, set by you; about as many pixels as the model's native {side}x{side}"
    SIZE_BY_CONTENT = (
        "{size}: {aspect}, for a picture of kind '{content}'; about as many pixels as the model's native {side}x{side}"
    )
    SIZE_WITHOUT_CONTENT = (
        "{size}: {aspect}, as the prompt names no subject; about as many pixels as the model's native {side}x{side}"
    )

    SECOND_PASS_NEEDED = (
        "{size} is beyond what {family} paints whole: {first} first, enlarged ({upscaler}), then sampled again for "
        "{steps} steps at denoise {denoise:g}"
    )
    SECOND_PASS_ON = (
        "on: {first} first, enlarged ({upscaler}) to {size}, then sampled again for {steps} steps at denoise "
        "{denoise:g}"
    )
    SECOND_PASS_OFF = "off, set by you: {size} is beyond what {family} paints whole, so that subjects may be doubled"
    SECOND_PASS_OFFERED = "not needed at this size; on, it gives {size} with finer detail, for {times} times the work"
    OTHERWISE_ONE_PASS = "one pass, in which subjects are doubled"

    CUTOFF_FOR_TIME = (
        "off below sigma {sigma:g}, where it changes little, to finish within {limit}: {items} passes of the model"
    )
    CUTOFF_FOR_PRIORITY = (
        "off below sigma {sigma:g}, where it changes little, as {priority} priority favours time: "
        "{items} passes of the model"
    )
    ALIGN_YOUR_STEPS_FOR_TIME = (
        "Align Your Steps, which needs fewer steps for the same result, passed on as sigmas; {scheduler} stands in for "
        "it where a scheduler's name is needed"
    )
    STEPS_FOR_TIME = "{steps} steps to finish within {limit}"
    SIZE_FOR_TIME = "{size} to finish within {limit}"
    SIZE_FOR_MEMORY = "{size} to fit into the available {budget}"
    MEMORY_TOO_SMALL = "needs more than the available {budget}; the nearest plan is {option}, about {peak}"

    OTHERWISE_ITEMS = "{items} passes of the model"
    OTHERWISE_BALANCED = "{value} at BALANCED priority"
    OTHERWISE_STYLE = "{value} for another style"
    OTHERWISE_UNKNOWN = "{value} for an unknown model"

    ABOUT = "about {time}"
    ABOUT_GUESSED = "about {time} (a cautious guess: the speed of this device is not known yet)"
    ABOUT_WITHIN = "about {time} ({low} to {high})"
    TIME = "{time} on {device}"
    TIME_IMAGES = "{time} for {images} images on {device}"
    TIME_KEPT = "{time}, within the limit of {limit}"
    TIME_AT_RISK = "the limit of {limit} may not be held; the nearest plan is {steps} steps at {width}x{height}, {time}"
    TIME_TOO_SHORT = "the limit of {limit} cannot be met; the nearest plan is {steps} steps at {width}x{height}, {time}"

    VARIATION = "{chosen} instead of {before}, a variation worth comparing"


def shown(value: Any) -> str:
    """Return a setting as people write it: 7 for 7.0."""
    return f"{value:g}" if isinstance(value, float) else str(value)
