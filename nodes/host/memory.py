"""What ComfyUI knows of the device, in the planner's terms."""

from __future__ import annotations

from typing import Any

import comfy.model_management

from ...intelligence.memory import Resources

GIB = 2**30


def resources() -> Resources:
    """The device that ComfyUI samples on and the memory it would hand out now, loaded models counted as free."""
    import psutil

    management = comfy.model_management
    device = management.get_torch_device()
    ram = psutil.virtual_memory()
    loaded = sum(model.model_loaded_memory() for model in management.current_loaded_models if model.device == device)
    return Resources(
        device=device.type,
        name=management.get_torch_device_name(device),
        total_gb=management.get_total_memory(device) / GIB,
        free_gb=(management.get_free_memory(device) + loaded) / GIB,
        ram_total_gb=ram.total / GIB,
        ram_free_gb=ram.available / GIB,
    )


def weights_gb(model: Any, vae: Any = None) -> dict[str, float]:
    """True sizes of the weights in hand by stage, GiB; the usual ones hold for the rest."""
    sizes = {"unet": model.model_size() / GIB}
    return sizes if vae is None else {**sizes, "vae": vae.patcher.model_size() / GIB}


def vae_dtype(vae: Any) -> str:
    """The precision that the VAE decodes in: `float32`, `float16` or `bfloat16`."""
    return str(vae.vae_dtype).removeprefix("torch.")
