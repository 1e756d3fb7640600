"""Upscale models: memory and time predicted against taken: python -m tests.benchmarks.upscaling --json

Memory: a tile through random networks of five architectures, beside torch's own count of what it allocates on the CPU.
Time: the pipeline with the embedded model and a tiny ESRGAN; three runs to learn from, then others of five sizes: what
was said of enlarging, of the second pass, and of the whole run before it, over what it took.

Wants a quiet machine, or one thread of real-time priority on a shared one (`OMP_NUM_THREADS=1 chrt -f 5 python -m …`):
`repeat_spread` is how far equal runs lay apart, and no prediction can be nearer than that.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from intelligence import IntelligentGenerationPipeline, ModelRegistry, PipelineConfig
from intelligence.config import HOME_VARIABLE
from intelligence.generation.postprocess.upscale_models import cost_of
from intelligence.generation.standalone import quiet, require_standalone
from intelligence.models import ModelKind
from intelligence.parameters.speed import upscale_key
from tests.comfyui import launcher
from tests.comfyui.upscale_models import peak_on_the_cpu, write_upscale_model

from .report import parser, report

TILES = (128, 224)
CALIBRATION = ((192, 192), (256, 192), (192, 192))
SIZES = ((192, 192), (256, 192), (128, 192), (256, 256), (192, 128))
STEPS = 4


def networks() -> Iterator[tuple[str, Any]]:
    """Yield the name and a spandrel descriptor of small random networks of each architecture."""
    import spandrel
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact
    from spandrel.architectures.DAT.__arch.DAT import DAT
    from spandrel.architectures.ESRGAN.__arch.RRDB import RRDBNet
    from spandrel.architectures.SPAN.__arch.span import SPAN
    from spandrel.architectures.SwinIR.__arch.SwinIR import SwinIR

    attention = {"img_size": 64, "embed_dim": 60, "upscale": 2, "upsampler": "pixelshuffledirect"}
    made = {
        "esrgan": RRDBNet(num_blocks=2),
        "compact": SRVGGNetCompact(),
        "span": SPAN(num_in_ch=3, num_out_ch=3),
        "swinir": SwinIR(window_size=8, depths=[2, 2], num_heads=[6, 6], mlp_ratio=2, **attention),
        "dat": DAT(depth=[2, 2], num_heads=[2, 2], split_size=[8, 16], expansion_factor=2, **attention),
    }
    for name, network in made.items():
        yield name, spandrel.ModelLoader().load_from_state_dict(network.state_dict()).eval()


def memory() -> dict[str, float]:
    """Return prediction over measurement, less one, of each network and tile, and the largest."""
    figures = {}
    for name, model in networks():
        foretold = cost_of(model, "cpu").pixel_bytes
        for side in TILES:
            figures[f"memory_{name}_{side}"] = foretold * side**2 / peak_on_the_cpu(model, side) - 1
    return {**figures, "memory_worst": max(map(abs, figures.values()))}


def times(folder: Path, rounds: int) -> dict[str, float]:
    """Return the errors of what was said before runs of the pipeline."""
    name = "2x-tiny-esrgan.safetensors"
    write_upscale_model(folder / name)
    registry = ModelRegistry(folder / "registry.db")
    registry.scan({ModelKind.UPSCALER: [folder]})
    pipeline = IntelligentGenerationPipeline(PipelineConfig(base_model="embedded"), registry)

    def run(size: tuple[int, int]) -> dict[str, tuple[float, float]]:
        """Return (predicted, taken) seconds of enlarging and of the whole run."""
        width, height = size
        asked = {"width": width, "height": height, "steps": STEPS, "second_pass": "on", "upscaler": name}
        made = pipeline.generate("a lake", seed=1, **asked).generation
        parameters, second = made.plan.parameters, made.plan.parameters.second_pass
        assert second is not None
        *_, timing = pipeline.learning.timings(upscale_key(made.plan.memory.device, name))
        return {
            "enlarging": (second.enlarging_seconds or 0.0, timing.seconds),
            "run": (parameters.estimated_time_seconds or 0.0, made.generation_time_seconds),
        }

    run(CALIBRATION[0])  # loads the model
    for size in CALIBRATION:
        run(size)
    found = [run(size) for _ in range(rounds) for size in SIZES]
    figures = {}
    for part in ("enlarging", "run"):
        errors = sorted(abs(predicted / taken - 1) for predicted, taken in (one[part] for one in found))
        figures[f"{part}_median_error"] = statistics.median(errors)
        figures[f"{part}_p90_error"] = errors[int(0.9 * (len(errors) - 1))]
    same = [one["run"][1] for one in found[:: len(SIZES)]]
    figures["repeat_spread"] = max(same) / min(same) - 1
    return figures


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--rounds", type=int, default=3, help="runs of each size")
    arguments.add_argument("--only", choices=("memory", "time"))
    options = arguments.parse_args()
    require_standalone("the pipeline")
    launcher.declare_torchvision_operators()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, quiet():
        os.environ[HOME_VARIABLE] = folder
        if options.only != "time":
            figures |= memory()
        if options.only != "memory":
            figures |= times(Path(folder), options.rounds)
    report(figures, options.json)


if __name__ == "__main__":
    main()
