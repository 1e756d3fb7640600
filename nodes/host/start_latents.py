"""Latents that a run starts from, in the form that the model takes."""

from __future__ import annotations

from typing import Any

import comfy.sample
import comfy.utils
import torch

from ...intelligence.generation.sampling_request import StartLatent
from .core_nodes import core_nodes

EMPTY_LATENT_KEYS = ("downscale_ratio_spacial", "downscale_ratio_temporal")
"""Keys of an empty LATENT that say which models it is for; a sampled one has none of them."""

USUAL_SCALE = 8
"""Pixels to a side of a latent's value, of core's empty latents and of most models."""


def pixels_per_latent(model: Any, vae: Any) -> int:
    """Return how many pixels to a side a value of MODEL's latents is decoded to."""
    if hasattr(vae, "spacial_compression_decode"):
        return int(vae.spacial_compression_decode())
    return int(getattr(model.get_model_object("latent_format"), "spacial_downscale_ratio", USUAL_SCALE))


def empty_latent(model: Any, vae: Any, width: int, height: int, count: int) -> dict[str, Any]:
    """Return the LATENT of `count` empty images of this size in pixels, with MODEL's channels and scale.

    It is core's own, which ComfyUI 0.33 fits to any model when it samples; 0.8.0 knows one scale only.
    """
    latent = core_nodes().EmptyLatentImage().generate(width, height, count)[0]
    if not any(key in latent for key in EMPTY_LATENT_KEYS):
        scale = pixels_per_latent(model, vae)
        latent = (
            core_nodes()
            .EmptyLatentImage()
            .generate(width * USUAL_SCALE // scale, height * USUAL_SCALE // scale, count)[0]
        )
    return latent


def fitted_samples(model: Any, latent: dict[str, Any]) -> torch.Tensor:
    """Return the samples of a LATENT, (batch, channels, [frames,] height, width), in the form that MODEL takes."""
    ratios = [latent[key] for key in EMPTY_LATENT_KEYS if key in latent]
    return comfy.sample.fix_empty_latent_channels(model, latent["samples"], *ratios)


def start_latent(model: Any, vae: Any, latent: dict[str, Any]) -> StartLatent:
    """Return number and decoded size of the images that a user's LATENT stands for."""
    count, *_, height, width = fitted_samples(model, latent).shape
    scale = pixels_per_latent(model, vae)
    return StartLatent(count, width * scale, height * scale)
