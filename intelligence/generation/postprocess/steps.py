"""Steps between sampling and file as a plan tells them, each with its reason and predicted time and memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from ...memory import MemoryPlan
from ...parameters import OptimizedParameters
from ...parameters.parameters import LATENT_UPSCALER, SecondPass
from ...parameters.second_pass import SETTING as SECOND_PASS
from ...parameters.second_pass import second_pass_reasons
from ...records import Reason, Record, Source
from .postprocess_messages import PostprocessMessage


class StepKind(StrEnum):
    """Steps in the order in which they are taken."""

    ENLARGE = "enlarge"
    """By an upscale model."""
    SECOND_PASS = "second_pass"
    REPAIR = "repair"
    SEAM_CHECK = "seam_check"
    OWN = "own"
    """A step that the user registered."""


@dataclass(frozen=True)
class PostStep(Record):
    """A planned step."""

    kind: StepKind
    reason: Reason
    on: bool = True
    name: str = ""
    """Of the user's own step; empty: `kind` says it."""
    seconds: float | None = None
    """Predicted time for all images; None: unknown; 0: next to none."""
    memory_gb: float | None = None
    """Predicted peak on the device, GiB, weights included; None: none beyond decoding's."""


def planned_steps(
    parameters: OptimizedParameters, memory: MemoryPlan, off: Collection[StepKind] = ()
) -> tuple[PostStep, ...]:
    """Return the steps of a run with these settings and this memory plan, those that are off included.

    Args:
        off: steps that the user switched off, apart from the second pass, which is a setting.
    """
    return tuple(replace(step, on=False) if step.kind in off else step for step in _steps(parameters, memory))


def switched_off(*, repair: bool, seam_check: bool) -> tuple[StepKind, ...]:
    """Return the steps whose switches are off."""
    switches = ((StepKind.REPAIR, repair), (StepKind.SEAM_CHECK, seam_check))
    return tuple(kind for kind, on in switches if not on)


def _steps(parameters: OptimizedParameters, memory: MemoryPlan) -> Iterator[PostStep]:
    told = [reason for reason in parameters.reasons if reason.setting == SECOND_PASS]
    told = told or [*second_pass_reasons(parameters)]
    if told:
        second = parameters.second_pass
        seconds, peak = (second.estimated_seconds, memory.stages.get("unet")) if second else (None, None)
        if second and second.upscaler != LATENT_UPSCALER:
            yield _enlarging(second, memory)
        yield PostStep(StepKind.SECOND_PASS, told[0], second is not None, seconds=seconds, memory_gb=peak)
    dtype = memory.vae_dtype or "float32"
    message = PostprocessMessage.REPAIR if dtype == "float16" else PostprocessMessage.REPAIR_CHECK
    yield PostStep(StepKind.REPAIR, Reason.of("repair", Source.MODEL, message, value=dtype, dtype=dtype), seconds=0.0)
    if tile := memory.tile_size:
        message = PostprocessMessage.SEAM_CHECK
        yield PostStep(
            StepKind.SEAM_CHECK, Reason.of("seams", Source.BUDGET, message, value=tile, tile=tile), seconds=0.0
        )


def _enlarging(second: SecondPass, memory: MemoryPlan) -> PostStep:
    tile, name = memory.upscale_tile, second.upscaler
    message = PostprocessMessage.ENLARGED_IN_TILES if tile else PostprocessMessage.ENLARGED
    reason = Reason.of("enlarge", Source.BUDGET if tile else Source.MODEL, message, value=name, name=name, tile=tile)
    peak = memory.stages.get("upscale")
    return PostStep(StepKind.ENLARGE, reason, seconds=second.enlarging_seconds, memory_gb=peak)
