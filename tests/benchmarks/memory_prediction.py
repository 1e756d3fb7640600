"""Predictions beside published figures, and how long they take: python -m tests.benchmarks.memory_prediction --json

Floor: tensors and workspaces; comfort: what the allocator reserves. Percentages are prediction over reading, less 100.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from intelligence.config import OffloadStrategy
from intelligence.generation.standalone import quiet, require_standalone
from intelligence.memory import DIFFUSERS, MemoryManager, MemoryRequest, Rates, Resources, footprints, prediction
from intelligence.memory.footprints import Footprint
from intelligence.memory.job import ASSUMED_CONTEXT_GB, Job
from intelligence.memory.offload import set_tiling
from intelligence.models import Architecture
from tests.benchmarks.report import parser, report
from tests.tools import simulator
from tests.tools.make_footprints import SDXL_CONFIGS, sdxl_with

UNET_READINGS = {1024: 332, 1536: 737, 2048: 1295}
"""MiB for a UNet forward with CFG batched, by side: InvokeAI, denoise_working_memory.py, measured on GPUs."""

VAE_READINGS = {"float16": 3232, "float32": 5568}
"""MiB reserved while 1024² is decoded whole: InvokeAI #7674."""

PUBLISHED_PROCESSES = {
    "fp32": (28.09, "FULL_GPU", 4, 4),
    "fp16": (21.72, "FULL_GPU", 2, 4),
    "model_offload": (20.21, "CPU_OFFLOAD", 2, 4),
    "sequential": (19.91, "SEQUENTIAL", 2, 4),
    "vae_slicing": (15.40, "FULL_GPU", 2, 1),
    "slicing_sequential": (11.47, "SEQUENTIAL", 2, 1),
}
"""GB, placement, bytes of a weight, images decoded at once. Hugging Face's blog on optimizations for SDXL, A100-40GB,
four images at 1024². Taken for the decode in float32, which no other stage comes near.

It is not told whether a GB is a GiB, whether these are allocated or reserved bytes, nor whether the driver's context is
in them; and they contradict each other: without 6.5 GiB of weights on the card a run took 1.5 GB less where four images
are decoded at once, and 3.9 less where one is. So a reading is held against all that it could be: tensors alone, since
cuDNN chooses how much workspace it takes, up to what the allocator reserves, with a context."""

LORA_READINGS = {"linear": 50.0, "conv": 112.5}
"""MiB that patching a LoRA into the largest layer asks for at a time, its copy in float32: ComfyUI#1947."""

TABLE = {
    "unet_1024_1": (158, 166, 232, 288),
    "unet_1024_2": (316, 326, 512, 554),
    "unet_1536_2": (710, 726, 1076, 1124),
    "unet_2048_2": (1262, 1287, 2044, 1978),
    "vae_float16": (1536, 2433, 2754, 4260),
    "vae_float32": (3072, 4867, 5506, 8504),
    "vae_float16_tile_512": (389, 615, 676, 1096),
    "vae_float32_tile_512": (779, 1229, 1394, 2178),
    "vae_comfyui": (1280, 2177, 2002, 3120),
    "vae_comfyui_tile_512": (320, 545, 474, 780),
}
"""MiB (allocated, with workspaces, reserved without and with them) of an earlier simulation."""

COLUMNS = {
    "allocated": "tensors",
    "floor": "allocated",
    "reserved": "tensors_reserved",
    "comfort": "reserved",
}
"""Name among the figures → field of a `Footprint`."""

Figures = dict[str, float | int | str | bool | None]


def percent(found: float, published: float) -> float:
    return 100 * (found / published - 1)


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def simulated() -> dict[str, Footprint]:
    """The table's rows, simulated now (ComfyUI's from the packaged table)."""
    unet = simulator.build(SDXL_CONFIGS["unet"], "float16")
    found = {
        f"unet_{side}_{items}": simulator.unet_footprint(unet, side, side, items)
        for side, items in ((1024, 1), (1024, 2), (1536, 2), (2048, 2))
    }
    for dtype in VAE_READINGS:
        vae = simulator.build(SDXL_CONFIGS["vae"], dtype)
        found[f"vae_{dtype}"] = simulator.vae_footprint(vae, 1024, 1024)
        set_tiling(vae, 512)
        found[f"vae_{dtype}_tile_512"] = simulator.vae_footprint(vae, 1024, 1024)
    sdxl = footprints.of_architecture(Architecture.SDXL)
    assert sdxl is not None
    found["vae_comfyui"] = sdxl.vae_call(1024 * 1024, "comfyui")
    found["vae_comfyui_tile_512"] = sdxl.vae_call(512 * 512, "comfyui")
    return found


def against_the_table(found: dict[str, Footprint]) -> Figures:
    figures: Figures = {}
    worst = dict.fromkeys(COLUMNS, 0.0)
    for name, published in TABLE.items():
        for column, value in zip(COLUMNS, published, strict=True):
            mine = getattr(found[name], COLUMNS[column])
            figures[f"{name}_{column}_mib"] = mine
            worst[column] = max(worst[column], abs(percent(mine, value)))
    return figures | {f"table_worst_{column}_percent": value for column, value in worst.items()}


def against_readings(found: dict[str, Footprint]) -> Figures:
    figures: Figures = {
        f"reading_unet_{side}_percent": percent(found[f"unet_{side}_2"].allocated, mib)
        for side, mib in UNET_READINGS.items()
    }
    inside = {dtype: found[f"vae_{dtype}"] for dtype in VAE_READINGS}
    for dtype, mib in VAE_READINGS.items():
        figures[f"reading_vae_{dtype}_inside"] = inside[dtype].allocated <= mib <= inside[dtype].reserved
    for name, (gb, placement, width, at_once) in PUBLISHED_PROCESSES.items():
        low, expected, high = process_peak(placement, width, at_once)
        figures[f"process_{name}_published_gb"] = gb
        figures[f"process_{name}_tensors_gib"] = low
        figures[f"process_{name}_floor_gib"] = expected
        figures[f"process_{name}_comfort_gib"] = high
        figures[f"process_{name}_inside"] = low <= gb <= high
    sdxl = footprints.of_architecture(Architecture.SDXL)
    assert sdxl is not None
    for layer, half in (("linear", sdxl.largest_linear), ("conv", sdxl.largest["unet"])):
        figures[f"reading_lora_{layer}_percent"] = percent(2 * half, LORA_READINGS[layer])
    return figures


def process_peak(placement: str, width: int, at_once: int) -> tuple[float, float, float]:
    """GiB (tensors alone, floor, comfort with a driver's context) while `at_once` images are decoded in float32."""
    sdxl = footprints.of_architecture(Architecture.SDXL)
    assert sdxl is not None
    weights = {stage: size * width / 2 / 1024 for stage, size in sdxl.weights.items()}
    rates = Rates(forward_item=1.0, decoded_pixel=0.0)
    job = Job(MemoryRequest(images=4, steps=50), sdxl, weights, rates, weight_bytes=width)
    where = prediction.Placement(OffloadStrategy(placement))
    call = sdxl.vae_call(1024 * 1024).scaled(2 * at_once)
    demand = prediction.stage_demand(job, where, "vae", call, "float32")
    tensors = demand.peak_gb - (call.allocated - call.tensors) / 1024
    return tensors, demand.peak_gb, demand.reserved_gb + ASSUMED_CONTEXT_GB["cuda"]


def times() -> Figures:
    other = sdxl_with(transformer_layers_per_block=[1, 2, 9])
    manager = MemoryManager()
    card = Resources("cuda", "card", 8, 8, 64, 48, dtypes=("float16", "float8_e4m3fn"))

    def plan(images: int) -> Callable[[], object]:
        return lambda: manager.plan(1024, 1024, images, resources=card)

    def predict() -> object:
        return manager.predict(MemoryRequest(host=DIFFUSERS), resources=card)

    return {
        "unknown_model_ms": 1000 * seconds(lambda: footprints.find(unet_config=other["unet"], unet_gb=4.5)),
        "first_prediction_ms": 1000 * seconds(predict),
        "prediction_ms": 1000 * min(seconds(predict) for _ in range(20)),
        "plan_ms": 1000 * min(seconds(plan(1)) for _ in range(20)),
        "plan_64_images_ms": 1000 * min(seconds(plan(64)) for _ in range(5)),
    }


def main() -> None:
    arguments = parser(__doc__ or "").parse_args()
    require_standalone("the simulation")
    with quiet():
        import torch

        torch.set_num_threads(1)
        for component in ("unet", "text_encoder_2"):
            simulator.build(SDXL_CONFIGS[component], "float16")
        timed = times()  # the libraries are imported by now, as they are when a pipeline asks
        found = simulated()
    report(against_the_table(found) | against_readings(found) | timed, arguments.json)


if __name__ == "__main__":
    main()
