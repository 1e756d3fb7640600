"""The networks that are trained: their sizes, built from diffusers' and transformers' classes."""

from __future__ import annotations

from typing import Any

from intelligence.generation import embedded_weights as shape
from intelligence.generation.standalone import require_standalone

SIDE = shape.NATIVE_SIDE
"""Pixels that the model is trained at."""


def unet() -> Any:
    """Return an untrained `UNet2DConditionModel`."""
    require_standalone("training")
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_config(shape.unet_config())


def vae() -> Any:
    """Return an untrained `AutoencoderKL`."""
    require_standalone("training")
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_config(shape.vae_config())


def text_encoders() -> tuple[Any, Any]:
    """Return untrained `CLIPTextModel` and `CLIPTextModelWithProjection`."""
    require_standalone("training")
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    first, second = (CLIPTextConfig(**shape.text_encoder_config(encoder)) for encoder in shape.TEXT_ENCODERS)
    return CLIPTextModel(first), CLIPTextModelWithProjection(second)


def state_of(module: Any, tensors: dict[str, Any]) -> dict[str, Any]:
    """Return shipped tensors as float32, by the names that this version of transformers and diffusers has for them."""
    names = {name: name if name in tensors else f"text_model.{name}" for name in module.state_dict()}
    return {name: tensors[shipped].float() for name, shipped in names.items()}
