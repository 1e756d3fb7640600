"""Memory of this machine: resources, plans, measurements, and what later plans learn from them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config import require
from . import resources as machine
from .corrections import Corrections
from .job import make_job
from .memory_request import DIFFUSERS, HostTraits, MemoryRequest
from .plan import MemoryPlan, PlanOption
from .plan_candidates import CLEARLY_SMALLER, candidate_of
from .planning import make_plan
from .prediction import FINEST_FIRST, Placement
from .resources import Resources
from .usage import Usage, UsageTracker


class MemoryManager:
    """Plans generations for this machine's devices and learns from their measured peaks."""

    def __init__(self, corrections: Path | None = None, host: HostTraits = DIFFUSERS) -> None:
        """`corrections`: database of measurements, made on first use; None: nothing is learned. `host`: abilities of
        the host, where a request does not name one."""
        self._corrections = None if corrections is None else Corrections(corrections)
        self.database = None if self._corrections is None else self._corrections.database
        """Measurements of this machine's devices; None: nothing is learned."""
        self._host = host
        self._tracker = UsageTracker()

    def detect_resources(self) -> Resources:
        """Return the device that will sample and its memory now (GiB)."""
        return machine.detect_resources()

    def track_usage(self) -> AbstractContextManager[Usage]:
        """Measure the peak device memory of a block; blocks may nest."""
        return self._tracker.track()

    def get_peak_vram_usage(self) -> float:
        """Return the peak device memory (GiB) of the running tracked block, or of the last one."""
        return self._tracker.peak_gb()

    def plan(
        self,
        width: MemoryRequest | int,
        height: int | None = None,
        images: int = 1,
        *,
        resources: Resources | None = None,
        **details: Any,
    ) -> MemoryPlan:
        """Return the fastest plan that fits the smallest of the request's limits and the free memory.

        `plan(request)`, or `plan(width, height, images)` with further fields of a `MemoryRequest` as keywords.

        Weighed against each other: all weights on the device, whole models offloaded, modules streamed; the VAE decoded
        whole or in tiles; smaller forward batches; prompt and negative prompt apart; sliced attention where the device
        has no better; for a strategy that fits in no other way a bfloat16 decode, and the UNet's weights in 8 bits; and
        in 4 bits where only streaming would fit. On a CPU or MPS the memory is shared, so there is nothing to offload;
        a CPU's budget is the free RAM, whatever the limits on VRAM. Where nothing fits, the plan that needs least comes
        back with `fits=False` and the largest size that would fit.

        Args:
            resources: the device; None: this machine's.

        Raises:
            InvalidInputError: a size, count, name or limit that cannot be.
            StorageError: measurements of this device cannot be read.
        """
        if isinstance(width, MemoryRequest):
            request = replace(width, **details)
        else:
            request = MemoryRequest(width, width if height is None else height, images, **details)
        resources = resources or self.detect_resources()
        learned = self._corrections.of(resources.name) if self._corrections else {}
        return make_plan(request, resources, request.host or self._host, learned)

    def predict(
        self, request: MemoryRequest, option: PlanOption | None = None, resources: Resources | None = None
    ) -> dict[str, float]:
        """Return the peak of each stage in GiB, with the driver's context.

        The stages are `text`, `unet`, `vae`, and `lora` where LoRAs are patched into weights.

        `option`: how the job is run; None: all weights on the device, everything at once.
        Raises InvalidInputError for an unknown weight format, or one that cannot be streamed.
        """
        option = option or PlanOption(batch_size=request.images)
        require(option.weight_dtype in FINEST_FIRST, f"weight_dtype is unknown: {option.weight_dtype!r}")
        possible = Placement(option.strategy, option.weight_dtype).possible
        require(possible, f"weight_dtype: {option.weight_dtype} cannot be streamed, only float16 and float8 can")
        job = make_job(request, resources or self.detect_resources(), request.host or self._host, {})
        return {stage: demand.peak_gb for stage, demand in candidate_of(job, option).stages.items()}

    def correct(self, plan: MemoryPlan, measured_gb: float, resources: Resources | None = None) -> None:
        """Let later plans for this device learn from the peak of `plan` that `track_usage` measured.

        The highest stage is taken to be the predicted one; its memory beside the weights is set against the
        prediction. Nothing is learned from a measurement below the weights, which were not all there, nor on a host
        that places weights by itself. Raises StorageError.
        """
        stage = plan.peak_stage
        if self._corrections is None or not self._host.places_weights or not measured_gb or not stage:
            return
        resident = plan.resident[stage]
        predicted = plan.stages[stage] - plan.context_gb - resident
        if predicted > 0 and measured_gb > resident:
            device = (resources or self.detect_resources()).name
            before = self._corrections.of(device).get(stage, 1.0)
            self._corrections.add(device, stage, before * (measured_gb - resident) / predicted)

    def ran_out(self, plan: MemoryPlan, stage: str, resources: Resources | None = None) -> None:
        """Let later plans for this device know that `stage` of `plan` ran out of memory although it was predicted to
        fit: it took at least the rest of the budget. Raises StorageError.
        """
        if self._corrections is None or plan.budget_gb is None or not plan.fits:
            return
        held = plan.context_gb + plan.resident[stage]
        predicted = plan.stages[stage] - held
        if predicted > 0:
            device = (resources or self.detect_resources()).name
            before = self._corrections.of(device).get(stage, 1.0)
            self._corrections.ran_out(device, stage, before * (plan.budget_gb - held) / predicted / CLEARLY_SMALLER)

    def failures(self, device: str) -> int:
        """Count the times that memory ran out on the device of this name: where it differs, plans may differ.

        Raises StorageError.
        """
        return self._corrections.failures(device) if self._corrections else 0
