"""Upscale models, which enlarge a picture tile by tile: size, work, and tiles. Pure; sizes are GiB."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from ..records import Record

TILES = (512, 256, 128)
"""Pixels to a side of a tile, in the order in which ComfyUI's ImageUpscaleWithModel tries them."""

OVERLAP = 32
"""Pixels by which tiles overlap, as there."""


@dataclass(frozen=True)
class UpscaleCost(Record):
    """Size and work of an upscale model, in float32."""

    scale: int
    """Sides of what comes out, over those of what goes in."""
    weights_gb: float
    pixel_bytes: float
    """Peak of the tensors beside the weights, for each pixel of a tile."""
    tflop: float
    """For each 1024² pixels that go in."""


class UpscaledPicture(NamedTuple):
    """A picture that an upscale model enlarges."""

    cost: UpscaleCost
    width: int
    """Of what goes in, pixels, like `height`."""
    height: int


def tile_starts(side: int, tile: int) -> list[int]:
    """Return where tiles begin along a side in pixels, the last one moved back into the picture."""
    if side <= tile:
        return [0]
    count = ceil((side - OVERLAP) / (tile - OVERLAP))
    return [min(index * (tile - OVERLAP), side - tile) for index in range(count)]


def upscaled_pixels(width: int, height: int, tile: int) -> int:
    """Return the pixels that go through the model, those where tiles overlap more than once."""
    across, down = (len(tile_starts(side, tile)) * min(side, tile) for side in (width, height))
    return across * down
