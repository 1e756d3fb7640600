"""Prompts around the tiny models of the lab pack: the whole chain of our nodes beside core's KSampler."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

from .bench import AS_PLANNED, Graph

LAB = Path(__file__).with_name("lab")

COUNTS = count()
"""A number for each count: the node of an equal one would come from ComfyUI's cache, and go on counting."""

LATENT_SCALES = {"flux2": 16, "wan22": 16}
"""Kind → pixels to a side of a latent's value, where it is not 8."""


class Lab(Graph):
    """A model of one kind, its conditionings, and a chain of our nodes."""

    def __init__(self, client: Any, kind: str, side: int = 64, guidance: float = -1.0) -> None:
        super().__init__(client)
        self.kind, self.size = kind, {"width": side, "height": side}
        self.model = [self.add("model", "LabModel", kind=kind), 0]
        self.positive, self.negative = (
            [self.add(key, "LabConditioning", kind=kind, seed=seed, guidance=guidance), 0]
            for key, seed in (("positive", 1), ("negative", 2))
        )
        self.vae = [self.add("vae", "LabPainter", scale=LATENT_SCALES.get(kind, 8)), 0]
        self.analysis = [self.add("analysis", "PromptAnalyze", prompt="a lighthouse at dusk"), 0]

    def ours(self, key: str, settings: dict[str, Any] | None = None, **inputs: Any) -> str:
        """ParamOptimize, MemoryPlan and IntelligentSampler, `settings` being those of the first: the sampler."""
        given = {"recommendations": self.analysis, "model": self.model, **self.size, **(settings or {})}
        parameters = self.add(f"{key}_parameters", "ParamOptimize", **given)
        plan = self.add(f"{key}_plan", "MemoryPlan", model=given["model"], vae=self.vae, parameters=[parameters, 0])
        linked = {
            "model": [plan, 0],
            "positive": self.positive,
            "negative": self.negative,
            "vae": self.vae,
            "plan": [plan, 1],
            "seed": 1,
            "seeds_per_image": True,
        }
        return self.add(key, "IntelligentSampler", **{**linked, **AS_PLANNED, **inputs})

    def changed(self, key: str, changes: dict[str, Any]) -> None:
        """Put other parameters into the plan of the sampler at `key`."""
        inputs = self.prompt[key]["inputs"]
        inputs["plan"] = [self.add(f"{key}_changed", "ProbePlan", plan=inputs["plan"], changes=json.dumps(changes)), 0]

    def core(self, key: str, ours: str, **inputs: Any) -> list[Any]:
        """KSampler at the settings that the ParamOptimize of the chain `ours` gives out: its LATENT."""
        parameters = f"{ours}_parameters"
        sampler = self.prompt[ours]["inputs"]
        latent = self.add(f"{key}_empty", "EmptyLatentImage", width=[parameters, 6], height=[parameters, 7])
        linked = {
            **{name: sampler[name] for name in ("model", "positive", "negative", "seed")},
            "latent_image": [latent, 0],
            **{name: [parameters, slot] for slot, name in enumerate(("steps", "cfg", "sampler_name", "scheduler"), 1)},
            "denoise": 1.0,
        }
        return [self.add(key, "KSampler", **{**linked, **inputs}), 0]

    def custom(self, key: str, ours: str, **inputs: Any) -> list[Any]:
        """SamplerCustom on the SIGMAS that the ParamOptimize of the chain `ours` gives out: its LATENT."""
        parameters = f"{ours}_parameters"
        sampler = self.prompt[ours]["inputs"]
        latent = self.add(f"{key}_empty", "EmptyLatentImage", width=[parameters, 6], height=[parameters, 7])
        linked = {
            **{name: sampler[name] for name in ("model", "positive", "negative")},
            "latent_image": [latent, 0],
            "add_noise": True,
            "noise_seed": sampler["seed"],
            "cfg": [parameters, 2],
            "sampler": [self.add(f"{key}_select", "KSamplerSelect", sampler_name=[parameters, 3]), 0],
            "sigmas": [parameters, 5],
        }
        return [self.add(key, "SamplerCustom", **{**linked, **inputs}), 0]

    def saved(self, key: str, images: list[Any] | None = None, **inputs: Any) -> str:
        """SaveGeneration behind the sampler at `key`."""
        linked = {"images": images or [key, 0], "generation": [key, 2], "filename_prefix": f"lab/{key}"}
        return self.add(f"{key}_saved", "SaveGeneration", **{**linked, **inputs})

    def counted(self, key: str) -> str:
        """An independent count of the model's calls by the sampler at `key`, which must be the only one."""
        sampler = self.prompt[key]["inputs"]
        sampler["model"] = [self.add("count", "LabCount", model=sampler["model"], again=next(COUNTS)), 0]
        return self.add("counted", "LabCounted", latent=[key, 1])

    def latent(self, key: str, shape: list[int], **extra: Any) -> list[Any]:
        """A random LATENT."""
        return [self.add(key, "LabLatent", shape=json.dumps(shape), extra=json.dumps(extra)), 0]
