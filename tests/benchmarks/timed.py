"""Runs whose time is predicted beforehand: through the pack's nodes on a real ComfyUI server, or the pipeline on
diffusers."""

from __future__ import annotations

import os
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from intelligence.config import EMBEDDED_MODEL, HOME_VARIABLE, GenerationConstraints, PipelineConfig, Priority
from intelligence.generation.choice_requests import LoRARequest, SettingsRequest
from intelligence.generation.pipeline import IntelligentGenerationPipeline
from intelligence.generation.run import run_plan, seeds_from
from intelligence.generation.stages import Generation
from intelligence.learning import LearningEngine, Timing
from intelligence.memory import MemoryRequest
from intelligence.parameters import OptimizedParameters, TimeEstimate

from ..comfyui.client import Prompt
from ..comfyui.examples import checkpoint_example, example
from ..comfyui.server import Server
from ..comfyui.workflow import changed
from .comfyui_server import serving

Settings = dict[str, Any]

CALIBRATION: Sequence[Settings] = (
    {"width": 128, "height": 128, "steps": 12, "images": 1},
    {"width": 256, "height": 256, "steps": 6, "images": 1},
    {"width": 192, "height": 192, "steps": 8, "images": 2, "cfg": 1.0},
)
"""Three runs that show what pixels, steps, images and guidance cost."""

SCALE = {"comfyui": {}, "diffusers": {"width": 4, "height": 4, "steps": 2}}
"""How many times those of the tables the settings are that are tried: the embedded model is quick, and nobody waits for
so little work."""


@dataclass(frozen=True)
class Measured:
    """One run: what was said before and during it, what it took, and what is remembered of it."""

    parameters: OptimizedParameters
    seconds: float
    timing: Timing
    notes: tuple[str, ...]

    @property
    def online(self) -> TimeEstimate:
        """What was predicted before the run."""
        found = self.parameters
        assert found.estimated_time_seconds is not None
        low, high = found.time_interval_seconds or (0.0, float("inf"))
        return TimeEstimate(found.estimated_time_seconds, low, high, int(found.time_interval_seconds is not None))

    @property
    def held(self) -> bool:
        """Whether the run kept its limit."""
        return self.seconds <= (self.parameters.max_time_seconds or float("inf"))

    @property
    def told_before(self) -> bool:
        """Whether the plan said that its limit is not sure to be held."""
        text = next(reason.evidence for reason in self.parameters.reasons if reason.setting == "time")
        return "cannot be met" in text or "may not be held" in text

    @property
    def told_meanwhile(self) -> bool:
        """True where a note says so, written while sampling or at the end."""
        return any("exceeded" in note for note in self.notes)


class Runner(Protocol):
    """Something that makes images and remembers how long they took."""

    def run(self, settings: Settings) -> Measured:
        """Make one image or batch with these widgets of Param Optimize, and the sampler's `hold_time_limit`."""
        ...


class OnComfyUI:
    """A server with the pack and the random checkpoint, or the demo model, which is much quicker."""

    def __init__(self, server: Server, *, demo: bool = False) -> None:
        self.client = server.client
        self.base = server.base
        graph = example if demo else checkpoint_example
        self.prompt: Prompt = graph(self.client, PromptAnalyze={"prompt": "a lighthouse at dusk"})
        self.seed = 0

    def run(self, settings: Settings) -> Measured:
        """See `Runner`."""
        self.seed += 100
        auto: Settings = {"steps": 0, "cfg": 0.0, "width": 0, "height": 0, "max_time_seconds": 0.0}
        hold = {"hold_time_limit": settings.get("hold_time_limit", True)}
        chosen = {name: value for name, value in settings.items() if name not in hold}
        edits = {"ParamOptimize": {**auto, **chosen}, "IntelligentSampler": {"seed": self.seed, **hold}}
        self.client.complete(changed(self.prompt, edits))
        learning = LearningEngine(next(self.base.rglob("learning.db")))
        measured = last_run(learning)
        learning.close()
        return measured


class OnDiffusers:
    """The pipeline on the embedded model."""

    def __init__(self, home: Path) -> None:
        os.environ[HOME_VARIABLE] = str(home)
        self.pipeline = IntelligentGenerationPipeline(PipelineConfig(base_model=EMBEDDED_MODEL))
        planner, host = self.pipeline.planner, self.pipeline.host
        analysis = planner.analyze("a lighthouse at dusk")
        self.recommended = planner.recommend(analysis, host.evidence(), LoRARequest(selection=()))
        self.seed = 0

    def run(self, settings: Settings) -> Measured:
        """See `Runner`."""
        self.seed += 100
        planner, host = self.pipeline.planner, self.pipeline.host
        budgets = ("max_time_seconds", "priority", "images", "hold_time_limit")
        limits = GenerationConstraints(
            settings.get("max_time_seconds"),
            priority=settings.get("priority", Priority.BALANCED),
            hold_time_limit=settings.get("hold_time_limit", True),
        )
        request = MemoryRequest(images=settings["images"], max_batch=1, weights_gb=host.weights_gb())
        given = {name: value for name, value in settings.items() if name not in budgets}
        chosen = planner.parametrize(self.recommended, SettingsRequest(limits, given, request))
        plan = planner.plan(chosen, request)
        run_plan(host, plan, seeds_from(self.seed, settings["images"]), self.pipeline.learning)
        return last_run(self.pipeline.learning)


class Scaled:
    """A runner whose settings are `scale` times those asked for."""

    def __init__(self, runner: Runner, scale: dict[str, int]) -> None:
        self.runner = runner
        self.scale = scale

    def run(self, settings: Settings) -> Measured:
        """See `Runner`."""
        scaled = {name: times * settings[name] for name, times in self.scale.items() if name in settings}
        return self.runner.run({**settings, **scaled})


def last_run(learning: LearningEngine) -> Measured:
    """What the store remembers of the last generation."""
    generation = Generation.from_dict(learning.list_generations(1)[0].data)
    parameters = generation.plan.parameters
    timings = learning.timings(parameters.timing_key)
    return Measured(parameters, generation.generation_time_seconds, timings[-1], generation.notes)


def add_host(arguments: ArgumentParser) -> None:
    """Let `--host` choose what runs."""
    arguments.add_argument("--host", choices=list(SCALE), default="comfyui")


@contextmanager
def runner(host: str, *, quick: bool = False) -> Iterator[Runner]:
    """What runs on `host`, over a store that knows nothing yet; `quick`: the demo model, at the sizes as they are."""
    scale = {} if quick else SCALE[host]
    if host == "comfyui":
        with serving(checkpoints=not quick) as server:
            yield Scaled(OnComfyUI(server, demo=quick), scale)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Scaled(OnDiffusers(Path(folder)), scale)
