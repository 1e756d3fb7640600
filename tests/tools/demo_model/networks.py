"""The networks that are trained: their sizes, built from diffusers' and transformers' classes."""

from __future__ import annotations

from typing import Any

from intelligence.generation import embedded_weights as shape
from intelligence.generation.standalone import require_standalone

UNET_WIDTHS = (64, 128, 192)
VAE_WIDTHS = (32, 32, 64, 128)
SIDE = 128
"""Pixels that the model is trained at."""


def unet() -> Any:
    """Return an untrained `UNet2DConditionModel`."""
    require_standalone("training")
    from diffusers import UNet2DConditionModel

    config = shape.unet_config() | {
        "sample_size": SIDE // 8,
        "block_out_channels": list(UNET_WIDTHS),
        "attention_head_dim": [width // shape.HEAD_WIDTH for width in UNET_WIDTHS],
    }
    return UNet2DConditionModel.from_config(config)


def vae() -> Any:
    """Return an untrained `AutoencoderKL`."""
    require_standalone("training")
    from diffusers import AutoencoderKL

    config = shape.vae_config() | {"block_out_channels": list(VAE_WIDTHS), "sample_size": SIDE}
    return AutoencoderKL.from_config(config)


def text_encoders() -> tuple[Any, Any]:
    """Return untrained `CLIPTextModel` and `CLIPTextModelWithProjection`."""
    require_standalone("training")
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    first, second = (CLIPTextConfig(**shape.text_encoder_config(encoder)) for encoder in shape.TEXT_ENCODERS)
    return CLIPTextModel(first), CLIPTextModelWithProjection(second)
