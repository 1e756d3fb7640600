"""Sizes that models were trained at, and which of them a picture gets."""

from __future__ import annotations

import math
import re
from functools import cache

from ..config import ASPECTS, require
from ..errors import InvalidInputError
from ..prompt import ContentType
from ..records import Reason

_LANDSCAPE_BUCKETS = {
    512: (2048, 1984, 1920, 1856),
    576: (1792, 1728, 1664),
    640: (1600, 1536),
    704: (1472, 1408, 1344),
    768: (1344, 1280),
    832: (1216, 1152),
    896: (1152, 1088),
    960: (1088, 1024),
    1024: (1024,),
}

SDXL_BUCKETS: tuple[tuple[int, int], ...] = tuple(
    sorted(
        {
            size
            for short, longs in _LANDSCAPE_BUCKETS.items()
            for long in longs
            for size in ((long, short), (short, long))
        }
    )
)
"""(width, height) that SDXL was trained at [InvokeAI optimalDimension.ts]."""

NATIVE_SIDES = {"sdxl": 1024, "768": 768, "512": 512}

MAX_ASPECT = 4.0

CONTENT_ASPECTS = {
    ContentType.CHARACTER: "portrait",
    ContentType.PORTRAIT: "portrait",
    ContentType.GROUP: "landscape",
    ContentType.ANIMAL: "landscape",
    ContentType.LANDSCAPE: "landscape",
    ContentType.ARCHITECTURE: "landscape",
    ContentType.INTERIOR: "landscape",
    ContentType.VEHICLE: "landscape",
}
"""What is not named here is square."""

MIN_AREA = 0.8
"""How far a size may shrink to meet a budget, as a part of the bucket's area."""

_RATIO = re.compile(r"\s*(\d+(?:\.\d+)?)\s*[:/xX]\s*(\d+(?:\.\d+)?)\s*")


@cache
def buckets(native: str = "sdxl") -> tuple[tuple[int, int], ...]:
    """Sizes of a native resolution (`sdxl`, `768`, `512`): SDXL's, scaled; all sides are multiples of 16."""
    side = NATIVE_SIDES[native]
    return tuple((width * side // 1024, height * side // 1024) for width, height in SDXL_BUCKETS)


def choose_size(content: ContentType, aspect: str = "auto", native: str = "sdxl") -> tuple[int, int, Reason]:
    """(width, height, reason): the bucket of `native` nearest to the aspect asked for.

    Args:
        aspect: `auto` (by what the picture shows), `square`, `portrait`, `landscape`, `tall`, `wide`, or a ratio of
            width to height like `16:9`, at most 4 either way.

    Raises:
        InvalidInputError: no such aspect.
    """
    asked = aspect.strip().lower() if isinstance(aspect, str) else aspect
    if asked == "auto":
        name = CONTENT_ASPECTS.get(content, "square")
        unsaid = content is ContentType.UNSPECIFIED
        text = (
            f"{name}, as the prompt names no subject" if unsaid else f"{name}, for a picture of kind '{content.value}'"
        )
    else:
        name = asked
        text = f"aspect {asked} was asked for"
    width, height = nearest_bucket(_ratio(name), native)
    trained = "trained at" if native == "sdxl" else f"native at {NATIVE_SIDES[native]} pixels, nearest to"
    square = None if width == height else "{0}x{0}".format(NATIVE_SIDES[native])
    return (
        width,
        height,
        Reason("size", f"{width}x{height}: {text}; a size that the model was {trained}", otherwise=square),
    )


def nearest_bucket(ratio: float, native: str = "sdxl") -> tuple[int, int]:
    """The bucket whose width / height is nearest to `ratio`, by factor; of equals the one nearest the native area."""
    area = NATIVE_SIDES[native] ** 2

    def distance(size: tuple[int, int]) -> tuple[float, float]:
        width, height = size
        return round(abs(math.log(width / height / ratio)), 9), abs(width * height - area)

    return min(buckets(native), key=distance)


def smaller_sizes(width: int, height: int) -> list[tuple[int, int]]:
    """Sizes below this one with nearly its aspect (within 6 %), down to 0.8 of its area, largest first.

    Sides are multiples of 32, as they are in the buckets.
    """
    found = []
    for other_width in range(width - width % 32, 0, -32):
        for other_height in range(height - height % 32, 0, -32):
            area = other_width * other_height / (width * height)
            skew = abs(math.log(other_width / other_height * height / width))
            if MIN_AREA <= area < 1 and skew <= 0.06 and (other_width, other_height) != (width, height):
                found.append((other_width, other_height))
    return sorted(found, key=lambda size: (-size[0] * size[1], size))


def _ratio(aspect: str) -> float:
    if aspect in ASPECTS:
        return ASPECTS[aspect]
    match = _RATIO.fullmatch(aspect) if isinstance(aspect, str) else None
    if match is None or not float(match[1]) or not float(match[2]):
        raise InvalidInputError(f"aspect must be auto, {', '.join(ASPECTS)} or a ratio like 16:9, got {aspect!r}")
    ratio = float(match[1]) / float(match[2])
    require(1 / MAX_ASPECT <= ratio <= MAX_ASPECT, f"aspect must lie between 1:4 and 4:1, got {aspect!r}")
    return ratio
