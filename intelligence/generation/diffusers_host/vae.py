"""Decodes latents to PIL images with the pipeline's VAE, in float32 where its own precision overflows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..checked_decoding import decode_checked
from ..postprocess.seam_check import check_tiles

REMEDY = "take LoRAs off, or lower their strengths or guidance_scale"


def decode(pipe: Any, sampled: Sequence[Any], tile: int = 0) -> tuple[list[Any], tuple[str, ...]]:
    """Return (PIL images, notes) of the latents of forward batches, each (batch, 4, height / 8, width / 8).

    A VAE in float16 whose configuration says that it overflows there decodes in float32 from the start, as diffusers
    does it; another one where an image comes out as not-a-number. See `decode_checked`, also for BrokenImageError.
    `tile`: side of the tiles in pixels, which are then searched for seams; 0: decoded whole.
    """
    import torch

    vae = pipe.vae
    upcast = vae.dtype == torch.float16 and vae.config.force_upcast
    dtype = torch.float32 if upcast else vae.dtype
    with torch.no_grad():
        images, notes = decode_checked(
            torch.cat([*sampled]),
            lambda rows: _decode(pipe, rows, dtype),
            None if dtype == torch.float32 else lambda rows: _decode(pipe, rows, torch.float32),
            str(dtype).removeprefix("torch."),
            REMEDY,
        )
        notes = (*notes, *check_tiles(images, torch.cat([*sampled]), tile))
    pipe.maybe_free_model_hooks()
    return pipe.image_processor.numpy_to_pil(images.numpy()), notes


def _decode(pipe: Any, latents: Any, dtype: Any) -> Any:
    """Return images (batch, height, width, RGB) in float32 on the CPU, 0 … 1; not-a-number where the VAE overflowed."""
    import torch

    vae, stored = pipe.vae, pipe.vae.dtype
    if dtype != stored:
        vae.to(dtype=dtype)
    try:
        raw = vae.decode(_unscaled(vae, latents.to(pipe._execution_device, dtype)), return_dict=False)[0]
    finally:
        if dtype != stored:
            vae.to(dtype=stored)
    raw = raw.to("cpu", torch.float32).movedim(1, -1)
    return (raw / 2 + 0.5).clamp(0, 1).where(raw.isfinite(), torch.nan)


def _unscaled(vae: Any, latents: Any) -> Any:
    latents = latents / vae.config.scaling_factor
    mean, spread = getattr(vae.config, "latents_mean", None), getattr(vae.config, "latents_std", None)
    if mean is None or spread is None:
        return latents
    return latents * latents.new_tensor(spread).view(1, -1, 1, 1) + latents.new_tensor(mean).view(1, -1, 1, 1)
