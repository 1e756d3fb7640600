"""Latents → images, and a look at both: nothing broken goes on in silence."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import comfy.sd
import torch
from comfy.model_management import OOM_EXCEPTION, throw_exception_if_processing_interrupted

from ...intelligence.errors import BrokenImageError
from ...intelligence.generation.host import FLAT
from ...intelligence.memory import MemoryPlan
from .steering import make_room, places_weights


def decode(vae: Any, samples: torch.Tensor, plan: MemoryPlan, size: int) -> tuple[torch.Tensor, tuple[str, ...]]:
    """(IMAGE, notes) of latents, `size` of them at a time, in the plan's tiles or whole.

    An image that comes out as not-a-number from a VAE in half precision is decoded again in float32 by a copy of the
    VAE: SDXL's VAE overflows float16. What stays broken beside good images is blacked out and noted.

    Raises BrokenImageError when no image is left.
    """
    notes = []
    lost = _where(~_finite(samples))
    if len(lost) == samples.shape[0]:
        raise BrokenImageError(
            "sampling gave not-a-number instead of a picture: the model overflows in its precision; start ComfyUI with "
            "--fp32-unet or --force-upcast-attention, or take LoRAs and patches off the model"
        )
    if lost:
        samples = samples.nan_to_num(0.0, 0.0, 0.0)
        notes.append(f"{_named(lost)}: sampling gave not-a-number; not a picture")
    if flat := [index for index in _where(_flat(samples)) if index not in lost]:
        notes.append(f"{_named(flat)}: the latent is flat; nothing was painted")

    images = torch.cat([_decode(vae, rows, plan) for rows in samples.split(size)])
    broken = [index for index in _where(~_finite(images)) if index not in lost]
    if broken and vae.vae_dtype != torch.float32:
        dtype = str(vae.vae_dtype).removeprefix("torch.")
        images[broken] = _decode(_in_float32(vae), samples[broken], plan).to(images)
        repaired = [index for index, fine in zip(broken, _finite(images[broken]).tolist(), strict=True) if fine]
        broken = [index for index in broken if index not in repaired]
        if repaired:
            notes.append(f"{_named(repaired)}: the VAE overflowed in {dtype}; decoded again in float32")
    if lost or broken:
        images[[*lost, *broken]] = 0.0
    if len(lost) + len(broken) == images.shape[0]:
        raise BrokenImageError("the VAE gives not-a-number even in float32: its file is broken; choose another VAE")
    if broken:
        notes.append(f"{_named(broken)}: the VAE gives not-a-number even in float32; not a picture")
    if blank := [index for index in _where(_flat(images.movedim(-1, 1))) if index not in (*lost, *broken, *flat)]:
        notes.append(f"{_named(blank)}: of one colour only")
    return images, tuple(notes)


def _decode(vae: Any, samples: torch.Tensor, plan: MemoryPlan) -> torch.Tensor:
    import nodes as core

    throw_exception_if_processing_interrupted()
    patcher = getattr(vae, "patcher", None)  # other packs' VAEs may have none
    if patcher is not None and places_weights(patcher, plan):
        make_room((patcher,), plan, "vae")
    if plan.tile_size:
        tiling = _asking_for_a_tile(vae, plan.tile_size)
        return core.VAEDecodeTiled().decode(tiling, {"samples": samples}, plan.tile_size)[0]
    return core.VAEDecode().decode(_without_tiles(vae), {"samples": samples})[0]


def _asking_for_a_tile(vae: Any, tile_size: int) -> Any:
    """The same VAE, asking for the memory of one tile: older ComfyUI asks for that of the whole image (0.8.0 does,
    0.33.0 does not), which can evict the model for nothing."""
    side = tile_size // vae.spacial_compression_decode()

    def memory_used(shape: Sequence[int], dtype: torch.dtype) -> float:
        return vae.memory_used_decode((*shape[:-2], *(min(length, side) for length in shape[-2:])), dtype)

    asking = copy.copy(vae)
    asking.memory_used_decode = memory_used
    return asking


def _without_tiles(vae: Any) -> Any:
    """The same VAE, which raises when the whole image takes too much memory. Core's own would go on in tiles of its
    choice: the plan would not know, nor the user."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise OOM_EXCEPTION("out of memory while decoding the whole image")

    whole = copy.copy(vae)
    whole.decode_tiled_ = refuse
    return whole


def _in_float32(vae: Any) -> Any:
    weights = {name: weight.to("cpu", torch.float32, copy=True) for name, weight in vae.get_sd().items()}
    return comfy.sd.VAE(sd=weights, device=vae.device, dtype=torch.float32)


def _finite(rows: torch.Tensor) -> torch.Tensor:
    return torch.isfinite(rows).flatten(1).all(1)


def _flat(rows: torch.Tensor) -> torch.Tensor:
    """Which rows of (batch, channels, …) hold one value per channel."""
    values = rows.flatten(2)
    return (values.amax(2) - values.amin(2) < FLAT).all(1)


def _where(rows: torch.Tensor) -> list[int]:
    return torch.nonzero(rows).flatten().tolist()


def _named(indices: Sequence[int]) -> str:
    numbers = ", ".join(str(index + 1) for index in indices)
    return f"image {numbers}" if len(indices) == 1 else f"images {numbers}"
