"""When a stage runs out of memory: free what can be freed, plan smaller, say so, and try once more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import comfy.model_management as management

from ...intelligence.config import OffloadStrategy
from ...intelligence.errors import OutOfMemoryError, StorageError
from ...intelligence.generation.stages import GenerationPlan
from ...intelligence.memory import MemoryPlan, describe
from .device_memory import fit, resources
from .server_planner import planner

Result = TypeVar("Result")

DOING = {"lora": "patching LoRAs in", "unet": "sampling", "vae": "decoding"}

ALLOCATORS = ("out of memory", "can't allocate memory")
"""What torch's allocators without an exception of their own say: MPS and the CPU's."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the computer has no memory left."""
    asked = getattr(management, "is_oom", None)  # 0.8.0 knows its exception only
    known = asked(error) if asked else isinstance(error, management.OOM_EXCEPTION)
    return known or isinstance(error, MemoryError) or any(text in str(error).lower() for text in ALLOCATORS)


@dataclass
class Attempts:
    """The plan of one run, which becomes smaller when a stage runs out of memory."""

    plan: GenerationPlan
    model: Any
    vae: Any
    images: int
    tell: Callable[[str], None]
    notes: list[str] = field(default_factory=list)
    """What was told."""

    def carry_out(self, work: Callable[[MemoryPlan], Result], stage: Callable[[], str] = lambda: "vae") -> Result:
        """What `work` makes by the plan, at the second try by a smaller one. `stage`: where it ran out of memory.

        Raises OutOfMemoryError when the second try runs out too, and whatever else `work` raises.
        """
        result, failed = self._attempt(work)
        if not failed:
            return result
        where, before = self._place(stage), self.plan.memory
        self.plan = self._smaller(where)
        now = self.plan.memory
        alike = (now.setup, now.batch_size) == (before.setup, before.batch_size)
        way = "all other models unloaded" if alike else describe(now, now.together)
        note = f"out of memory while {DOING[where]}: once more with {way}"
        self.notes.append(note)
        self.tell(note)
        result, failed = self._attempt(work)
        if not failed:
            return result
        where = self._place(stage)
        raise OutOfMemoryError(_remedy(self.plan, self._smaller(where).memory, DOING[where]))

    def _place(self, stage: Callable[[], str]) -> str:
        """The stage that ran out, as the plan knows it: it does not know of LoRAs that others put on the MODEL."""
        where = stage()
        return where if where in self.plan.memory.stages else "unet"

    def _attempt(self, work: Callable[[MemoryPlan], Result]) -> tuple[Any, bool]:
        """(result, whether memory ran out). The exception is gone when this returns: it holds its frames' tensors."""
        try:
            return work(self.plan.memory), False
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        return None, True

    def _smaller(self, stage: str) -> GenerationPlan:
        """Free the memory, remember what did not fit, and plan anew with less for `stage`, if there is such a plan.
        What the user asked for holds in the other stages."""
        management.unload_all_models()
        management.soft_empty_cache()
        failed = self.plan.memory
        try:
            planner().memory.ran_out(failed, stage, resources(self.model))
        except StorageError as error:
            self.notes.append(f"Not remembered for later plans: {error}")
        decoding = stage == "vae"
        return fit(
            self.plan.recommendations,
            self.model,
            self.vae,
            images=self.images,
            together=failed.together > 1,
            strategy=failed.strategy if decoding else OffloadStrategy.AUTO,
            tile_size=None if decoding else failed.asked_tile,
            failed={stage: failed},
        )


def _remedy(plan: GenerationPlan, smaller: MemoryPlan, doing: str) -> str:
    size = f"{plan.parameters.width}x{plan.parameters.height}"
    if smaller.largest_size:
        width, height = smaller.largest_size
        remedy = f"the largest size that is likely to fit is {width}x{height}"
    elif smaller.fits:
        remedy = f"queue it again, to be planned smaller than {describe(plan.memory, plan.memory.together)}"
    else:
        remedy = "no smaller size is likely to fit either"
    return f"out of memory twice while {doing} at {size}: {remedy}; or close what else uses the {plan.memory.device}"
