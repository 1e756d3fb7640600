"""Quality that settings cost: pictures of the embedded demo model against 200 steps of the same seed, in ComfyUI.

SDXL's rows by priority, guidance cutoffs, schedules of ten steps, EasyCache, ways to save memory and weight formats:
PSNR in dB (median), SSIM (mean) and forward items. Only samplers that draw no noise of their own have a reference.
--judge: also the share of pictures whose thing the trained judge names first (tests/tools/demo_model).
"""

from __future__ import annotations

import io
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from intelligence.config import OffloadStrategy, Priority
from intelligence.generation.embedded_weights import NATIVE_SIDE
from intelligence.models import Family
from intelligence.parameters.profiles import find_profile
from intelligence.parameters.schedules import schedule_sigmas

from ..comfyui.bench import AS_PLANNED, Bench, Graph
from ..comfyui.client import Run
from .comfyui_server import serving
from .report import parser, report

PROMPTS = (
    *("rocket", "red apple", "fairy", "sunflower", "cat face", "house", "octopus", "automobile"),
    *("strawberry", "frog", "lady beetle", "cherries", "lobster", "star", "musical keyboard", "fire engine"),
)
"""Things that the model's pictures show."""

BALANCED = find_profile(Family.SDXL, priority=Priority.BALANCED)
CUTOFFS = (0.28, 0.6, 1.2, 2.5, 5.0)
CACHES = (0.1, 0.2, 0.4)
ROUNDED = ("float16", "float8_e4m3fn", "int8", "nf4")
MEMORY: dict[str, dict[str, Any]] = {
    **{name.lower(): {"strategy": name} for name in (OffloadStrategy.CPU_OFFLOAD, OffloadStrategy.SEQUENTIAL)},
    "cfg_split": {"cfg_split": True},
    "attention_slicing": {"attention_slicing": True},
    "vae_bfloat16": {"vae_dtype": "bfloat16"},
    "tile_64": {"tile_size": 64},
}
"""Name → changes to the memory plan."""
REFERENCE_STEPS = 200


@dataclass(frozen=True)
class Way:
    """A way to make a picture: changes to the parameters, to the memory plan, and to the model's weights."""

    parameters: dict[str, Any]
    improvements: dict[str, float] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)
    rounded: str = ""


def _settings(steps: int, sampler: str, scheduler: str, sigmas: Sequence[float] | None = None) -> dict[str, Any]:
    listed = None if sigmas is None else list(sigmas)
    return {"num_steps": steps, "sampler_name": sampler, "scheduler": scheduler, "sigmas": listed}


def ways() -> dict[str, Way]:
    """Return every way, by the name of its figures; all at the guidance of SDXL's BALANCED."""
    usual = _settings(BALANCED.steps, BALANCED.sampler, BALANCED.scheduler)
    found = {"reference": Way(_settings(REFERENCE_STEPS, BALANCED.sampler, BALANCED.scheduler))}
    for priority in Priority:
        row = find_profile(Family.SDXL, priority=priority)
        sigmas = schedule_sigmas(row.schedule, row.steps) if row.schedule else None
        cut = {"cfg_cutoff_sigma": row.cfg_cutoff_sigma}
        found[priority.lower()] = Way(_settings(row.steps, row.sampler, row.scheduler, sigmas), cut)
    found["plain"] = Way(usual)
    found |= {f"cutoff_{cutoff:g}": Way(usual, {"cfg_cutoff_sigma": cutoff}) for cutoff in CUTOFFS}
    found |= {f"easycache_{value:g}": Way(usual, {"easycache": value}) for value in CACHES}
    found["ays_10"] = Way(_settings(10, BALANCED.sampler, BALANCED.scheduler, schedule_sigmas("ays", 10)))
    found |= {f"{name}_10": Way(_settings(10, BALANCED.sampler, name)) for name in ("karras", "normal", "sgm_uniform")}
    found["euler_20"] = Way(_settings(BALANCED.steps, "euler", "normal"))
    found |= {name: Way(usual, memory=changes) for name, changes in MEMORY.items()}
    return found | {f"weights_{name}": Way(usual, rounded=name) for name in ROUNDED}


def sample(bench: Bench, prompts: Sequence[str], chosen: dict[str, Way]) -> Run:
    """Run every way on every prompt, seed by place; the pictures are previews named `<way> <place>`."""
    rounded = {
        way.rounded: [bench.add(f"rounded {way.rounded}", "ProbeRounded", model=bench.model, dtype=way.rounded), 0]
        for way in chosen.values()
        if way.rounded
    }
    for place, text in enumerate(prompts):
        positive = [bench.add(f"positive {place}", "CLIPTextEncode", clip=bench.clip, text=f"{text}, flat emoji"), 0]
        negative = [bench.add(f"negative {place}", "CLIPTextEncode", clip=bench.clip, text=""), 0]
        for name, way in chosen.items():
            key = f"{name} {place}"
            changes = {**bench.size, **way.parameters, "guidance_scale": BALANCED.cfg, "batch_size": 1}
            changes |= {"rescale_cfg": 0.0, "improvements": way.improvements}
            plan = [bench.add(f"plan {key}", "ProbePlan", plan=bench.plan, changes=json.dumps(changes)), 0]
            if way.memory:
                plan = [bench.add(f"memory {key}", "ProbeMemory", plan=plan, changes=json.dumps(way.memory)), 0]
            bench.add(
                f"sampler {key}",
                "IntelligentSampler",
                model=rounded.get(way.rounded, bench.model),
                positive=positive,
                negative=negative,
                vae=bench.vae,
                plan=plan,
                seed=place,
                **AS_PLANNED,
            )
            bench.add(key, "PreviewImage", images=[f"sampler {key}", 0])
            bench.told(f"sampler {key}")
    return bench.run(timeout=20_000)


def ssim(one: np.ndarray, other: np.ndarray) -> float:
    """Return the mean structural similarity of two pictures of 0 to 1, on grey values (Wang et al. 2004).

    Windows of 8x8 pixels, a step of 4 apart.
    """
    windows = [
        np.lib.stride_tricks.sliding_window_view(picture.mean(axis=2), (8, 8))[::4, ::4] for picture in (one, other)
    ]
    mean_one, mean_other = (window.mean(axis=(2, 3)) for window in windows)
    var_one, var_other = (window.var(axis=(2, 3)) for window in windows)
    both = (windows[0] * windows[1]).mean(axis=(2, 3)) - mean_one * mean_other
    steady_mean, steady_variance = 0.01**2, 0.03**2
    likeness = (2 * mean_one * mean_other + steady_mean) * (2 * both + steady_variance)
    likeness /= (mean_one**2 + mean_other**2 + steady_mean) * (var_one + var_other + steady_variance)
    return float(likeness.mean())


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Return the peak signal to noise ratio in dB of two pictures of 0 to 1; at most 99, where they are equal."""
    error = float(np.square(one - other).mean())
    return min(99.0, -10 * float(np.log10(error))) if error else 99.0


Judge = Callable[[np.ndarray], str]
"""Picture of 0 to 1 → the name of what it shows."""


def trained_judge() -> Judge:
    """Return the judge of the demo model's training, from its folder."""
    from ..tools.demo_model import classify, pictures

    judge, concepts = classify.load_judge(), pictures.load().concepts

    def named(picture: np.ndarray) -> str:
        logits, _ = judge(classify.as_tensor((picture * 255).round().astype(np.uint8)[None]))
        return concepts[int(logits.argmax())].name

    return named


def figures(run: Run, pictures: dict[str, list[np.ndarray]], judge: Judge | None) -> dict[str, float | int]:
    """Return forward items of every way, PSNR and SSIM of all but the reference, and what a judge recognises."""
    found: dict[str, float | int] = {}
    for name, made in pictures.items():
        found[f"{name}_items"] = run.outputs[f"sampler {name} 0_told"]["generation"][0]["forward_items"]
        if name != "reference":
            pairs = list(zip(made, pictures["reference"], strict=True))
            found[f"{name}_psnr"] = statistics.median(psnr(*pair) for pair in pairs)
            found[f"{name}_ssim"] = statistics.fmean(ssim(*pair) for pair in pairs)
        if judge:
            right = [judge(picture) == thing for picture, thing in zip(made, PROMPTS, strict=False)]
            found[f"{name}_recognised"] = statistics.fmean(right)
    return found


def _picture(graph: Graph, run: Run, key: str) -> np.ndarray:
    data = graph.client.view(run.outputs[key]["images"][0])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=np.float32) / 255


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--pictures", type=int, default=len(PROMPTS), help=f"of each way, 1 to {len(PROMPTS)}")
    arguments.add_argument("--side", type=int, default=NATIVE_SIDE, help="pixels")
    arguments.add_argument("--ways", nargs="*", default=[], help="only these; none: all")
    arguments.add_argument("--judge", action="store_true", help="name what the pictures show by the trained judge")
    options = arguments.parse_args()
    chosen = {name: way for name, way in ways().items() if not options.ways or name in ("reference", *options.ways)}
    prompts = PROMPTS[: options.pictures]
    with serving(checkpoints=False) as server:
        bench = Bench(server.client, side=options.side)
        run = sample(bench, prompts, chosen)
        places = range(len(prompts))
        pictures = {name: [_picture(bench, run, f"{name} {place}") for place in places] for name in chosen}
    told = figures(run, pictures, trained_judge() if options.judge else None)
    report({"pictures": len(prompts), "side": options.side, **told}, options.json)


if __name__ == "__main__":
    main()
