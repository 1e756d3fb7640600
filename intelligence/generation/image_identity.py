"""Which image of a generation a picture is, after other nodes picked, reordered, changed or merged them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from .stages import Generation


def image_digest(pixels: Any) -> str:
    """Return the digest of an image's 8-bit pixels, an array (height, width, channels)."""
    return hashlib.blake2b(repr(pixels.shape).encode() + pixels.tobytes(), digest_size=8).hexdigest()


def image_indices(digests: Sequence[str], generation: Generation) -> list[int | None]:
    """Return the place of each picture in `generation`; None: not one of its images, or nobody can tell which.

    A picture that nothing changed is known by its digest. Changed ones are taken in order where there are as many as
    the generation has images, or frames of them.
    """
    made, count = generation.image_digests, len(generation.image_ids)
    first_place = {digest: place for place, digest in reversed(list(enumerate(made)))}
    found = [first_place.get(digest) for digest in digests]
    known = any(place is not None for place in found)
    moved = any(place is not None and made[index : index + 1] != (made[place],) for index, place in enumerate(found))
    if len(digests) % count == 0 and not moved and (len(digests) == len(made) or not known):
        return [index * count // len(digests) for index in range(len(digests))]
    frames = max(1, len(made) // count)
    return [None if place is None else place // frames for place in found]
