"""Prompts that put IntelligentSampler beside core nodes, on one model and the same conditionings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .client import Client, Prompt, Run
from .graphs import DEMO

PROBE = Path(__file__).with_name("probe")
MAX_IMAGES = 8
SETTINGS = {"num_steps": 3, "guidance_scale": 6.0}
"""Settings of a run that names no others."""

PLAIN = {"cfg_cutoff": 0.0, "cfg_start": 0.0, "rescale_cfg": 0.0, "easycache": 0.0}
"""IntelligentSampler without improvements."""

AS_PLANNED = dict.fromkeys(PLAIN, -1.0)
"""IntelligentSampler with the improvements of its plan."""


class Graph:
    """A prompt that grows, node by node."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._info = client.object_info()
        self.prompt: Prompt = {}

    def add(self, key: str, node: str, /, **inputs: Any) -> str:
        """Add a node under `key`, its required widgets at their defaults."""
        required = self._info[node]["input"].get("required", {})
        defaults = {name: spec[1]["default"] for name, spec in required.items() if "default" in (spec[1:] or [{}])[0]}
        self.prompt[key] = {"class_type": node, "inputs": {**defaults, **inputs}}
        return key

    def told(self, key: str) -> str:
        """A probe of what the sampler at `key` puts into its GENERATION."""
        return self.add(f"{key}_told", "ProbeGeneration", generation=[key, 2])

    def equal(self, key: str, one: list[Any], other: list[Any]) -> str:
        """A probe whether two LATENTs are equal."""
        return self.add(key, "ProbeEqual", one=one, other=other)

    def run(self, timeout: float = 600) -> Run:
        """Run the prompt, which must succeed."""
        return self.client.complete(self.prompt, timeout=timeout)


class Bench(Graph):
    """A loaded model, two conditionings and a plan that every sampler of the prompt shares."""

    def __init__(
        self, client: Client, text: str = "a lighthouse at dusk", side: int = 64, loader: dict[str, Any] = DEMO
    ) -> None:
        super().__init__(client)
        self.size = {"width": side, "height": side}
        self.prompt["loader"] = loader
        self.model, self.clip, self.vae = (["loader", slot] for slot in range(3))
        self.positive = [self.add("positive", "CLIPTextEncode", clip=self.clip, text=text), 0]
        self.negative = [self.add("negative", "CLIPTextEncode", clip=self.clip, text="blurry"), 0]
        analysis = self.add("analysis", "PromptAnalyze", prompt=text)
        parameters = self.add(
            "parameters",
            "ParamOptimize",
            recommendations=[analysis, 0],
            model=self.model,
            images=MAX_IMAGES,
            **self.size,
        )
        self.plan = [
            self.add(
                "plan", "MemoryPlan", model=self.model, vae=self.vae, parameters=[parameters, 0], tile_size="whole"
            ),
            1,
        ]

    @property
    def cheap(self) -> list[Any]:
        """A VAE that costs nothing, where only latents count."""
        return [self.add("cheap", "ProbeVAE", vae=self.vae, how="cheap"), 0]

    def empty(self, count: int = 1) -> list[Any]:
        """An empty LATENT."""
        return [self.add(f"empty_{count}", "EmptyLatentImage", batch_size=count, **self.size), 0]

    def core(self, key: str, sampler: str, scheduler: str, latent: list[Any], **inputs: Any) -> list[Any]:
        """KSampler: its LATENT."""
        settings = {
            "model": self.model,
            "positive": self.positive,
            "negative": self.negative,
            "latent_image": latent,
            "steps": SETTINGS["num_steps"],
            "cfg": SETTINGS["guidance_scale"],
            "seed": 1,
            "denoise": 1.0,
            "sampler_name": sampler,
            "scheduler": scheduler,
        }
        return [self.add(key, "KSampler", **{**settings, **inputs}), 0]

    def ours(self, key: str, changes: dict[str, Any] | None = None, images: int = 1, **inputs: Any) -> str:
        """IntelligentSampler by the plan with `changes` to its parameters, decoding cheaply: the node."""
        wanted = {"batch_size": images, "sigmas": None, "rescale_cfg": 0.0, **SETTINGS, **self.size, **(changes or {})}
        plan = [self.add(f"{key}_plan", "ProbePlan", plan=self.plan, changes=json.dumps(wanted)), 0]
        settings = {
            "model": self.model,
            "positive": self.positive,
            "negative": self.negative,
            "vae": self.cheap,
            "plan": plan,
            "seed": 1,
            "seeds_per_image": True,
            **PLAIN,
        }
        return self.add(key, "IntelligentSampler", **{**settings, **inputs})

    def interrupts(self, runs: int) -> None:
        """Add a run of ours and, behind it, a probe that interrupts it `runs` times; then compares both latents."""
        self.ours("ours", {"sampler_name": "euler", "scheduler": "normal"}, seed=7, cfg_cutoff=0.28)
        self.add("interrupts", "ProbeInterrupts", **self.sampler_inputs("ours"), runs=runs)
        self.equal("equal", ["ours", 1], ["interrupts", 0])

    def sampler_inputs(self, key: str) -> dict[str, Any]:
        """Links into the sampler at `key`, for a probe that samples with the same."""
        inputs = self.prompt[key]["inputs"]
        return {name: inputs[name] for name in ("model", "positive", "negative", "vae", "plan")}


def generation(run: Run, key: str = "ours") -> dict[str, Any]:
    """The stored form of the GENERATION that `told` showed."""
    return run.outputs[f"{key}_told"]["generation"][0]


def is_equal(run: Run, key: str = "equal") -> bool:
    """Return whether the LATENTs at a probe of `equal` were equal."""
    return run.outputs[key]["equal"][0]
