"""What a job needs: weights, activations and the VAE decode, predicted from tables. Sizes are GiB.

The figures are allocated bytes plus the convolution workspace, the floor of a run: what torch reserves above it is
given back before it fails. They come from a replay of the modules' allocations, which agrees with readings on GPUs
within 5 % (InvokeAI `denoise_working_memory.py`: UNet 332/737/1295 MiB at 1024/1536/2048²).
"""

from __future__ import annotations

from collections.abc import Mapping

from ..config import OffloadStrategy
from ..registry import Architecture

MIB = 1 / 1024
MEGAPIXEL = 1024 * 1024

STAGES = ("text", "unet", "vae")

HALF_WEIGHTS: dict[Architecture, dict[str, float]] = {
    Architecture.SDXL: {"text": (234.7 + 1325.0) * MIB, "unet": 4897.0 * MIB, "vae": 159.6 * MIB},
    Architecture.SD1: {"text": 234.7 * MIB, "unet": 1639.4 * MIB, "vae": 159.6 * MIB},
    Architecture.SD2: {"text": 649.0 * MIB, "unet": 1651.6 * MIB, "vae": 159.6 * MIB},
}
"""fp16 weights by stage (parameters × 2 bytes). Other architectures are taken for SDXL."""

UNET_PER_ITEM: dict[Architecture, float] = {
    Architecture.SDXL: 166 * MIB,
    Architecture.SD1: 166 * 1.25 * MIB,
    Architecture.SD2: 166 * 1.25 * MIB,
}
"""Activation of one fp16 forward item at 1024². Linear in pixels and items: it lies 0–4 % above the replays for SDXL
(166 at 1 item; 326, 726 and 1287 MiB for two items at 1024, 1536 and 2048²). SD1 and SD2 by the ratio of ComfyUI's
memory_usage_factor (1.0 to 0.8)."""

VAE_PER_MEGAPIXEL: dict[str, float] = {"float16": 2460 * MIB, "bfloat16": 2180 * MIB, "float32": 4916 * MIB}
"""Decode of 1024² at once. Linear in pixels: four times the 512 tile (615, 545, 1229 MiB), within 1 % of the whole
image (2433, 2177, 4867). bfloat16 is ComfyUI's own decoder, the others diffusers'."""

TEXT_ACTIVATION = 64 * MIB
LARGEST_LEAF = 113 * MIB
"""Largest single module of SDXL, a convolution, in fp32 as LoRA patching holds it."""

OVERHEAD = {"cuda": 0.4}
"""CUDA context, cuBLAS workspace and what else no counter of torch sees."""


def weights(
    architecture: Architecture, device: str, vae_dtype: str, given: Mapping[str, float] | None = None
) -> dict[str, float]:
    """GiB of weights by stage: what the host measured where `given` has it, the table otherwise (fp32 on a CPU)."""
    table = HALF_WEIGHTS.get(architecture, HALF_WEIGHTS[Architecture.SDXL])
    factor = 2 if device == "cpu" else 1
    predicted = {stage: size * factor for stage, size in table.items()}
    predicted["vae"] = table["vae"] * (2 if vae_dtype == "float32" else 1)
    return predicted | {stage: float(size) for stage, size in (given or {}).items()}


def predict(
    width: int,
    height: int,
    batch_size: int,
    *,
    architecture: Architecture,
    cfg: bool,
    strategy: OffloadStrategy,
    tile_size: int,
    weights_gb: Mapping[str, float],
    device: str,
    vae_dtype: str,
) -> dict[str, float]:
    """Peak of each stage in GiB. The VAE decodes one image at a time; CFG doubles the items of a forward batch."""
    megapixels = width * height / MEGAPIXEL
    items = batch_size * (2 if cfg else 1)
    tile = min(megapixels, tile_size**2 / MEGAPIXEL) if tile_size else megapixels
    item = UNET_PER_ITEM.get(architecture, UNET_PER_ITEM[Architecture.SDXL]) * (2 if device == "cpu" else 1)
    activation = {
        "text": TEXT_ACTIVATION,
        "unet": item * items * megapixels,
        "vae": VAE_PER_MEGAPIXEL[vae_dtype] * tile,
    }
    overhead = OVERHEAD.get(device, 0.0)
    return {stage: _resident(stage, strategy, weights_gb) + activation[stage] + overhead for stage in STAGES}


def _resident(stage: str, strategy: OffloadStrategy, weights_gb: Mapping[str, float]) -> float:
    """Weights on the device while `stage` runs."""
    if strategy is OffloadStrategy.FULL_GPU:
        return sum(weights_gb.values())
    if strategy is OffloadStrategy.CPU_OFFLOAD:
        return weights_gb[stage]
    return min(LARGEST_LEAF, weights_gb[stage])
