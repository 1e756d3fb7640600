"""Enlarges the pictures of a first pass for the second: their latents, or by an upscale model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...memory import MemoryPlan
from ...memory.upscaling import TILES
from ...parameters import OptimizedParameters
from ...parameters.second_pass import LATENT_METHOD
from ..postprocess.upscale_models import enlarged
from .vae import decode_pixels, encode

LATENT_SCALE = 8
"""Pixels to a side of a latent's value."""


def enlarge(latents: Sequence[Any], parameters: OptimizedParameters) -> list[Any]:
    """Return the latents of each forward batch, (batch, 4, height / 8, width / 8), at the size of the second pass."""
    from torch.nn.functional import interpolate

    size = parameters.height // LATENT_SCALE, parameters.width // LATENT_SCALE
    return [interpolate(batch, size, mode=LATENT_METHOD) for batch in latents]


def enlarge_by_model(
    pipe: Any, latents: Sequence[Any], parameters: OptimizedParameters, memory: MemoryPlan, model: Any
) -> list[Any]:
    """Return the latents of each forward batch at the size of the second pass, enlarged by a spandrel descriptor.

    As ComfyUI's VAEDecode, ImageUpscaleWithModel, ImageScale (lanczos) to the exact size, and VAEEncode; one picture
    after the other. Raises BrokenImageError.
    """
    import torch

    made, size = [], (parameters.width, parameters.height)
    for batch in latents:
        rows = []
        for row in batch.split(1):
            picture = decode_pixels(pipe, [row])[0][0].movedim(-1, 0)
            larger = enlarged(model, picture, memory.upscale_tile or TILES[0], memory.device)
            rows.append(encode(pipe, _scaled(larger, size)[None]).to(row))
        made.append(torch.cat(rows))
    return made


def _scaled(picture: Any, size: tuple[int, int]) -> Any:
    """The picture (3, height, width) at a size (width, height) by Lanczos, in 8 bits as ComfyUI's ImageScale does."""
    import numpy as np
    import torch
    from PIL import Image

    levels = (picture * 255).clamp(0, 255).byte().movedim(0, -1).numpy()
    resized = np.asarray(Image.fromarray(levels).resize(size, Image.Resampling.LANCZOS))
    return torch.from_numpy(resized.astype(np.float32) / 255).movedim(-1, 0)
