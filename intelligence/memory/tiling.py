"""Tiles of a VAE decode, as diffusers and ComfyUI cut them: pixels at once, and pixels in all."""

from __future__ import annotations

import math

DIFFUSERS_OVERLAP = 0.25
"""AutoencoderKL's `tile_overlap_factor`."""
COMFYUI_OVERLAP = 64
"""Pixels by which VAEDecodeTiled's tiles overlap; a quarter of a tile smaller than 256."""
COMFYUI_SHAPES = ((1.0, 1.0), (0.5, 2.0), (2.0, 0.5))
"""Sides of its tiles: it decodes in three shapes of the same area and takes their mean."""


def largest_tile(width: int, height: int, tile: int, decoder: str) -> int:
    """Return the pixels that are decoded at once."""
    if not tile:
        return width * height
    sides = [(tile * across, tile * down) for across, down in (COMFYUI_SHAPES if decoder == "comfyui" else ((1, 1),))]
    return int(max(min(width, across) * min(height, down) for across, down in sides))


def decoded_share(width: int, height: int, tile: int, decoder: str) -> float:
    """Return the decoded pixels for each pixel of the picture: tiles overlap, and ComfyUI averages three tilings."""
    if not tile:
        return 1.0
    if decoder == "diffusers":
        stride = int(tile * (1 - DIFFUSERS_OVERLAP))
        return math.prod(_clipped(side, tile, stride) / side for side in (width, height))
    overlap = min(COMFYUI_OVERLAP, tile // 4)
    sides = [(tile * across, tile * down) for across, down in COMFYUI_SHAPES]
    areas = (_covered(width, across, overlap) * _covered(height, down, overlap) for across, down in sides)
    return sum(areas) / (width * height)


def _clipped(side: int, tile: int, stride: int) -> int:
    """Pixels along a side where a tile begins at every `stride`, the last ones cut off at the end."""
    return sum(min(tile, side - start) for start in range(0, side, stride))


def _covered(side: int, tile: float, overlap: int) -> float:
    """Pixels along a side where tiles of one length overlap, the last one moved back into the picture."""
    return side if side <= tile else math.ceil((side - overlap) / (tile - overlap)) * tile
