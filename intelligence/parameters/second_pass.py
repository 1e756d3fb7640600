"""The second pass: a size that a model was not trained for, reached by a native picture that is enlarged and sampled
again at a low denoise. Sizes, steps, denoise and upscaler, and the passes that they come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, log
from typing import NamedTuple

from ..config import AUTO, Priority, SecondPassUse
from ..memory.upscaling import UpscaleCost, UpscaledPicture
from ..models import Family
from ..models.kinds import TITLES
from ..records import Reason, Source
from .parameter_messages import ParameterMessage
from .parameters import LATENT_UPSCALER, NO_GUIDANCE, SIZE_MULTIPLE, ModelGuidance, OptimizedParameters, SecondPass
from .profiles import find_profile
from .resolution import SAME_ASPECT, first_size, is_beyond
from .samplers import evaluations
from .workload import evaluation_items, step_sigmas

SETTING = "second pass"


class Upscaling(NamedTuple):
    """Settings of a second pass by the way in which the first picture is enlarged."""

    denoise: float
    source: str


UPSCALING = {
    "latent": Upscaling(0.5, "krita-ai-diffusion 1.8 workflow.py, upscale_latent; A1111's wiki: 0.5 and more"),
    "model": Upscaling(0.4, "krita-ai-diffusion workflow.py, scale_refine_and_decode: 0.4 after an upscale model"),
}
"""Way of enlarging → its settings. An enlarged latent is blurred, and needs more of it sampled again."""

LATENT_METHOD = "bilinear"
"""Interpolation of latents [A1111's upscaler `Latent`, its default]."""

IMAGE_METHOD = "lanczos"
"""Interpolation of a picture to the exact size after an upscale model [krita-ai-diffusion, scale_image]."""

MIN_SECOND_STEPS = 2

ENLARGED = 1.5
"""Factor of the sides where a second pass is asked for at a size that needs none [krita-ai-diffusion resolution.py
takes smaller factors for a small upscale]."""


class Enlargement(NamedTuple):
    """The sizes of two passes in pixels."""

    first: tuple[int, int]
    size: tuple[int, int]


def enlargement(
    use: SecondPassUse, size: tuple[int, int], native: str, family: Family = Family.UNKNOWN
) -> Enlargement | None:
    """Return the sizes of both passes for a picture of `size`; None for one pass.

    ON enlarges a size that needs no second pass by half of its sides.
    """
    needed = is_beyond(*size, native, family)
    if use is SecondPassUse.OFF or not (needed or use is SecondPassUse.ON):
        return None
    return Enlargement(first_size(*size, native), size) if needed else Enlargement(size, _enlarged(size))


def planned(
    first: tuple[int, int], steps: int, upscaler: str = LATENT_UPSCALER, cost: UpscaleCost | None = None
) -> SecondPass:
    """Return the second pass after `steps` steps of a first picture of this size in pixels.

    It samples the share of the steps that its denoise is of the whole: noise levels lie as close as in the first pass.
    """
    denoise = UPSCALING["latent" if upscaler == LATENT_UPSCALER else "model"].denoise
    share = min(steps, max(MIN_SECOND_STEPS, ceil(steps * denoise)))
    return SecondPass(*first, steps=share, denoise=denoise, upscaler=upscaler, cost=cost)


def upscaling_of(second: SecondPass | None) -> UpscaledPicture | None:
    """Return what an upscale model enlarges before a second pass; None: nothing, or it is not known."""
    return UpscaledPicture(second.cost, second.width, second.height) if second and second.cost else None


def with_second_pass(
    parameters: OptimizedParameters, use: SecondPassUse, upscaler: str, start: tuple[int, int, int] | None = None
) -> OptimizedParameters:
    """Return the settings with the second pass that a run asks for, and with its size and reason.

    Args:
        use: AUTO keeps what was planned.
        upscaler: `auto` keeps what was planned.
        start: number, width and height (pixels) of the pictures that the run starts from; None: from noise. They are
            enlarged to the planned size where that has their aspect.
    """
    was = parameters.second_pass
    found = _asked(parameters, use, start[1:] if start else None)
    if found is None:
        changed = replace(parameters, second_pass=None)
        return changed if start or not was else _with_reasons(changed, second_pass_reasons(changed))
    name = upscaler if upscaler != AUTO else was.upscaler if was else LATENT_UPSCALER
    second = planned(found.first, parameters.num_steps, name)
    if was and was.upscaler == name:
        second = replace(was, width=found.first[0], height=found.first[1])
    if second == was:
        return parameters
    changed = replace(parameters, width=found.size[0], height=found.size[1], second_pass=second)
    return _with_reasons(changed, second_pass_reasons(changed))


def _asked(parameters: OptimizedParameters, use: SecondPassUse, start: tuple[int, int] | None) -> Enlargement | None:
    """The sizes that a run asks for, from noise or from a picture of the size `start`."""
    was, size = parameters.second_pass, (parameters.width, parameters.height)
    if use is SecondPassUse.OFF:
        return None
    if was and start is None:
        return Enlargement((was.width, was.height), size)
    if was and start and _enlarges(start, size):
        return Enlargement(start, size)
    if use is SecondPassUse.AUTO:
        return None
    if start:
        return Enlargement(start, _enlarged(start))
    return enlargement(use, size, native_of(parameters), parameters.family)


def _enlarges(start: tuple[int, int], size: tuple[int, int]) -> bool:
    skew = abs(log(start[0] / start[1] * size[1] / size[0]))
    return start[0] * start[1] < size[0] * size[1] and skew <= SAME_ASPECT


def _enlarged(size: tuple[int, int]) -> tuple[int, int]:
    width, height = (round(side * ENLARGED / SIZE_MULTIPLE) * SIZE_MULTIPLE for side in size)
    return width, height


def native_of(parameters: OptimizedParameters) -> str:
    """Return the name of the sizes that the model of these settings was trained at."""
    return parameters.native or find_profile(parameters.family).native


def second_items(second: SecondPass, parameters: OptimizedParameters, guidance: ModelGuidance = NO_GUIDANCE) -> int:
    """Return the forward items of one image's second pass."""
    run = second_run(replace(parameters, second_pass=second))
    sigmas = second_sigmas(run, second.denoise)
    count = evaluations(run.sampler_name, len(sigmas) - 1)
    return evaluation_items(count, run.sampler_name, sigmas[:-1], run.guidance_scale, run.improvements, guidance)


def second_sigmas(
    run: OptimizedParameters, denoise: float, trained: tuple[float, ...] | None = None
) -> tuple[float, ...]:
    """Return the schedule of a run from a latent, ending in 0, as ComfyUI's KSampler makes it.

    `run`: settings of a second pass (`second_run`); `trained`: see `core_sigmas`.
    """
    if run.sigmas is not None:
        return run.sigmas[-(round(run.num_steps * denoise) + 1) :]
    steps = run.num_steps
    whole = step_sigmas(run.sampler_name, run.scheduler, int(steps / denoise), trained)
    return (*whole[-steps:], 0.0)


def first_run(parameters: OptimizedParameters) -> OptimizedParameters:
    """Return the settings of the first pass as those of a run of its own; themselves where there is one pass."""
    second = parameters.second_pass
    if second is None:
        return parameters
    items = parameters.forward_items
    own = items - second.forward_items if items and second.forward_items else None
    return replace(
        parameters,
        width=second.width,
        height=second.height,
        second_pass=None,
        forward_items=own,
        forward_items_interval=None,
    )


def second_run(parameters: OptimizedParameters) -> OptimizedParameters:
    """Return the settings of the second pass as those of a run of its own, from a latent at its denoise."""
    second = parameters.second_pass
    assert second is not None
    return replace(
        parameters,
        num_steps=len(second.sigmas) - 1 if second.sigmas else second.steps,
        sigmas=second.sigmas,
        schedule=None,
        improvements=second.improvements or parameters.improvements,
        second_pass=None,
        forward_items=second.forward_items,
        forward_items_interval=None,
    )


def joined(
    parameters: OptimizedParameters, first: OptimizedParameters | None, second: OptimizedParameters | None
) -> OptimizedParameters:
    """Return the settings of a run whose passes were run with these settings; None: as planned."""
    planned_second = parameters.second_pass
    assert planned_second is not None
    made = parameters
    if first is not None:
        made = replace(
            made, num_steps=first.num_steps, sigmas=first.sigmas, schedule=None, improvements=first.improvements
        )
    if second is not None:
        steps = round(second.num_steps * planned_second.denoise)
        changed = replace(planned_second, steps=steps, sigmas=second.sigmas, improvements=second.improvements)
        made = replace(made, second_pass=changed)
    if made.second_pass and made.second_pass.improvements is None and first is not None:
        kept = replace(made.second_pass, improvements=parameters.improvements)
        made = replace(made, second_pass=kept)
    return replace(made, gives_way=())


def second_pass_reasons(parameters: OptimizedParameters, priority: Priority = Priority.BALANCED) -> tuple[Reason, ...]:
    """Return the reason for or against a second pass; none where it is not worth a word."""
    second, native, family = parameters.second_pass, native_of(parameters), parameters.family
    size = (parameters.width, parameters.height)
    needed, shown, title = is_beyond(*size, native, family), f"{size[0]}x{size[1]}", TITLES[family]
    if second is not None:
        message = ParameterMessage.SECOND_PASS_NEEDED if needed else ParameterMessage.SECOND_PASS_ON
        return (
            Reason.of(
                SETTING,
                Source.MODEL_FAMILY if needed else Source.USER,
                message,
                value=second.upscaler,
                otherwise=ParameterMessage.OTHERWISE_ONE_PASS.value if needed else None,
                size=shown,
                first=f"{second.width}x{second.height}",
                family=title,
                upscaler=second.upscaler,
                steps=second.steps,
                denoise=second.denoise,
            ),
        )
    if needed:
        message = ParameterMessage.SECOND_PASS_OFF
        return (Reason.of(SETTING, Source.USER, message, value=False, size=shown, family=title),)
    larger = enlargement(SecondPassUse.ON, size, native, family)
    if priority is not Priority.QUALITY or larger is None:
        return ()
    times = round(1 + ENLARGED**2 * UPSCALING["latent"].denoise, 1)
    message, shown = ParameterMessage.SECOND_PASS_OFFERED, f"{larger.size[0]}x{larger.size[1]}"
    return (Reason.of(SETTING, Source.DEFAULT, message, value=False, size=shown, times=times),)


def _with_reasons(parameters: OptimizedParameters, reasons: Sequence[Reason]) -> OptimizedParameters:
    kept = [reason for reason in parameters.reasons if reason.setting != SETTING]
    return replace(parameters, reasons=(*kept, *reasons))
