"""Facts about the network of a loaded MODEL: its kind, how it samples, and the latent that it reads."""

from __future__ import annotations

from typing import Any

import comfy.model_sampling

from ...intelligence.models import Architecture, Family
from ...intelligence.models.latents import LatentKind

ARCHITECTURES = {
    "EmbeddedDemo": Architecture.DEMO,
    "SDXLRefiner": Architecture.SDXL_REFINER,
    "SDXL": Architecture.SDXL,
    "SD15": Architecture.SD1,
    "SD20": Architecture.SD2,
    "SVD_img2vid": Architecture.SVD,
    "Stable_Cascade_C": Architecture.CASCADE,
    "LongCatImage": Architecture.LONGCAT_IMAGE,
    "ChromaRadiance": Architecture.CHROMA_RADIANCE,
    "Chroma": Architecture.CHROMA,
    "QwenImage": Architecture.QWEN_IMAGE,
    "MageFlow": Architecture.MAGE_FLOW,
    "ZImagePixelSpace": Architecture.UNKNOWN,
    "ZImage": Architecture.Z_IMAGE,
    "Lumina2": Architecture.LUMINA2,
    "Krea2": Architecture.KREA2,
    "Anima": Architecture.ANIMA,
    "HiDreamO1": Architecture.HIDREAM_O1,
    "HiDream": Architecture.HIDREAM,
    "ErnieImage": Architecture.ERNIE_IMAGE,
    "Ideogram4": Architecture.IDEOGRAM4,
    "Lens": Architecture.LENS,
    "Boogu": Architecture.UNKNOWN,
    "Omnigen2": Architecture.OMNIGEN2,
    "HunyuanImage21": Architecture.HUNYUAN_IMAGE,
    "HunyuanImage21Refiner": Architecture.UNKNOWN,
    "HunyuanVideo15": Architecture.HUNYUAN_VIDEO_15,
    "HunyuanVideo15_SR_Distilled": Architecture.HUNYUAN_VIDEO_15,
    "HunyuanVideo": Architecture.HUNYUAN_VIDEO,
    "HunyuanDiT": Architecture.HUNYUAN_DIT,
    "LTXAV": Architecture.LTX2,
    "LTXV": Architecture.LTX_VIDEO,
    "GenmoMochi": Architecture.MOCHI,
    "CogVideoX_T2V": Architecture.COGVIDEOX,
    "PixArtAlpha": Architecture.PIXART,
    "AuraFlow": Architecture.AURAFLOW,
    "Kandinsky5": Architecture.KANDINSKY5,
}
"""Class of `comfy.supported_models` → architecture; the class itself counts before those that it comes from."""

SIZES: dict[str, tuple[str, dict[int, Architecture]]] = {
    "Flux2": (
        "hidden_size",
        {
            6144: Architecture.FLUX2_DEV,
            4096: Architecture.FLUX2_KLEIN_9B,
            3072: Architecture.FLUX2_KLEIN_4B,
        },
    ),
    "SD3": ("depth", {24: Architecture.SD3, 38: Architecture.SD35_LARGE}),
    "WAN21_T2V": ("dim", {1536: Architecture.WAN_1_3B, 3072: Architecture.WAN_5B, 5120: Architecture.WAN_14B}),
    "CosmosT2IPredict2": (
        "model_channels",
        {2048: Architecture.COSMOS_PREDICT2, 5120: Architecture.COSMOS_PREDICT2_14B},
    ),
}
"""Class of networks of several sizes → (entry of its configuration, value → architecture)."""

PREDICTIONS = (
    (comfy.model_sampling.ModelSamplingContinuousEDM, "edm"),
    (comfy.model_sampling.V_PREDICTION, "v_prediction"),
    (comfy.model_sampling.CONST, "flow"),
)
"""Class of the loaded model's sampling → prediction type; the first match counts."""

PIXEL_SCALE = "spacial_downscale_ratio"
"""Pixels a cell of a latent format (0.33; 0.8.0 lacks it for some formats)."""


def network_facts(model: Any) -> dict[str, Any]:
    """Return the fields of `ModelEvidence` that the MODEL itself tells."""
    sampling, config = model.get_model_object("model_sampling"), model.model.model_config
    prediction = next((found for kind, found in PREDICTIONS if isinstance(sampling, kind)), "epsilon")
    architecture = architecture_of(config)
    shift = getattr(sampling, "shift", None)
    return {
        "architecture": architecture,
        "model_class": type(config).__name__,
        "prediction": prediction,
        "sigma_max": float(sampling.sigma_max),
        "shift": float(shift) if prediction == "flow" and isinstance(shift, (int, float)) and shift > 0 else None,
        "own_sampling": "model_sampling" in model.object_patches,
        "embedded_guidance": bool(config.unet_config.get("guidance_embed", False)),
        "latent": _latent(model.get_model_object("latent_format")),
        "edition": _edition(config, architecture),
    }


def architecture_of(config: Any) -> Architecture:
    """Return the architecture of a model's configuration (an instance of a class of `comfy.supported_models`)."""
    settings = config.unet_config
    for name in (base.__name__ for base in type(config).__mro__):
        if name == "Flux":
            return _flux(settings)
        if name in SIZES:
            entry, sizes = SIZES[name]
            return sizes.get(settings.get(entry), Architecture.UNKNOWN)
        if name in ARCHITECTURES:
            return ARCHITECTURES[name]
    return Architecture.UNKNOWN


def _flux(settings: dict[str, Any]) -> Architecture:
    if settings.get("yak_mlp"):
        return Architecture.OVIS_IMAGE
    return Architecture.FLUX if settings.get("hidden_size", 3072) == 3072 else Architecture.UNKNOWN


def _edition(config: Any, architecture: Architecture) -> Family:
    """Return the edition that the configuration shows, or UNKNOWN."""
    settings = config.unet_config
    if architecture is Architecture.FLUX and not settings.get("guidance_embed", True):
        return Family.FLUX_SCHNELL
    if architecture is Architecture.SD3 and settings.get("x_block_self_attn_layers"):
        return Family.SD35_MEDIUM
    if settings.get("default_ref_method") == "index_timestep_zero":
        return Family.QWEN_IMAGE_EDIT
    return Family.UNKNOWN


def _latent(latent_format: Any) -> LatentKind:
    scale = getattr(latent_format, PIXEL_SCALE, 8)
    return LatentKind(latent_format.latent_channels, int(scale), getattr(latent_format, "latent_dimensions", 2) == 3)
