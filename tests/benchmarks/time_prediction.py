"""Time predicted against time taken: through the pack's nodes on a real ComfyUI server, or the pipeline on diffusers.

Three calibration runs, then a grid of sizes, steps, samplers and batches, whose runs the pack goes on learning from, as
it does for everyone, with repeats of the calibration among them. Two figures each: what was said before the run
(`online`), and what the three calibration runs alone would have said (`three_runs`). Then runs with a time budget and
free steps: held where the plan said that it will be, told beforehand where not.

Wants a quiet machine, or one thread of real-time priority on a shared one (`OMP_NUM_THREADS=1 chrt -f 5 python -m …`):
`repeat_spread` is how far equal runs lay apart, and no prediction can be nearer than that.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from intelligence.config import EMBEDDED_MODEL, HOME_VARIABLE, GenerationConstraints, PipelineConfig, Priority
from intelligence.generation.batch import seeds_from
from intelligence.generation.pipeline import IntelligentGenerationPipeline
from intelligence.generation.run import carry_out
from intelligence.generation.story import Generation
from intelligence.learning import LearningEngine, Timing
from intelligence.parameters import OptimizedParameters, ParameterOptimizer, TimeEstimate

from ..comfyui import locate
from ..comfyui.client import Prompt
from ..comfyui.examples import example
from ..comfyui.server import Server
from ..comfyui.workflow import changed
from .report import parser, report

Settings = dict[str, Any]

CALIBRATION: list[Settings] = [
    {"width": 128, "height": 128, "steps": 8, "images": 1},
    {"width": 256, "height": 256, "steps": 4, "images": 1},
    {"width": 192, "height": 192, "steps": 5, "images": 2, "cfg": 1.0},
]
SIZES = ((128, 128), (192, 128), (192, 192), (192, 256), (256, 256), (320, 192))
STEPS = (3, 5, 8, 12)
SAMPLERS = ("euler", "euler_ancestral", "dpmpp_2m", "heun", "uni_pc_bh2")
IMAGES = (1, 1, 2)
CFGS = (1.0, 6.0, 6.0)
LIMITED = {"width": 192, "height": 128, "images": 1, "priority": Priority.QUALITY.value}
SHARES = (0.85, 0.7, 0.55, 0.4, 0.3, 0.1, 0.05)
"""Time budgets, in shares of what the unlimited plan is predicted to take."""


@dataclass(frozen=True)
class Measured:
    """One run: what was said before, what it took, and what is remembered of it."""

    parameters: OptimizedParameters
    seconds: float
    timing: Timing

    @property
    def online(self) -> TimeEstimate:
        """What was predicted before the run."""
        found = self.parameters
        assert found.estimated_time_seconds is not None
        low, high = found.time_interval_seconds or (0.0, float("inf"))
        return TimeEstimate(found.estimated_time_seconds, low, high, int(found.time_interval_seconds is not None))

    @property
    def told(self) -> bool:
        """Whether the plan said that its limit is not sure to be held."""
        text = next(reason.evidence for reason in self.parameters.reasons if reason.what == "time")
        return "cannot be met" in text or "may not be held" in text


class Runner(Protocol):
    """Something that makes images and remembers how long they took."""

    def run(self, settings: Settings) -> Measured:
        """One image or batch with these widgets of Param Optimize."""
        ...


class OnComfyUI:
    """A server with the pack and the random checkpoint."""

    def __init__(self, server: Server) -> None:
        self.client = server.client
        self.base = server.base
        self.prompt: Prompt = example(self.client, PromptAnalyze={"prompt": "a lighthouse at dusk"})
        self.seed = 0

    def run(self, settings: Settings) -> Measured:
        """See `Runner`."""
        self.seed += 100
        auto: Settings = {"steps": 0, "cfg": 0.0, "width": 0, "height": 0, "max_time_seconds": 0.0}
        edits = {"ParamOptimize": {**auto, **settings}, "IntelligentSampler": {"seed": self.seed}}
        run = self.client.run(changed(self.prompt, edits))
        if run.status != "success":
            sys.exit(f"time_prediction: {run.error}")
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
        self.recommended = planner.recommend(analysis, host.evidence(), named=[], confirmed=True)
        self.seed = 0

    def run(self, settings: Settings) -> Measured:
        """See `Runner`."""
        self.seed += 100
        planner, host = self.pipeline.planner, self.pipeline.host
        budgets = ("max_time_seconds", "priority", "images")
        limits = GenerationConstraints(
            settings.get("max_time_seconds"), priority=settings.get("priority", Priority.BALANCED)
        )
        chosen = planner.parametrize(
            self.recommended,
            limits,
            overrides={name: value for name, value in settings.items() if name not in budgets},
            images=settings["images"],
            weights_gb=host.weights_gb(),
        )
        plan = planner.plan(chosen, images=settings["images"], weights_gb=host.weights_gb(), parallel=False)
        carry_out(host, plan, seeds_from(self.seed, settings["images"]), self.pipeline.learning)
        return last_run(self.pipeline.learning)


def last_run(learning: LearningEngine) -> Measured:
    """What the store remembers of the last generation."""
    generation = Generation.from_dict(learning.list_generations(1)[0].data)
    parameters = generation.plan.parameters
    timing = learning.timings(parameters.timing_key)[-1]
    return Measured(parameters, generation.generation_time_seconds, timing)


def grid(count: int) -> list[Settings]:
    """`count` different settings, the same ones every time."""
    rng = random.Random(0)
    return [
        {
            **dict(zip(("width", "height"), rng.choice(SIZES), strict=True)),
            "steps": rng.choice(STEPS),
            "sampler": rng.choice(SAMPLERS),
            "images": rng.choice(IMAGES),
            "cfg": rng.choice(CFGS),
        }
        for _ in range(count)
    ]


def quality(name: str, found: Sequence[tuple[TimeEstimate, float]]) -> dict[str, float]:
    """How good predictions were: error, coverage, and how wide the interval was."""
    errors = [abs(estimate.seconds / seconds - 1) for estimate, seconds in found]
    return {
        f"{name}_median_error": statistics.median(errors),
        f"{name}_p90_error": sorted(errors)[int(0.9 * len(errors))],
        f"{name}_coverage_90": statistics.mean(estimate.low <= taken <= estimate.high for estimate, taken in found),
        f"{name}_half_width": statistics.median((e.high - e.low) / 2 / e.seconds for e, _ in found),
    }


def measure(machine: Runner, count: int, budgets: int, scale: int) -> dict[str, float | int]:
    """All figures; sizes are `scale` times those of the tables."""
    started = time.monotonic()

    def run(settings: Settings) -> Measured:
        sides = {side: scale * settings[side] for side in ("width", "height")}
        return machine.run({**settings, **sides})

    calibration = [run(settings) for settings in CALIBRATION]
    tested, again = [], []
    for index, settings in enumerate(grid(count)):
        tested.append(run(settings))
        if index % 4 == 3:
            again.append(run(CALIBRATION[index // 4 % 3]))
    three = ParameterOptimizer(timings=lambda key: [run.timing for run in calibration])
    repeated = [run.seconds / calibration[index % 3].seconds for index, run in enumerate(again) if index % 3]

    free = run({**LIMITED, "max_time_seconds": 1e4}).online.seconds
    limited = [run({**LIMITED, "max_time_seconds": round(share * free, 2)}) for _ in range(budgets) for share in SHARES]
    held = [run.seconds <= (run.parameters.max_time_seconds or 0) for run in limited]
    promised = [kept for kept, run in zip(held, limited, strict=True) if not run.told]
    broken = [run for kept, run in zip(held, limited, strict=True) if not kept]
    return {
        "runs": len(tested),
        **quality("online", [(run.online, run.seconds) for run in tested]),
        **quality(
            "three_runs",
            [(three.estimate(run.parameters, run.parameters.forward_items or 0), run.seconds) for run in tested],
        ),
        "forward_items_as_predicted": statistics.mean(
            run.parameters.forward_items == run.timing.items for run in tested
        ),
        "repeat_spread": max((abs(ratio - 1) for ratio in repeated), default=0.0),
        "budgets": len(limited),
        "budgets_promised": len(promised),
        "budgets_promised_held": statistics.mean(promised) if promised else 0.0,
        "budgets_broken": len(broken),
        "budgets_broken_told": statistics.mean(run.told for run in broken) if broken else 1.0,
        "seconds": time.monotonic() - started,
    }


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--runs", type=int, default=16, help="runs of the grid")
    arguments.add_argument("--budgets", type=int, default=1, help="how often the row of time budgets is tried")
    arguments.add_argument("--host", choices=["comfyui", "diffusers"], default="comfyui")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.host == "diffusers":
            report(measure(OnDiffusers(Path(folder)), options.runs, options.budgets, scale=2), options.json)
            return
        try:
            installation = locate.installation(locate.checkout())
        except locate.Unavailable as reason:
            sys.exit(f"time_prediction: {reason}")
        server = Server(Path(folder), installation)
        server.start()
        try:
            figures = measure(OnComfyUI(server), options.runs, options.budgets, scale=1)
        finally:
            server.stop()
    report(figures, options.json)


if __name__ == "__main__":
    main()
