"""Latents → images with ComfyUI's VAEs, both checked for what is broken."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import comfy.sd
import torch
from comfy.model_management import OOM_EXCEPTION, throw_exception_if_processing_interrupted

from ...intelligence.generation.checked_decoding import decode_checked, decode_unchecked
from ...intelligence.generation.postprocess.seam_check import check_tiles
from ...intelligence.memory import MemoryPlan
from .core_nodes import core_nodes
from .plan_hooks import make_room, moves_weights

REMEDY = "start ComfyUI with --fp32-unet or --force-upcast-attention, or take LoRAs and patches off the model"


def decode(
    vae: Any, samples: torch.Tensor, plan: MemoryPlan, size: int, *, repair: bool = True, seam_check: bool = True
) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Decode latents, `size` of them at a time, in the plan's tiles or whole. Returns (IMAGE, notes).

    Images on which a VAE overflows in half precision are decoded again by a copy in float32.

    Args:
        repair: False: images are taken as they come.
        seam_check: search for seams of tiles.

    Raises BrokenImageError; see `decode_checked`.
    """

    def whole(rows: torch.Tensor) -> torch.Tensor:
        return _joined([_decode(vae, part, plan) for part in rows.split(size)])

    def in_float32(rows: torch.Tensor) -> torch.Tensor:
        weights = {name: weight.to("cpu", torch.float32, copy=True) for name, weight in vae.get_sd().items()}
        return _decode(comfy.sd.VAE(sd=weights, device=vae.device, dtype=torch.float32), rows, plan)

    if repair:
        exact = None if vae.vae_dtype == torch.float32 else in_float32
        images, notes = decode_checked(samples, whole, exact, str(vae.vae_dtype).removeprefix("torch."), REMEDY)
    else:
        images, notes = decode_unchecked(samples, whole)
    return images, (*notes, *(check_tiles(images, samples, plan.tile_size) if seam_check else ()))


def _joined(parts: list[torch.Tensor]) -> torch.Tensor:
    """Join images; a single part keeps core's order in memory, by which an upscale model rounds."""
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _decode(vae: Any, samples: torch.Tensor, plan: MemoryPlan) -> torch.Tensor:
    throw_exception_if_processing_interrupted()
    patcher = getattr(vae, "patcher", None)  # other packs' VAEs may have none
    if patcher is not None and moves_weights(patcher, plan):
        make_room((patcher,), plan, "vae")
    if plan.tile_size:
        tiled = _with_tile_estimate(vae, plan.tile_size)
        return core_nodes().VAEDecodeTiled().decode(tiled, {"samples": samples}, plan.tile_size)[0]
    return core_nodes().VAEDecode().decode(_without_fallback(vae), {"samples": samples})[0]


def _with_tile_estimate(vae: Any, tile_size: int) -> Any:
    """Return the VAE with a memory estimate of one tile.

    ComfyUI 0.8.0 requests the memory of the whole image, which can evict the model for nothing; 0.33.0 does not.
    """
    side = tile_size // vae.spacial_compression_decode()

    def memory_used(shape: Sequence[int], dtype: torch.dtype) -> float:
        return vae.memory_used_decode((*shape[:-2], *(min(length, side) for length in shape[-2:])), dtype)

    tiled = copy.copy(vae)
    tiled.memory_used_decode = memory_used
    return tiled


def _without_fallback(vae: Any) -> Any:
    """Return the VAE without its own fallback to tiles, of which neither the plan nor the user would know: it raises
    when the whole image takes too much memory."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise OOM_EXCEPTION("out of memory while decoding the whole image")

    whole = copy.copy(vae)
    whole.decode_tiled_ = refuse
    return whole
