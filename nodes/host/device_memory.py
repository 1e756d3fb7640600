"""The device's memory and the model's sizes as ComfyUI has them, and the memory plans made from these."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.model_management
import torch

from ...intelligence.config import MemorySettings, OffloadStrategy
from ...intelligence.memory import MemoryPlan, MemoryRequest, Resources, detect_resources
from ...intelligence.memory.model_files import ModelFile, file_reason, forecast, model_name, read_model_file
from ...intelligence.units import BYTES_PER_GIB
from .model_paths import model_path, model_paths
from .server_planner import planner

if TYPE_CHECKING:
    from ...intelligence.generation.stages import GenerationPlan, Recommendations
    from ...intelligence.models import ModelEvidence


def fit(recommendations: Recommendations, model: Any, vae: Any, request: MemoryRequest) -> GenerationPlan:
    """Fit a run onto the device of MODEL.

    Args:
        request: images, limits and failed plans; the rest is filled in from MODEL, VAE and the settings.

    Raises InvalidInputError, StorageError.
    """
    return planner().plan(recommendations, _filled(recommendations, model, vae, request), resources=resources(model))


def with_file_advice(plan: GenerationPlan, model: Any, vae: Any, request: MemoryRequest) -> GenerationPlan:
    """Return the plan with a sentence about the file that suits this device best, where the library holds several files
    of the loaded model.

    Raises InvalidInputError, StorageError.
    """
    chosen = plan.recommendations
    path = _path_of(chosen.model)
    if path is None or len(alike := _alike(path)) < 2:
        return plan
    files = [file for each in alike if (file := read_model_file(each))]
    request = replace(_filled(chosen, model, vae, request), settings=MemorySettings(OffloadStrategy.CPU_OFFLOAD))
    machine = replace(resources(model), dynamic_vram=False)  # which moves weights all the time where they do not fit

    def plan_with(file: ModelFile) -> MemoryPlan:
        sizes = {**request.weights_gb, "unet": file.weights_gb}
        return planner().plan(chosen, replace(request, weights_gb=sizes), resources=machine).memory

    forecasts = forecast(files, plan_with, machine.multiplies, with_loras=bool(chosen.suggested_loras))
    reason = file_reason(forecasts, path)
    return (
        plan if reason is None else replace(plan, memory=replace(plan.memory, reasons=(*plan.memory.reasons, reason)))
    )


def _filled(recommendations: Recommendations, model: Any, vae: Any, request: MemoryRequest) -> MemoryRequest:
    settings = recommendations.suggested_params
    return replace(
        request,
        weights_gb=weights_gb(model, vae),
        vae_dtype=vae_dtype(vae),
        activation_gb=activation_gb(model, vae, settings.width, settings.height),
    )


def _path_of(model: ModelEvidence | None) -> str | None:
    """Return the file that the loaded model came from; None where the host does not know it."""
    return None if model is None else model.path or model_path(model.name)


def _alike(path: str) -> list[Path]:
    """Return the files of the same model, in any format."""
    name = model_name(Path(path).name)
    return [file for file in model_paths() if model_name(file.name) == name]


def resources(model: Any = None) -> Resources:
    """Return the device that ComfyUI samples on and its memory, loaded models counted as free.

    Args:
        model: the MODEL that will sample: names the device, and whether dynamic VRAM pages its weights.
    """
    management = comfy.model_management
    device = management.get_torch_device() if model is None else model.load_device
    found = detect_resources()
    if found.device != device.type:  # --cpu beside a card, DirectML and the like
        ram = found.ram_total_gb, found.ram_free_gb
        found = Resources(device.type, "", 0.0, 0.0, *ram, backend=device.type, dtypes=("float16",))
    dynamic = is_dynamic(model)
    if dynamic:
        free = model.get_free_memory(device)
    else:
        free = management.get_free_memory(device) + sum(record.model_loaded_memory() for record in loaded_on(device))
    total = management.get_total_memory(device)
    return replace(
        found,
        name=management.get_torch_device_name(device),
        total_gb=total / BYTES_PER_GIB,
        free_gb=min(free, total) / BYTES_PER_GIB,
        context_gb=None if dynamic else found.context_gb,  # paged weights are outside of torch too
        attention="flash",  # without fused attention, ComfyUI's own is sliced to the free memory
        dynamic_vram=dynamic,
    )


def loaded_on(device: torch.device) -> list[Any]:
    """Return ComfyUI's records of the models on `device`, without those whose MODEL was freed."""
    loaded = comfy.model_management.current_loaded_models
    return [record for record in loaded if record.device == device and record.model is not None]


def is_shared_out(model: Any) -> bool:
    """Return whether MODEL has clones on other devices, among which ComfyUI shares prompt and negative prompt out."""
    return bool(model.get_additional_models_with_key("multigpu"))


def is_dynamic(model: Any) -> bool:
    """Return whether ComfyUI's dynamic VRAM pages this MODEL's weights (0.8.0 has no dynamic VRAM)."""
    check = getattr(model, "is_dynamic", None)
    return bool(check and check())


def weights_gb(model: Any, vae: Any = None) -> dict[str, float]:
    """Return the sizes of the loaded weights by stage, GiB; the plan assumes usual ones for other stages."""
    sizes = {"unet": model.model_size() / BYTES_PER_GIB}
    decoder = getattr(vae, "patcher", None)  # other packs' VAEs may have none
    return sizes if decoder is None else {**sizes, "vae": decoder.model_size() / BYTES_PER_GIB}


def activation_gb(model: Any, vae: Any, width: int, height: int) -> dict[str, float] | None:
    """Return ComfyUI's own estimates for one forward item and one decoded image of this size, GiB.

    None for a VAE that has no estimate for images.
    """
    if getattr(vae, "latent_dim", None) != 2:
        return None
    side = vae.spacial_compression_decode()
    latent = [1, vae.latent_channels, height // side, width // side]
    unet = model.model.memory_required(latent)
    return {"unet": unet / BYTES_PER_GIB, "vae": vae.memory_used_decode(latent, vae.vae_dtype) / BYTES_PER_GIB}


def vae_dtype(vae: Any) -> str:
    """Return the precision that the VAE decodes in: `float32`, `float16` or `bfloat16`."""
    return str(vae.vae_dtype).removeprefix("torch.")
