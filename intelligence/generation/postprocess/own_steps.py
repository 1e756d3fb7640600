"""Users' own steps: what they do with a finished picture before it is handed over. Registered in Python alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ...records import Reason, Source
from .postprocess_messages import PostprocessMessage
from .steps import PostStep, StepKind

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..run import Execution, Host, OnStep
    from ..stages import GenerationPlan


@runtime_checkable
class OwnStep(Protocol):
    """A step that the user registers: `IntelligentGenerationPipeline.own_steps = (step,)`."""

    name: str
    """As it is told."""

    def process(self, image: Image, plan: GenerationPlan) -> Image:
        """Return the picture that takes the place of `image` (PIL, RGB); its size may differ."""
        ...


def run_own_steps(
    images: Sequence[Any], plan: GenerationPlan, steps: Sequence[OwnStep]
) -> tuple[list[Any], tuple[PostStep, ...], tuple[str, ...]]:
    """Return the pictures after all steps, in order, the steps with the seconds that they took, and notes.

    A step that fails, or returns no picture, leaves the picture as it was, which a note tells.
    """
    made, told, notes = list(images), [], []
    for step in steps:
        started = time.perf_counter()
        for index, image in enumerate(made):
            try:
                changed = step.process(image, plan)
            except Exception as error:  # noqa: BLE001 - somebody else's code: no picture may be lost to it
                problem = f"{type(error).__name__}: {error}"
            else:
                if hasattr(changed, "size") and hasattr(changed, "save"):
                    made[index] = changed
                    continue
                problem = f"it returned {type(changed).__name__}, not a picture"
            notes.append(PostprocessMessage.OWN_FAILED.format(name=step.name, image=index + 1, problem=problem))
        reason = Reason.of("own step", Source.USER, PostprocessMessage.OWN, value=step.name, name=step.name)
        told.append(PostStep(StepKind.OWN, reason, name=step.name, seconds=time.perf_counter() - started))
    return made, tuple(told), tuple(notes)


def with_own_steps(execution: Execution, plan: GenerationPlan, steps: Sequence[OwnStep]) -> Execution:
    """Return an execution with the pictures after the user's own steps, which it tells; itself without any."""
    if not steps:
        return execution
    images, told, notes = run_own_steps(execution.images, plan, steps)
    return replace(execution, images=images, own_steps=told, notes=(*execution.notes, *notes))


def host_with(steps: Sequence[OwnStep], host: Host) -> Host:
    """Return `host` with `steps` behind it; itself without any."""
    return _SteppedHost(host, tuple(steps), host.name) if steps else host


@dataclass
class _SteppedHost:
    host: Host
    steps: tuple[OwnStep, ...]
    name: str

    def execute(self, plan: GenerationPlan, seeds: Sequence[int], on_step: OnStep | None = None) -> Execution:
        return with_own_steps(self.host.execute(plan, seeds, on_step), plan, self.steps)
