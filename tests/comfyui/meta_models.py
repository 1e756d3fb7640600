"""Models of ComfyUI's own classes at full width, without weights: on the meta device. For ComfyUI's process only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.model_patcher
import comfy.sd
import comfy.supported_models as classes
import network_configs
import torch

META = torch.device("meta")
NETWORKS = network_configs.NETWORKS | network_configs.EDITIONS


def available(name: str) -> bool:
    """Return True for a network of `NETWORKS` whose class this ComfyUI has."""
    return name in NETWORKS and hasattr(classes, NETWORKS[name][1])


def network(name: str) -> Any:
    """Return ComfyUI's inner model of a network of `NETWORKS`, whose weights have shapes and no values."""
    _, kind, sizes = NETWORKS[name]
    config = getattr(classes, kind)(dict(sizes))
    config.set_inference_dtype(torch.float16, None)
    with torch.inference_mode(False):
        return config.get_model({}, "", device=META)


def model(name: str) -> Any:
    """Return a MODEL of that network."""
    return comfy.model_patcher.ModelPatcher(network(name), load_device=META, offload_device=META)


def clip(name: str) -> Any:
    """Return a CLIP for a network whose weights have shapes and no values; None: not made."""
    import comfy.sd1_clip
    import comfy.sdxl_clip
    import comfy.text_encoders.flux
    import comfy.text_encoders.sd2_clip
    import comfy.text_encoders.sd3_clip

    kinds: dict[str, Callable[..., Any]] = {
        "sd1": comfy.sd1_clip.SD1ClipModel,
        "sd2": comfy.text_encoders.sd2_clip.SD2ClipModel,
        "sdxl": comfy.sdxl_clip.SDXLClipModel,
        "sdxl_refiner": comfy.sdxl_clip.SDXLRefinerClipModel,
        "sd3": comfy.text_encoders.sd3_clip.SD3ClipModel,
        "sd35_large": comfy.text_encoders.sd3_clip.SD3ClipModel,
        "flux": comfy.text_encoders.flux.FluxClipModel,
        "flux_schnell": comfy.text_encoders.flux.FluxClipModel,
    }
    if name not in kinds:
        return None
    found = comfy.sd.CLIP(no_init=True)
    found.cond_stage_model = kinds[name](device=META, dtype=torch.float16)
    found.patcher = comfy.model_patcher.ModelPatcher(found.cond_stage_model, load_device=META, offload_device=META)
    found.tokenizer = found.layer_idx = None
    found.tokenizer_options = {}
    found.use_clip_schedule = found.apply_hooks_to_conds = False
    return found
