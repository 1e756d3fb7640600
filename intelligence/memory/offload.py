"""Carries out an offload strategy on a diffusers pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from ..config import MemorySettings, OffloadStrategy
from ..records import Reason
from .manager import MemoryManager
from .resources import GIB

_STAGES = (("text_encoder", "text"), ("vae", "vae"))
"""Component name prefix → stage; everything else samples."""


@dataclass(frozen=True)
class OffloadConfig:
    """Where a pipeline's weights lie after distribution."""

    strategy: OffloadStrategy
    """Never AUTO: what AUTO came to."""
    device: dict[str, str] = field(default_factory=dict)
    """Component → the device its weights rest on between calls (`cpu` for offloaded ones)."""
    execution_device: str = "cpu"
    reasons: tuple[Reason, ...] = ()


class ModelOffloader:
    """Places a diffusers pipeline's models by strategy; AUTO: the fastest that fits its true weights."""

    def __init__(
        self, strategy: OffloadStrategy | str = OffloadStrategy.AUTO, max_vram_gb: float | None = None
    ) -> None:
        """`max_vram_gb`: GiB, None for what is free. Raises InvalidInputError."""
        self.settings = MemorySettings(cast(OffloadStrategy, strategy), max_vram_gb)

    def distribute_pipeline(self, pipe: Any) -> OffloadConfig:
        """Move `pipe` (a diffusers pipeline) where the strategy wants it; hooks of an earlier distribution are removed.

        AUTO plans for one image of the pipeline's native size with CFG and the VAE decoded whole. On a machine without
        CUDA every strategy comes to FULL_GPU on its only device.
        """
        modules = _modules(pipe)
        side = _native_side(pipe)
        plan = MemoryManager().plan(side, side, settings=self.settings, weights_gb=_stage_weights(modules), tile_size=0)
        pipe.remove_all_hooks()
        if plan.strategy is OffloadStrategy.FULL_GPU:
            pipe.to(plan.device)
        elif plan.strategy is OffloadStrategy.CPU_OFFLOAD:
            pipe.enable_model_cpu_offload(device=plan.device)
        else:
            pipe.enable_sequential_cpu_offload(device=plan.device)
        rest = plan.device if plan.strategy is OffloadStrategy.FULL_GPU else "cpu"
        return OffloadConfig(plan.strategy, dict.fromkeys(modules, rest), plan.device, plan.reasons)


def weights_gb(model: Any) -> float | None:
    """GiB of parameters and buffers of an nn.Module or of a diffusers pipeline; None for anything else."""
    import torch

    if isinstance(model, torch.nn.Module):
        tensors = (*model.parameters(), *model.buffers())
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors) / GIB
    modules = _modules(model) if isinstance(getattr(model, "components", None), dict) else {}
    return sum(weights_gb(module) or 0.0 for module in modules.values()) if modules else None


def _modules(pipe: Any) -> dict[str, Any]:
    import torch

    return {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}


def _stage_weights(modules: dict[str, Any]) -> dict[str, float]:
    sizes = {"text": 0.0, "unet": 0.0, "vae": 0.0}
    for name, module in modules.items():
        stage = next((stage for prefix, stage in _STAGES if name.startswith(prefix)), "unet")
        sizes[stage] += weights_gb(module) or 0.0
    return sizes


def _native_side(pipe: Any) -> int:
    """Pixels a side that the pipeline makes by default; 1024 where it does not say."""
    side = getattr(getattr(getattr(pipe, "unet", None), "config", None), "sample_size", None)
    return side * int(getattr(pipe, "vae_scale_factor", 8)) if isinstance(side, int) else 1024
