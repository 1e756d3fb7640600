"""A memory request on a device: the figures that all candidates of its plan share. Sizes are GiB."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..models import Architecture
from ..units import BYTES_PER_GIB, MIB_PER_GIB
from . import footprints
from .footprints import Footprints
from .memory_request import BYTES_PER_NUMBER, HostTraits, MemoryRequest, Rates
from .resources import OWN_MEMORY, Resources, weight_bytes

ASSUMED_CONTEXT_GB = {"cuda": 400 / MIB_PER_GIB, "xpu": 400 / MIB_PER_GIB}
"""Driver's context and cuBLAS's workspace, assumed until the device was used: 128–256 MiB are usual, 781 was seen."""

FLOAT32_SLOWDOWN = 2.0
"""TF32 runs at half the rate of fp16 on tensor cores (NVIDIA's A100 data sheet: 156 to 312 TFLOP/s)."""


@dataclass(frozen=True)
class Job:
    """A request, the device, and the model's figures there."""

    request: MemoryRequest
    footprints: Footprints
    weights: Mapping[str, float]
    """By stage, as they lie in RAM."""
    rates: Rates
    decoder: str = "diffusers"
    attention: str = "flash"
    weight_bytes: int = 2
    """Of a number in the UNet as it computes."""
    vae_dtypes: tuple[str, ...] = ("float32",)
    """Precisions that the VAE may decode in, the most exact first; the rates are those of the first."""
    lora_gb: float = 0.0
    """Weights of LoRAs that stay beside the model's own."""
    patches_loras: bool = False
    context_gb: float = 0.0
    pages_weights: bool = False
    """The host's allocator makes room by itself: weights never add to a peak."""
    activation_gb: Mapping[str, float] | None = None
    backend: str = ""
    """See `Resources`."""
    corrections: Mapping[str, float] = field(default_factory=dict)
    """Measured over predicted activations, by stage."""


def make_job(request: MemoryRequest, resources: Resources, host: HostTraits, corrections: Mapping[str, float]) -> Job:
    """Return the job of `request` on this device; `corrections`: see `Job`."""
    device = resources.device
    width = weight_bytes(device)
    model = footprints.find(request.architecture, request.configs.get("unet"), request.weights_gb.get("unet"), width)
    vae_dtypes = _vae_dtypes(request, host, resources)
    context = resources.context_gb
    own_table = footprints.of_architecture(request.architecture) is not None
    return Job(
        request,
        model,
        _weights(model, request, host, width, vae_dtypes[0]),
        request.rates or _relative_rates(request, model, vae_dtypes[0]),
        decoder=host.decoder,
        attention=resources.attention,
        weight_bytes=width,
        vae_dtypes=vae_dtypes,
        lora_gb=0.0 if host.patches_loras else request.lora_gb,
        patches_loras=host.patches_loras and request.lora_gb > 0,
        context_gb=ASSUMED_CONTEXT_GB.get(device, 0.0) if context is None else context,
        pages_weights=resources.dynamic_vram,
        activation_gb=None if own_table else request.activation_gb,
        backend=resources.backend,
        corrections=corrections,
    )


def _weights(
    model: Footprints, request: MemoryRequest, host: HostTraits, width: int, vae_dtype: str
) -> dict[str, float]:
    """Weights by stage: as the host measured them, else by the table."""
    widths = dict.fromkeys(model.weights, width)
    if host.decoder == "comfyui":
        widths["vae"] = BYTES_PER_NUMBER[vae_dtype]
    usual = {stage: size / MIB_PER_GIB * widths[stage] / 2 for stage, size in model.weights.items()}
    return usual | dict(request.weights_gb)


def _vae_dtypes(request: MemoryRequest, host: HostTraits, resources: Resources) -> tuple[str, ...]:
    """Precisions that the VAE may decode in, the most exact first.

    SDXL's overflows in float16, but for those whose configuration says otherwise (`force_upcast`); diffusers decodes
    these, SD1's and SD2's as they were loaded.
    """
    if resources.device == "cpu":
        return ("float32",)
    if request.vae_dtype is not None or host.decoder != "diffusers":
        return (request.vae_dtype or "float32",)
    overflows = request.configs.get("vae", {}).get("force_upcast", True)
    if request.architecture in (Architecture.SD1, Architecture.SD2) or not overflows:
        return ("float16",)
    rounds = resources.device in OWN_MEMORY and "bfloat16" in resources.dtypes
    return ("float32", "bfloat16") if rounds else ("float32",)


def _relative_rates(request: MemoryRequest, model: Footprints, vae_dtype: str) -> Rates:
    """Work in place of seconds where the caller knows no rates: it puts candidates in order and is never shown.

    In TFLOP, and for bytes those that a usual card computes meanwhile.
    """
    return Rates(
        forward_item=model.unet_call(request.pixels, 2).tflop / 2,
        decoded_pixel=model.vae_call(request.pixels).tflop * decode_slowdown(vae_dtype) / request.pixels,
        read_byte=0.04 / BYTES_PER_GIB,
        moved_byte=3.6 / BYTES_PER_GIB,
        streamed_byte=1.0 / BYTES_PER_GIB,
        hooked_forward=0.3,
    )


def decode_slowdown(vae_dtype: str) -> float:
    """Return the time of a decode in `vae_dtype` over that of one in half precision."""
    return FLOAT32_SLOWDOWN if BYTES_PER_NUMBER[vae_dtype] == 4 else 1.0
