"""Decodes latents for either host, and reports broken latents and images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..errors import BrokenImageError
from .generation_messages import GenerationMessage as Text
from .problem_messages import ProblemMessage

if TYPE_CHECKING:
    from torch import Tensor

FLAT_RANGE = 1 / 255  # one level of 8 bits

Decode = Callable[["Tensor"], "Tensor"]
"""Latents (batch, channels, [frames,] height, width) → images (batch × frames, height, width, RGB), 0 … 1. Values that
overflowed must not be finite."""


def decode_checked(
    latents: Tensor, decode: Decode, in_float32: Decode | None, dtype: str, remedy: str
) -> tuple[Tensor, tuple[str, ...]]:
    """Return (images, notes) of latents.

    An image that comes out as not-a-number is decoded again in float32: SDXL's VAE overflows float16. Images that stay
    broken beside good ones are black, with a note.

    Args:
        in_float32: decodes in float32; None: `decode` does so already.
        dtype: precision of `decode`, for the notes.
        remedy: advice to the host's user when sampling overflows.

    Raises BrokenImageError when no image is left.
    """
    notes = []
    lost = _indices(~_finite(latents))
    if len(lost) == latents.shape[0]:
        raise BrokenImageError(ProblemMessage.SAMPLED_NOT_A_NUMBER.format(remedy=remedy))
    if lost:
        latents = latents.nan_to_num(0.0, 0.0, 0.0)
        notes.append(Text.LATENT_NOT_A_NUMBER.format(images=_images(lost)))
    if flat := [index for index in _indices(_flat(latents)) if index not in lost]:
        notes.append(Text.LATENT_FLAT.format(images=_images(flat)))

    images = _by_latent(decode(latents), len(latents))
    broken = [index for index in _indices(~_finite(images)) if index not in lost]
    if broken and in_float32 is not None:
        images[broken] = _by_latent(in_float32(latents[broken]), len(broken)).to(images)
        repaired = [index for index, fine in zip(broken, _finite(images[broken]).tolist(), strict=True) if fine]
        broken = [index for index in broken if index not in repaired]
        if repaired:
            notes.append(Text.VAE_OVERFLOWED.format(images=_images(repaired), dtype=dtype))
    if lost or broken:
        images[[*lost, *broken]] = 0.0
    if len(lost) + len(broken) == images.shape[0]:
        raise BrokenImageError(ProblemMessage.VAE_BROKEN.value)
    if broken:
        notes.append(Text.VAE_NOT_A_NUMBER.format(images=_images(broken)))
    if blank := [index for index in _indices(_flat(images.movedim(-1, 1))) if index not in (*lost, *broken, *flat)]:
        notes.append(Text.ONE_COLOUR.format(images=_images(blank)))
    return images.flatten(0, 1), tuple(notes)


def decode_unchecked(latents: Tensor, decode: Decode) -> tuple[Tensor, tuple[str, ...]]:
    """Return the images of latents as they come, black where they are not-a-number, and no notes."""
    return decode(latents).nan_to_num(0.0, 0.0, 0.0), ()


def _by_latent(images: Tensor, latents: int) -> Tensor:
    """Return the images as (latents, frames of each, height, width, RGB)."""
    return images.unflatten(0, (latents, -1))


def _finite(rows: Tensor) -> Tensor:
    return rows.isfinite().flatten(1).all(1)


def _flat(rows: Tensor) -> Tensor:
    values = rows.flatten(2)
    return (values.amax(2) - values.amin(2) < FLAT_RANGE).all(1)


def _indices(rows: Tensor) -> list[int]:
    return rows.nonzero().flatten().tolist()


def _images(indices: Sequence[int]) -> str:
    numbers = ", ".join(str(index + 1) for index in indices)
    return (Text.ONE_IMAGE if len(indices) == 1 else Text.SEVERAL_IMAGES).format(numbers=numbers)
