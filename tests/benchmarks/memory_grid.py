"""Plans carried out by diffusers, measured: python -m tests.benchmarks.memory_grid --json

On a CUDA card the full-size SDXL with random weights in half precision, made there, under limits of 4, 6, 8 and 12 GiB:
whether each plan that says it fits ends, its peak beside the prediction by stage, seconds an image, and what offloading
in the two ways of diffusers takes at the same limits. Elsewhere the embedded model at small sizes, where nothing counts
memory: whether each placement ends, and its seconds.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from intelligence.config import MemorySettings, OffloadStrategy
from intelligence.generation.embedded import ensure_embedded
from intelligence.generation.sdxl_config import sdxl_config_folder
from intelligence.generation.standalone import quiet, require_standalone
from intelligence.memory import HostTraits, MemoryManager, MemoryPlan, ModelOffloader
from tests.benchmarks.report import parser, report

LIMITS_GB = (4, 6, 8, 12)
SIDES = (512, 1024, 1536)
BATCHES = (1, 2, 4)
STEPS = 4
OWN_WAYS = ("enable_model_cpu_offload", "enable_sequential_cpu_offload")
PLACEMENTS = [strategy for strategy in OffloadStrategy if strategy is not OffloadStrategy.AUTO]

Figures = dict[str, float | int | str | bool | None]


def full_size() -> Any:
    """A pipeline with SDXL's networks in half precision, their weights random, on the CPU."""
    import diffusers
    import torch
    import transformers

    folder = sdxl_config_folder()
    parts: dict[str, Any] = {}
    torch.set_default_dtype(torch.float16)
    try:
        with torch.device("cuda"):  # random numbers are made faster there
            for name in ("unet", "vae", "text_encoder", "text_encoder_2"):
                config = json.loads((folder / name / "config.json").read_text(encoding="utf-8"))
                if "_class_name" in config:
                    parts[name] = getattr(diffusers, config["_class_name"]).from_config(config)
                else:
                    kind = getattr(transformers, config["architectures"][0])
                    parts[name] = kind(kind.config_class.from_dict(config))
                parts[name].eval().requires_grad_(False)
                parts[name].to("cpu")
    finally:
        torch.set_default_dtype(torch.float32)
    for name in ("tokenizer", "tokenizer_2"):
        parts[name] = transformers.CLIPTokenizer.from_pretrained(folder / name)
    scheduler = diffusers.EulerDiscreteScheduler.from_pretrained(folder / "scheduler")
    return diffusers.StableDiffusionXLPipeline(scheduler=scheduler, **parts)


def embedded() -> Any:
    import diffusers

    return diffusers.StableDiffusionXLPipeline.from_pretrained(ensure_embedded().folder)


def run(pipe: Any, side: int, images: int, measured: Measured) -> None:
    """One run, its three stages measured."""
    import torch

    with torch.no_grad():
        with measured.stage("text"):
            positive, negative, pooled, negative_pooled = pipe.encode_prompt(
                "a cat", num_images_per_prompt=images, do_classifier_free_guidance=True, negative_prompt="blurry"
            )
        with measured.stage("unet"):
            latents = pipe(
                prompt_embeds=positive,
                negative_prompt_embeds=negative,
                pooled_prompt_embeds=pooled,
                negative_pooled_prompt_embeds=negative_pooled,
                width=side,
                height=side,
                num_inference_steps=STEPS,
                output_type="latent",
            ).images
        with measured.stage("vae"):
            rounded = pipe.vae.dtype == torch.float16
            if rounded:
                pipe.upcast_vae()
                latents = latents.float()
            pipe.vae.decode(latents / pipe.vae.config.scaling_factor, return_dict=False)
            if rounded:
                pipe.vae.to(torch.float16)
    pipe.maybe_free_model_hooks()


class Measured:
    """Peak (GiB beside the driver's) and seconds of each stage of a run."""

    def __init__(self) -> None:
        self.peaks: dict[str, float] = {}
        self.seconds = 0.0
        self._manager = MemoryManager()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a block."""
        start = time.perf_counter()
        with self._manager.track_usage() as usage:
            yield
        self.seconds += time.perf_counter() - start
        self.peaks[name] = usage.peak_vram_gb


def ends(pipe: Any, side: int, images: int) -> Measured | None:
    """What a run took, or None where memory ran out."""
    import torch

    measured = Measured()
    try:
        run(pipe, side, images, measured)
    except torch.OutOfMemoryError:
        return None
    return measured


def on_a_card() -> Figures:
    """The grid on the full-size model."""
    import torch

    manager = MemoryManager()
    resources = manager.detect_resources()
    context = resources.context_gb or 0.0
    figures: Figures = {"device": resources.name, "torch": torch.__version__}
    parts: list[float] = []
    wholes: list[float] = []
    planned = ended = 0
    # Rounding cannot be undone, so weights as loaded come first, and then 8 bit floats on a model of their own.
    for dtype in ("float16", "float8"):
        pipe = full_size()
        pipe.set_progress_bar_config(disable=True)
        pipe.vae.enable_slicing()
        traits = HostTraits("diffusers", weight_dtypes=(dtype,), cfg_split=True)
        for limit, side, images, strategy in itertools.product(LIMITS_GB, SIDES, BATCHES, PLACEMENTS):
            plan = manager.plan(
                side,
                side,
                images,
                settings=MemorySettings(strategy, float(limit)),
                resources=resources,
                host=traits,
                steps=STEPS,
            )
            if not plan.fits or plan.batch_size < images:
                continue
            planned += 1
            name = f"{limit}gb_{side}_{images}_{strategy.value.lower()}_{dtype}"
            torch.cuda.empty_cache()
            torch.cuda.set_per_process_memory_fraction(min(1.0, (limit - context) / resources.total_gb))
            ModelOffloader(strategy).distribute_pipeline(pipe, plan)
            measured = ends(pipe, side, images)
            figures[f"{name}_ends"] = measured is not None
            if measured is None:
                continue
            ended += 1
            figures[f"{name}_seconds_per_image"] = measured.seconds / images
            for stage, peak in measured.peaks.items():
                predicted = plan.stages[stage] - plan.context_gb
                wholes.append(abs(predicted / peak - 1))
                if peak > plan.resident[stage]:
                    rest = (predicted - plan.resident[stage]) / (peak - plan.resident[stage])
                    parts.append(abs(rest - 1))
                    figures[f"{name}_{stage}_percent"] = 100 * (rest - 1)
        del pipe
    figures |= diffusers_own(context, resources.total_gb)
    torch.cuda.set_per_process_memory_fraction(1.0)
    return figures | {
        "plans": planned,
        "plans_that_end": ended,
        "activation_error_median_percent": 100 * median(parts) if parts else None,
        "activation_error_worst_percent": 100 * max(parts) if parts else None,
        "whole_error_worst_percent": 100 * max(wholes) if wholes else None,
    }


def diffusers_own(context: float, total: float) -> Figures:
    """Seconds an image at 1024² of diffusers' own offloading, at each limit; None where memory runs out."""
    import torch

    figures: Figures = {}
    for way in OWN_WAYS:
        pipe = full_size()
        pipe.set_progress_bar_config(disable=True)
        getattr(pipe, way)()
        for limit in LIMITS_GB:
            torch.cuda.empty_cache()
            torch.cuda.set_per_process_memory_fraction(min(1.0, (limit - context) / total))
            measured = ends(pipe, 1024, 1)
            figures[f"{limit}gb_diffusers_{way.removeprefix('enable_')}_seconds"] = measured and measured.seconds
    return figures


def small() -> Figures:
    """Every placement of the embedded model, on a device without a counter."""
    figures: Figures = {"device": MemoryManager().detect_resources().name, "memory_figures_owed": True}
    for dtype in ("float16", "float8"):
        pipe = embedded()
        pipe.set_progress_bar_config(disable=True)
        for strategy, side, images in itertools.product(PLACEMENTS, (128, 256), (1, 2)):
            plan = MemoryPlan(strategy, "cpu", tile_size=128, weight_dtype=dtype, cfg_split=images == 1)
            ModelOffloader(strategy).distribute_pipeline(pipe, plan)
            measured = ends(pipe, side, images)
            name = f"{side}_{images}_{strategy.value.lower()}_{dtype}"
            figures[f"{name}_seconds_per_image"] = measured and measured.seconds / images
    return figures


def main() -> None:
    arguments = parser(__doc__ or "").parse_args()
    require_standalone("the grid")
    with quiet():
        import torch

        figures = on_a_card() if torch.cuda.is_available() else small()
    report(figures, arguments.json)


if __name__ == "__main__":
    main()
