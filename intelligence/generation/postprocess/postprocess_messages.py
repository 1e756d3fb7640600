"""Sentences about the steps between sampling and file."""

from __future__ import annotations

from ...records import Message


class PostprocessMessage(Message):
    """See `Reason.of`."""

    REPAIR = "the VAE decodes in {dtype}: an image that overflows there is decoded again in float32"
    REPAIR_CHECK = "images that come out flat or as not-a-number are found and told"
    SEAM_CHECK = "the VAE decodes in tiles of {tile} pixels: their seams and colours are compared with the latent"
