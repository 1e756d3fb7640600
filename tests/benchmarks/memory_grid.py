"""Memory plans carried out by diffusers, and diffusers' own offloading: python -m tests.benchmarks.memory_grid --json

On a CUDA card the full-size SDXL with random weights in half precision, made there, under limits of 4, 6, 8 and 12 GiB:
whether each plan that says it fits ends, its peaks beside the prediction, seconds an image; and beside the plan that
AUTO makes at each limit what diffusers' two ways of offloading take there. On a CPU the same with the embedded model,
at small sizes and without limits or a counter of memory: the plans are those for a small card.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from intelligence.config import OffloadStrategy
from intelligence.generation.standalone import quiet, require_standalone
from intelligence.memory import DIFFUSERS, MemoryManager, MemoryPlan, ModelOffloader, Rates, Resources
from intelligence.memory.offload import set_tiling
from intelligence.memory.prediction import FINEST_FIRST, Placement
from intelligence.parameters.speed import learn
from intelligence.parameters.workload import Work
from tests.benchmarks.memory_setting import Setting, on_a_card, on_a_cpu
from tests.benchmarks.report import parser, report

RESULTS = Path(__file__).with_name("results")
BATCHES = (1, 2, 4)
PLACEMENTS = [strategy for strategy in OffloadStrategy if strategy is not OffloadStrategy.AUTO]
DECODES = ("float32", "bfloat16")
"""In this order: weights of the VAE that were rounded cannot be had back."""
OWN_WAYS = ("enable_model_cpu_offload", "enable_sequential_cpu_offload")

Figures = dict[str, float | int | str | bool | None]


class Measured:
    """Peak (GiB beside the driver's) and seconds of each stage of a run."""

    def __init__(self, setting: Setting) -> None:
        self.peaks: dict[str, float] = {}
        self.stage_seconds: dict[str, float] = {}
        self._setting = setting
        self._manager = MemoryManager()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a block."""
        self._setting.wait()
        start = time.perf_counter()
        with self._manager.track_usage() as usage:
            yield
            self._setting.wait()
        self.stage_seconds[name] = time.perf_counter() - start
        self.peaks[name] = usage.peak_vram_gb

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return sum(self.stage_seconds.values())


def run(pipe: Any, setting: Setting, side: int, images: int, steps: int) -> Measured | None:
    """One run, its three stages measured; None where memory ran out."""
    import torch

    measured = Measured(setting)
    try:
        with torch.no_grad():
            _run(pipe, measured, side, images, steps)
    except torch.cuda.OutOfMemoryError:
        return None
    finally:
        pipe.maybe_free_model_hooks()
    return measured


def _run(pipe: Any, measured: Measured, side: int, images: int, steps: int) -> None:
    import torch

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
            num_inference_steps=steps,
            output_type="latent",
        ).images
    with measured.stage("vae"):
        cast = pipe.vae.dtype == torch.float16 and pipe.vae.config.force_upcast
        if cast:
            torch.nn.Module.to(pipe.vae, dtype=torch.float32)
            latents = latents.float()
        pipe.vae.decode(latents / pipe.vae.config.scaling_factor, return_dict=False)
        if cast:
            torch.nn.Module.to(pipe.vae, dtype=torch.float16)


@dataclass(frozen=True)
class Cell:
    """One run of the grid."""

    name: str
    limit_gb: float
    side: int
    images: int
    plan: MemoryPlan


def cells(setting: Setting, dtype: str, limits_gb: Sequence[float]) -> list[Cell]:
    """What fits with weights kept as `dtype`, each under the least limit that it fits, in an order in which little has
    to be set up anew."""
    made: dict[tuple[object, ...], Cell] = {}
    traits = replace(DIFFUSERS, weight_dtypes=(dtype,))
    for decode, strategy, limit, side, images, tile in itertools.product(
        DECODES, PLACEMENTS, limits_gb, setting.sides, BATCHES, (0, setting.tile)
    ):
        if not Placement(strategy, dtype).possible or (decode != DECODES[0] and side != setting.middle):
            continue
        plan = setting.plan(side, images, limit, strategy=strategy, tile_size=tile, vae_dtype=decode, host=traits)
        if plan.fits and plan.batch_size == images:
            apart = "_split" if plan.cfg_split else ""
            tiled = "tiled" if tile else "whole"
            name = f"{limit:g}gb_{side}_{images}_{strategy.value.lower()}{apart}_{dtype}_{decode}_{tiled}"
            made.setdefault((plan.setup, side, images), Cell(name, limit, side, images, plan))
    return sorted(made.values(), key=lambda cell: (DECODES.index(cell.plan.vae_dtype), *map(str, _placing(cell.plan))))


def _placing(plan: MemoryPlan) -> tuple[object, ...]:
    """What has to be distributed anew; tiles are only a setting of the VAE."""
    return replace(plan, tile_size=0).setup


class Grid:
    """Runs cells and keeps what they show."""

    def __init__(self, setting: Setting, until: float) -> None:
        """`until`: of `time.monotonic`, after which no run begins."""
        self.figures: Figures = {}
        self._setting = setting
        self._until = until
        self._planned = self._ended = self._left = 0
        self._rest: list[float] = []
        self._whole: list[float] = []

    def run(self, dtype: str, limits_gb: Sequence[float]) -> None:
        """All that fits with weights kept as `dtype`."""
        pipe = self._setting.pipeline()
        placed: tuple[object, ...] | None = None
        for cell in cells(self._setting, dtype, limits_gb):
            if time.monotonic() > self._until:
                self._left += 1
                continue
            if placed != _placing(cell.plan):
                ModelOffloader(cell.plan.strategy).distribute_pipeline(pipe, cell.plan)
                placed = _placing(cell.plan)
                run(pipe, self._setting, min(self._setting.sides), 1, 1)  # libraries choose their kernels
            set_tiling(pipe.vae, cell.plan.tile_size)
            with self._setting.limit(cell.limit_gb):
                measured = run(pipe, self._setting, cell.side, cell.images, self._setting.steps)
            self._add(cell, measured)

    def _add(self, cell: Cell, measured: Measured | None) -> None:
        self._planned += 1
        self.figures[f"{cell.name}_ends"] = measured is not None
        if measured is None:
            return
        self._ended += 1
        self.figures[f"{cell.name}_seconds_per_image"] = measured.seconds / cell.images
        plan, highest = cell.plan, max(measured.peaks.values())
        if not highest:
            return
        whole = (plan.predicted_peak_gb - plan.context_gb) / highest - 1
        self._whole.append(abs(whole))
        self.figures[f"{cell.name}_whole_percent"] = 100 * whole
        for stage, peak in measured.peaks.items():
            activations = peak - plan.resident[stage]
            if activations > 0:
                rest = (plan.stages[stage] - plan.context_gb - plan.resident[stage]) / activations - 1
                self._rest.append(abs(rest))
                self.figures[f"{cell.name}_{stage}_percent"] = 100 * rest

    def summary(self) -> Figures:
        """How many plans ended, and how far predictions are from what was measured, where something measures."""
        figures: Figures = {
            "plans": self._planned,
            "plans_that_end": self._ended,
            "plans_without_time": self._left,
            "memory_figures_owed": not self._whole,
        }
        if self._whole:
            figures |= {
                "activation_error_median_percent": 100 * median(self._rest),
                "activation_error_worst_percent": 100 * max(self._rest),
                "whole_error_worst_percent": 100 * max(self._whole),
            }
        return figures


def race(setting: Setting, limits_gb: Sequence[float], until: float) -> Figures:
    """Seconds for one image of the plan that AUTO makes at each limit, and of diffusers' own ways, the VAE decoding
    whole and in tiles; None: memory runs out, or time did."""
    side = setting.middle
    steps = setting.race_steps
    item_seconds = _item_seconds(setting, side)  # as the product learns it from its runs
    figures: Figures = {"race_side": side, "race_steps": steps, "race_item_seconds": item_seconds}
    for limit in limits_gb:
        plan = setting.plan(side, 1, limit, steps=steps, rates=_rates(setting, side, item_seconds))
        figures[f"race_{limit:g}gb_plan"] = f"{plan.strategy.value} {plan.weight_dtype} tile {plan.tile_size}"
        figures[f"race_{limit:g}gb_plan_seconds"] = None
        if plan.fits and time.monotonic() < until:
            pipe = setting.pipeline()
            ModelOffloader(plan.strategy).distribute_pipeline(pipe, plan)
            figures[f"race_{limit:g}gb_plan_seconds"] = _lap(pipe, setting, limit, side)
    for way, tile in itertools.product(OWN_WAYS, (0, setting.tile)):
        pipe = setting.pipeline()
        getattr(pipe, way)(device=setting.device)
        _mend_indexes(pipe, setting.device)
        set_tiling(pipe.vae, tile)
        for limit in limits_gb:
            name = f"race_{limit:g}gb_{way.removeprefix('enable_')}_{'tiled' if tile else 'whole'}_seconds"
            figures[name] = _lap(pipe, setting, limit, side) if time.monotonic() < until else None
    return figures


def _item_seconds(setting: Setting, side: int) -> float | None:
    """What a forward item takes with everything on the device and no limit; None: it does not fit."""
    pipe = setting.pipeline()
    plan = setting.plan(side, 1, setting.resources.total_gb, strategy=OffloadStrategy.FULL_GPU)
    ModelOffloader(plan.strategy).distribute_pipeline(pipe, plan)
    run(pipe, setting, side, 1, 1)
    measured = run(pipe, setting, side, 1, setting.race_steps)
    return measured and measured.stage_seconds["unet"] / setting.race_steps / 2


def _rates(setting: Setting, side: int, item_seconds: float | None) -> Rates:
    """Rates as the product has them after a run in which a forward item took `item_seconds`."""
    steps = setting.race_steps
    rates = learn((), f"{setting.resources.device}:sdxl").rates(Work(side, side, 2 * steps, steps))
    return rates if item_seconds is None else replace(rates, forward_item=item_seconds, learned=True)


def _lap(pipe: Any, setting: Setting, limit: float, side: int) -> float | None:
    with setting.limit(limit):
        if run(pipe, setting, side, 1, 1) is None:
            return None
        measured = run(pipe, setting, side, 1, setting.race_steps)
    return measured and measured.seconds


def _mend_indexes(pipe: Any, device: str) -> None:
    """On a CPU diffusers' sequential offload asks accelerate for the device `cpu:0`: a Parameter that `.to` brings from
    `cpu` to there comes back as a plain Tensor, and accelerate fails on it after the first module. Cards have indexes.
    """
    import torch

    if device != "cpu":
        return
    for part in pipe.components.values():
        for module in part.modules() if isinstance(part, torch.nn.Module) else ():
            hook = getattr(module, "_hf_hook", None)
            for one in getattr(hook, "hooks", (hook,)):
                if getattr(one, "execution_device", None) is not None:
                    one.execution_device = torch.device(device)


def write(figures: Figures, folder: Path) -> Path:
    """One file a machine and day; what further commands of that day add to it is kept."""
    name = re.sub(r"[^a-z0-9]+", "-", str(figures["machine"]).lower()).strip("-")
    path = folder / f"memory_grid-{name}-{figures['date']}.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(before | figures, indent=1) + "\n", encoding="utf-8")
    return path


def options() -> argparse.Namespace:
    made = parser(__doc__ or "")
    made.add_argument("--dtypes", default=",".join(FINEST_FIRST), help="weight formats, by commas; empty: no grid")
    made.add_argument("--limits", default="", help="of the limits only these (GiB), by commas")
    made.add_argument("--no-race", action="store_true", help="without the comparison with diffusers' own offloading")
    made.add_argument("--seconds", type=float, default=540.0, help="begin no run after so long")
    made.add_argument("--write", type=Path, nargs="?", const=RESULTS, help="keep the figures there as a JSON file")
    return made.parse_args()


def main() -> None:
    chosen = options()
    until = time.monotonic() + chosen.seconds
    require_standalone("the grid")
    with quiet():
        import torch

        setting = on_a_card() if torch.cuda.is_available() else on_a_cpu()
        wanted = {float(limit) for limit in chosen.limits.split(",") if limit}
        limits = [limit for limit in setting.limits_gb if not wanted or limit in wanted]
        offered = ("float16", *(dtype for dtype in FINEST_FIRST if _offered(dtype, setting.resources)))
        figures: Figures = {
            "machine": torch.cuda.get_device_name() if setting.device == "cuda" else platform.machine() + " cpu",
            "date": datetime.now(UTC).date().isoformat(),
            "torch": torch.__version__,
        }
        grid = Grid(setting, until)
        for dtype in filter(None, chosen.dtypes.split(",")):
            if dtype in offered:
                grid.run(dtype, limits)
                _keep(figures | grid.figures | grid.summary(), chosen.write)
        figures |= grid.figures | grid.summary()
        if not chosen.no_race:
            figures |= race(setting, limits, until)
        _keep(figures, chosen.write)
    report(figures, chosen.json)


def _offered(dtype: str, resources: Resources) -> bool:
    return {"float8": "float8_e4m3fn"}.get(dtype, dtype) in resources.dtypes


def _keep(figures: Figures, folder: Path | None) -> None:
    if folder is not None:
        write(figures, folder)


if __name__ == "__main__":
    main()
