"""Check of pictures that were decoded in tiles: edges along the tiles' borders, and tiles of another colour.

A VAE's normalisation sees one tile at a time, so that a tile's colour can drift from its neighbours'. An independent
witness is the latent: the mean colours of a picture's blocks are nearly a linear function of its channels (ComfyUI's
`latent_rgb_factors`), fitted here on the picture itself. A tile that lies off that function as a whole has drifted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .postprocess_messages import PostprocessMessage

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 4
"""Latent values to a side of a block."""

LEAST_DRIFT = 6 / 255
"""Mean difference of a tile's colour, in a channel, from which on it is seen."""

CLEARLY = 4.0
"""Standard errors by which a tile must lie off, and times the usual step between columns that an edge must be."""

LEAST_EDGE = 3 / 255
"""Mean step along a border, in a channel, from which on it is seen."""

NEARBY = 6
"""Columns or rows on each side of a border that tell the usual step there."""


def check_tiles(images: Tensor, latents: Tensor, tile: int) -> tuple[str, ...]:
    """Return a note where tiles of `tile` pixels show in decoded pictures.

    Args:
        images: (batch, height, width, RGB), 0 … 1.
        latents: (batch, channels, height / scale, width / scale) that they were decoded from.
    """
    if latents.dim() != 4 or len(images) != len(latents) or not tile:
        return ()
    notes = []
    for number, (image, latent) in enumerate(zip(images.float().cpu(), latents.float().cpu(), strict=True), 1):
        scale = image.shape[0] // latent.shape[1]
        if drift := _drift(image, latent, max(1, tile // scale)):
            notes.append(PostprocessMessage.TILE_COLOUR.format(image=number, levels=round(255 * drift), tile=tile))
        if edge := max(_edge(image, tile), _edge(image.transpose(0, 1), tile)):
            notes.append(PostprocessMessage.TILE_EDGE.format(image=number, levels=round(255 * edge), tile=tile))
    return tuple(notes)


def _drift(image: Tensor, latent: Tensor, tile: int) -> float:
    """Largest difference of a tile's mean colour from what the latent tells of it; 0 where none is clear."""
    import torch
    from torch.nn.functional import avg_pool2d, interpolate

    rows, columns = latent.shape[1] // BLOCK, latent.shape[2] // BLOCK
    across, down = -(-columns * BLOCK // tile), -(-rows * BLOCK // tile)
    if across * down < 2 or rows * columns < 4 * (len(latent) + 1):
        return 0.0
    channels = avg_pool2d(latent[None], BLOCK)[0].reshape(len(latent), -1)
    colours = interpolate(image.permute(2, 0, 1)[None], (rows, columns), mode="area")[0].reshape(3, -1)
    given = torch.cat([channels, torch.ones_like(channels[:1])]).T
    fitted = torch.linalg.lstsq(given, colours.T, driver="gelsd").solution
    rest = (colours.T - given @ fitted).reshape(rows, columns, 3)
    spread = rest.reshape(-1, 3).std(0)
    side, largest = max(1, tile // BLOCK), 0.0
    for top in range(0, rows, side):
        for left in range(0, columns, side):
            cell = rest[top : top + side, left : left + side].reshape(-1, 3)
            off = cell.mean(0).abs()
            clear = (off > LEAST_DRIFT) & (off > CLEARLY * spread / len(cell) ** 0.5)
            largest = max(largest, float(off[clear].max()) if clear.any() else 0.0)
    return largest


def _edge(image: Tensor, tile: int) -> float:
    """Largest mean step between two columns at a border of tiles, where it is clearly above those nearby; else 0."""
    steps = (image[:, 1:] - image[:, :-1]).abs().mean((0, 2))
    found = 0.0
    for border in range(tile, image.shape[1] - 1, tile):
        step = float(steps[border - 1])
        near = steps[max(0, border - 1 - NEARBY) : border + NEARBY]
        if step > LEAST_EDGE and step > CLEARLY * float(near.median()):
            found = max(found, step)
    return found
