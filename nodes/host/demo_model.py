"""The embedded demo model through ComfyUI's own classes, and its LoRAs in ComfyUI's list."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.sdxl_clip
import comfy.supported_models
import comfy.utils
import torch
from comfy.supported_models_base import ClipTarget

from ...intelligence.errors import UnsupportedModelError
from ...intelligence.generation import embedded_weights as shape
from ...intelligence.generation.embedded import EmbeddedModel, ensure_embedded
from .library_scan import list_demo_loras
from .server_planner import home

DTYPE = torch.float32

NOT_SAVED = (
    "The embedded demo model cannot be saved: no loader knows its sizes, so nobody could load the file. "
    "Use the node Embedded Demo Model wherever it is needed."
)


class EmbeddedDemo(comfy.supported_models.SDXL):
    """SDXL's configuration at the demo model's sizes. Its class name tells the model from SDXL."""

    unet_extra_config: ClassVar = {
        **comfy.supported_models.SDXL.unet_extra_config,
        "num_head_channels": shape.HEAD_WIDTH,
    }

    def process_unet_state_dict_for_saving(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        raise UnsupportedModelError(NOT_SAVED)


def ensure_demo() -> EmbeddedModel:
    """Return the files of the demo model in the pack's data folder, made on first use; ComfyUI then lists its LoRAs.

    Raises StorageError when they cannot be written.
    """
    model = ensure_embedded(home() / "embedded")
    list_demo_loras()
    return model


def load_demo_model() -> tuple[Any, Any, Any]:
    """Return MODEL, CLIP and VAE of the demo model in float32. Raises StorageError when it cannot be written."""
    folder = ensure_demo().folder
    return _unet(folder), _clip(folder), _vae(folder)


def _weights(folder: Path, component: str) -> dict[str, Any]:
    (file,) = (folder / component).glob("*.safetensors")
    return {name: tensor.to(DTYPE) for name, tensor in comfy.utils.load_torch_file(str(file)).items()}


def _set_norm_groups(module: Any) -> None:
    """Replace ComfyUI's 32 groups: with one channel a group, a norm takes every mean colour away."""
    for layer in module.modules():
        if isinstance(layer, torch.nn.GroupNorm):
            layer.num_groups = shape.NORM_GROUPS


def _unet(folder: Path) -> Any:
    widths, depths = shape.UNET_WIDTHS, list(shape.UNET_DEPTHS)
    config = EmbeddedDemo(
        {
            "image_size": shape.NATIVE_SIDE // 8,
            "in_channels": shape.LATENT_CHANNELS,
            "out_channels": shape.LATENT_CHANNELS,
            "model_channels": widths[0],
            "channel_mult": [width // widths[0] for width in widths],
            "num_res_blocks": [1] * len(widths),
            "transformer_depth": depths,
            "transformer_depth_output": [depth for depth in depths for _ in range(2)],
            "transformer_depth_middle": depths[-1],
            "context_dim": shape.CONTEXT,
            "adm_in_channels": shape.SIZE_AND_TEXT,
            "num_classes": "sequential",
            "use_spatial_transformer": True,
            "use_linear_in_transformer": True,
            "use_checkpoint": False,
            "use_temporal_attention": False,
            "use_temporal_resblock": False,
            "legacy": False,
        }
    )
    config.set_inference_dtype(DTYPE, None)
    names = comfy.utils.unet_to_diffusers(config.unet_config)
    weights = {names[name]: tensor for name, tensor in _weights(folder, "unet").items()}
    model = config.get_model(weights, "")
    _set_norm_groups(model.diffusion_model)
    management = comfy.model_management
    # 0.8.0 has ModelPatcher alone; later versions may page weights (dynamic VRAM).
    patcher_class = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    devices = {"load_device": management.get_torch_device(), "offload_device": management.unet_offload_device()}
    patcher = patcher_class(model, **devices)
    patcher.cached_patcher_init = _unet, (folder,)  # how core's nodes for several cards load it again
    paged = {"assign": patcher.is_dynamic()} if hasattr(patcher, "is_dynamic") else {}
    model.load_model_weights(weights, "", **paged)
    return patcher


def _clip(folder: Path) -> Any:
    weights: dict[str, Any] = {}
    options: dict[str, Any] = {"dtype": DTYPE}
    components = zip(("text_encoder", "text_encoder_2"), ("clip_l", "clip_g"), shape.TEXT_ENCODERS, strict=True)
    for component, name, encoder in components:
        weights |= {f"{name}.transformer.{key}": tensor for key, tensor in _weights(folder, component).items()}
        options[f"{name}_model_config"] = {
            "hidden_size": encoder.width,
            "intermediate_size": 4 * encoder.width,
            "num_hidden_layers": encoder.layers,
            "num_attention_heads": encoder.heads,
        }
    return comfy.sd.CLIP(
        ClipTarget(comfy.sdxl_clip.SDXLTokenizer, comfy.sdxl_clip.SDXLClipModel),
        parameters=sum(tensor.numel() for tensor in weights.values()),
        state_dict=weights,  # of a list of two dictionaries, both would be taken for CLIP-L
        model_options=options,
    )


def _vae(folder: Path) -> Any:
    config = {"params": {"embed_dim": shape.LATENT_CHANNELS, "ddconfig": shape.vae_ddconfig()}}
    vae = comfy.sd.VAE(sd=_weights(folder, "vae"), config=config, dtype=DTYPE)
    _set_norm_groups(vae.first_stage_model)
    return vae
