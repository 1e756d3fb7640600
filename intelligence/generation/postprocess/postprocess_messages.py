"""Sentences about the steps between sampling and file."""

from __future__ import annotations

from ...records import Message


class PostprocessMessage(Message):
    """See `Reason.of`."""

    ENLARGED = "the first picture is enlarged by {name}"
    ENLARGED_IN_TILES = "the first picture is enlarged by {name}, at most {tile}x{tile} pixels at a time"
    REPAIR = "the VAE decodes in {dtype}: an image that overflows there is decoded again in float32"
    REPAIR_CHECK = "images that come out flat or as not-a-number are found and told"
    OWN = "{name}: a step of your own"
    OWN_FAILED = "image {image}: your own step {name} failed and left it as it was ({problem})"
    TILE_COLOUR = (
        "image {image}: a tile of {tile} pixels is off in colour by {levels} of 255; decode whole or in larger tiles"
    )
    TILE_EDGE = "image {image}: tiles of {tile} pixels show an edge of {levels} of 255; decode whole or in larger tiles"
    SEAM_CHECK = "decoded in tiles of {tile} pixels: edges along them and tiles of another colour are found and told"
