"""Where the memory grid runs: a graphics card with the full-size SDXL, or a CPU with the embedded one."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from intelligence.config import MemorySettings, OffloadStrategy
from intelligence.generation.embedded import ensure_embedded
from intelligence.generation.sdxl_config import sdxl_config_folder
from intelligence.memory import MemoryManager, MemoryPlan, Resources, hypothetical_gpu
from tests.tools.make_footprints import COMPONENTS


@dataclass(frozen=True)
class Setting:
    """Where the grid runs, and how large it is."""

    device: str
    resources: Resources
    """What plans are made for."""
    limits_gb: Sequence[float]
    sides: Sequence[int]
    tile: int
    steps: int
    """Of each run of the grid."""
    race_steps: int
    """Where plans run beside diffusers' own ways, at the middle side."""

    @property
    def middle(self) -> int:
        """The side of what is not run at every size."""
        return self.sides[len(self.sides) // 2]

    def pipeline(self) -> Any:
        """A fresh pipeline, its weights as they were loaded."""
        pipe = full_size(self.device) if self.device == "cuda" else embedded()
        pipe.set_progress_bar_config(disable=True)
        pipe.vae.enable_slicing()
        return pipe

    def plan(self, side: int, images: int, limit_gb: float, **how: Any) -> MemoryPlan:
        """A plan for this device under a limit. `strategy`: of the memory settings."""
        strategy = how.pop("strategy", OffloadStrategy.AUTO)
        made = MemoryManager().plan(
            side,
            side,
            images,
            settings=MemorySettings(strategy, limit_gb),
            resources=self.resources,
            **{"steps": self.steps, **how},
            **({} if self.device == "cuda" else _of_the_embedded_model()),
        )
        return replace(made, device=self.device)

    @contextmanager
    def limit(self, gb: float) -> Iterator[None]:
        """Keep torch within `gb` GiB less the driver's context."""
        if self.device != "cuda":
            yield
            return
        import torch

        gc.collect()
        torch.cuda.empty_cache()
        held = (gb - (self.resources.context_gb or 0.0)) / self.resources.total_gb
        torch.cuda.set_per_process_memory_fraction(min(1.0, held))
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()


def on_a_card() -> Setting:
    resources = MemoryManager().detect_resources()
    return Setting("cuda", resources, (4.0, 6.0, 8.0, 12.0), (512, 1024, 1536), 512, steps=4, race_steps=20)


def on_a_cpu() -> Setting:
    """With the plans of a card that is just large enough for something."""
    small_card = hypothetical_gpu(1.0, MemoryManager().detect_resources())
    return Setting("cpu", small_card, (0.4, 0.42, 1.0), (128, 256), 128, steps=2, race_steps=4)


def full_size(device: str, folder: Path | None = None) -> Any:
    """A pipeline of SDXL's networks in half precision on the CPU, its weights random numbers made on `device`."""
    import diffusers
    import torch
    import transformers

    folder = folder or sdxl_config_folder()
    parts: dict[str, Any] = {}
    torch.set_default_dtype(torch.float16)
    try:
        for name in COMPONENTS:
            config = json.loads((folder / name / "config.json").read_text(encoding="utf-8"))
            with torch.device(device):
                if "_class_name" in config:
                    part = getattr(diffusers, config["_class_name"]).from_config(config)
                else:
                    kind = getattr(transformers, config["architectures"][0])
                    part = kind(kind.config_class.from_dict(config))
            parts[name] = torch.nn.Module.to(part, "cpu", torch.float16).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(torch.float32)
    for name in ("tokenizer", "tokenizer_2"):
        parts[name] = transformers.CLIPTokenizer.from_pretrained(folder / name)
    scheduler = diffusers.EulerDiscreteScheduler.from_pretrained(folder / "scheduler")
    return diffusers.StableDiffusionXLPipeline(scheduler=scheduler, **parts)


def embedded() -> Any:
    import diffusers
    import torch

    return diffusers.StableDiffusionXLPipeline.from_pretrained(ensure_embedded().folder, torch_dtype=torch.float32)


def _of_the_embedded_model() -> dict[str, Any]:
    from intelligence.generation.diffusers_host import DiffusersHost

    host = DiffusersHost("embedded")
    return {"weights_gb": {stage: gb / 2 for stage, gb in host.weights_gb().items()}, "configs": host.configs()}
