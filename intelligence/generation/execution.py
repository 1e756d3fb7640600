"""The interface between a plan and what samples it: ComfyUI and diffusers both implement `Host`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..memory import MemoryPlan
from .stages import GenerationPlan

OnStep = Callable[[int, int], None]
"""Called after each sampling step with (steps done, steps in all), over all forward batches of the run."""


@dataclass(frozen=True)
class Execution:
    """Images of a run, and measurements of it."""

    images: Any
    """diffusers: a list of PIL images; ComfyUI: an IMAGE tensor, float (batch, height, width, 3), 0 … 1."""
    seconds: float
    """Sampling and decoding of all images, without loading."""
    seconds_per_step: float | None = None
    """Median over the steps from the second on, per forward batch; None with fewer than two steps."""
    peak_vram_gb: float = 0.0
    notes: tuple[str, ...] = ()
    forward_items: int | None = None
    """Images × conditionings that went through the diffusion model; None: not counted."""
    seconds_per_item: float | None = None
    """Median over the same steps as `seconds_per_step`, per forward item computed."""
    memory: MemoryPlan | None = None
    """The smaller plan that was run where the requested one ran out of memory."""
    denoise: float = 1.0
    """Share of a start latent that was sampled anew; 1 without one."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Results for this host's own callers (ComfyUI: the latent)."""


class Host(Protocol):
    """Runs plans with one base model."""

    name: str

    def execute(self, plan: GenerationPlan, seeds: Sequence[int], on_step: OnStep | None = None) -> Execution:
        """Sample and decode `len(seeds)` images, image i from noise seeded with `seeds[i]`, at most
        `plan.memory.batch_size` in a forward batch, with all of `plan.loras` applied at their strengths."""
        ...
