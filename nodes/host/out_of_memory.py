"""Retries a stage that ran out of memory: frees what can be freed, plans smaller, and tells the user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import comfy.model_management as management

from ...intelligence.config import MemorySettings, OffloadStrategy
from ...intelligence.errors import OutOfMemoryError, StorageError
from ...intelligence.generation.generation_messages import GenerationMessage
from ...intelligence.generation.problem_messages import ProblemMessage
from ...intelligence.generation.stages import GenerationPlan
from ...intelligence.memory import MemoryPlan, MemoryRequest, describe
from .device_memory import fit, resources
from .server_planner import planner

Result = TypeVar("Result")

STAGE_WORDS = {"lora": "patching LoRAs in", "unet": "sampling", "vae": "decoding"}

ALLOCATOR_TEXTS = ("out of memory", "can't allocate memory")
"""Parts of the errors of torch's allocators that have no exception of their own: MPS and the CPU's."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the device or the computer has no memory left."""
    check = getattr(management, "is_oom", None)  # 0.8.0 has only the exception
    known = check(error) if check else isinstance(error, management.OOM_EXCEPTION)
    return known or isinstance(error, MemoryError) or any(text in str(error).lower() for text in ALLOCATOR_TEXTS)


@dataclass
class Attempts:
    """The plan of one run, which becomes smaller when a stage runs out of memory."""

    plan: GenerationPlan
    model: Any
    vae: Any
    images: int
    notify: Callable[[str], None]
    """Shows a text to the user."""
    notes: list[str] = field(default_factory=list)

    def run(self, work: Callable[[MemoryPlan], Result], failed_stage: Callable[[], str] = lambda: "vae") -> Result:
        """Return the result of `work` by the plan, at the second attempt by a smaller one.

        Args:
            failed_stage: tells, after a failure, which stage ran out of memory.

        Raises OutOfMemoryError when the second attempt runs out too, and all other errors of `work`.
        """
        result, failed = self._attempt(work)
        if not failed:
            return result
        before = self.plan.memory
        stage, self.plan = self._smaller(failed_stage())
        now = self.plan.memory
        equal = (now.setup, now.batch_size) == (before.setup, before.batch_size)
        message = GenerationMessage.RETRYING_ALONE if equal else GenerationMessage.RETRYING
        note = message.format(stage=STAGE_WORDS[stage], change=describe(now, now.max_batch))
        self.notes.append(note)
        self.notify(note)
        result, failed = self._attempt(work)
        if not failed:
            return result
        stage, smaller = self._smaller(failed_stage())
        raise OutOfMemoryError(_remedy(self.plan, smaller.memory, STAGE_WORDS[stage]))

    def _attempt(self, work: Callable[[MemoryPlan], Result]) -> tuple[Any, bool]:
        """Return (result, whether memory ran out), without the exception, whose frames would keep their tensors."""
        try:
            return work(self.plan.memory), False
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        return None, True

    def _smaller(self, stage: str) -> tuple[str, GenerationPlan]:
        """Free the memory, record the failure, and return the stage and a plan with less for it, if there is one.

        The user's own choices hold in the other stages.
        """
        management.unload_all_models()
        management.soft_empty_cache()
        failed = self.plan.memory
        if stage not in failed.stages:
            stage = "unet"  # the plan does not know LoRAs that other nodes patched in
        try:
            planner().memory.ran_out(failed, stage, resources(self.model))
        except StorageError as error:
            self.notes.append(GenerationMessage.NOT_REMEMBERED.format(error=error))
        decoding = stage == "vae"
        request = MemoryRequest(
            images=self.images,
            max_batch=failed.max_batch,
            settings=MemorySettings(failed.strategy if decoding else OffloadStrategy.AUTO),
            tile_size=None if decoding else failed.requested_tile,
            failed={stage: failed},
        )
        return stage, fit(self.plan.recommendations, self.model, self.vae, request)


def _remedy(plan: GenerationPlan, smaller: MemoryPlan, doing: str) -> str:
    size = f"{plan.parameters.width}x{plan.parameters.height}"
    if smaller.largest_size:
        width, height = smaller.largest_size
        remedy = ProblemMessage.LARGEST_SIZE.format(size=f"{width}x{height}")
    elif smaller.fits:
        remedy = ProblemMessage.QUEUE_AGAIN.format(plan=describe(plan.memory, plan.memory.max_batch))
    else:
        remedy = ProblemMessage.NO_SIZE_FITS.value
    return ProblemMessage.OUT_OF_MEMORY.format(stage=doing, size=size, remedy=remedy, device=plan.memory.device)
