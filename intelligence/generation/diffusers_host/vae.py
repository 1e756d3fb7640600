"""Decodes latents to PIL images with the pipeline's VAE, in float32 where its own precision overflows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..checked_decoding import decode_checked, decode_unchecked
from ..postprocess.seam_check import check_tiles

REMEDY = "take LoRAs off, or lower their strengths or guidance_scale"


def decode(
    pipe: Any, sampled: Sequence[Any], tile: int = 0, *, repair: bool = True
) -> tuple[list[Any], tuple[str, ...]]:
    """Return (PIL images, notes) of the latents of forward batches, each (batch, 4, height / 8, width / 8).

    A VAE in float16 whose configuration says that it overflows there decodes in float32 from the start, as diffusers
    does it; another one where an image comes out as not-a-number. See `decode_checked`, also for BrokenImageError.

    Args:
        tile: side of the tiles in pixels, which are then searched for seams; 0: they are not.
        repair: False: images are taken as they come.
    """
    images, notes = decode_pixels(pipe, sampled, tile, repair=repair)
    return pipe.image_processor.numpy_to_pil(images.numpy()), notes


def decode_pixels(
    pipe: Any, sampled: Sequence[Any], tile: int = 0, *, repair: bool = True
) -> tuple[Any, tuple[str, ...]]:
    """Return ((images, height, width, RGB), 0 … 1, in float32 on the CPU; notes) as `decode` does."""
    import torch

    dtype = _safe_dtype(pipe.vae)
    with torch.no_grad():
        latents, sampled_dtype = torch.cat([*sampled]), str(dtype).removeprefix("torch.")

        def in_float32(rows: Any) -> Any:
            return _decode(pipe, rows, torch.float32)

        if repair:
            exact = None if dtype == torch.float32 else in_float32
            images, notes = decode_checked(
                latents, lambda rows: _decode(pipe, rows, dtype), exact, sampled_dtype, REMEDY
            )
        else:
            images, notes = decode_unchecked(latents, lambda rows: _decode(pipe, rows, dtype))
        notes = (*notes, *check_tiles(images, latents, tile))
    pipe.maybe_free_model_hooks()
    return images, notes


def encode(pipe: Any, images: Any) -> Any:
    """Return the latents (batch, 4, height / 8, width / 8) of images (batch, RGB, height, width), 0 … 1.

    A VAE in float16 that overflows there encodes in float32.
    """
    import torch

    vae, dtype = pipe.vae, _safe_dtype(pipe.vae)
    with torch.no_grad(), _in_dtype(vae, dtype):
        given = (images * 2 - 1).to(pipe._execution_device, dtype)
        latents = vae.encode(given).latent_dist.mode().to("cpu", torch.float32)
    pipe.maybe_free_model_hooks()
    return _scaled(vae, latents)


def _scaled(vae: Any, latents: Any) -> Any:
    mean, spread = getattr(vae.config, "latents_mean", None), getattr(vae.config, "latents_std", None)
    if mean is not None and spread is not None:
        latents = (latents - latents.new_tensor(mean).view(1, -1, 1, 1)) / latents.new_tensor(spread).view(1, -1, 1, 1)
    return latents * vae.config.scaling_factor


def _safe_dtype(vae: Any) -> Any:
    """Its own dtype; float32 where its configuration says that it overflows in float16."""
    import torch

    return torch.float32 if vae.dtype == torch.float16 and vae.config.force_upcast else vae.dtype


@contextmanager
def _in_dtype(vae: Any, dtype: Any) -> Iterator[None]:
    """Hold a VAE in a dtype, then in its own again."""
    stored = vae.dtype
    if dtype != stored:
        vae.to(dtype=dtype)
    try:
        yield
    finally:
        if dtype != stored:
            vae.to(dtype=stored)


def _decode(pipe: Any, latents: Any, dtype: Any) -> Any:
    """Return images (batch, height, width, RGB) in float32 on the CPU, 0 … 1; not-a-number where the VAE overflowed."""
    import torch

    vae = pipe.vae
    with _in_dtype(vae, dtype):
        raw = vae.decode(_unscaled(vae, latents.to(pipe._execution_device, dtype)), return_dict=False)[0]
    raw = raw.to("cpu", torch.float32).movedim(1, -1)
    return (raw / 2 + 0.5).clamp(0, 1).where(raw.isfinite(), torch.nan)


def _unscaled(vae: Any, latents: Any) -> Any:
    latents = latents / vae.config.scaling_factor
    mean, spread = getattr(vae.config, "latents_mean", None), getattr(vae.config, "latents_std", None)
    if mean is None or spread is None:
        return latents
    return latents * latents.new_tensor(spread).view(1, -1, 1, 1) + latents.new_tensor(mean).view(1, -1, 1, 1)
