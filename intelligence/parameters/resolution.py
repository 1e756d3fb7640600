"""Sizes that models were trained at, and the choice among them."""

from __future__ import annotations

import math
import re
from functools import cache

from ..config import ASPECTS, AUTO, require
from ..errors import InvalidInputError
from ..prompt import ContentType
from ..records import Reason, Source
from .parameter_messages import ParameterMessage

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
"""Content → aspect; square where it is not listed."""

MIN_AREA = 0.8
"""Smallest area that a size may shrink to for a budget, in shares of its own."""

_RATIO = re.compile(r"\s*(\d+(?:\.\d+)?)\s*[:/xX]\s*(\d+(?:\.\d+)?)\s*")


@cache
def buckets(native: str = "sdxl") -> tuple[tuple[int, int], ...]:
    """Return the sizes of a native resolution (`sdxl`, `768`, `512`): SDXL's, scaled; sides are multiples of 16."""
    side = NATIVE_SIDES[native]
    return tuple((width * side // 1024, height * side // 1024) for width, height in SDXL_BUCKETS)


def choose_size(content: ContentType, aspect: str = AUTO, native: str = "sdxl") -> tuple[int, int, Reason]:
    """Return (width, height, reason): the bucket of `native` nearest to the wanted aspect.

    Args:
        aspect: `auto` (by what the picture shows), `square`, `portrait`, `landscape`, `tall`, `wide`, or a ratio of
            width to height like `16:9`, at most 4 either way.

    Raises:
        InvalidInputError: no such aspect.
    """
    wanted = aspect.strip().lower() if isinstance(aspect, str) else aspect
    name = CONTENT_ASPECTS.get(content, "square") if wanted == AUTO else wanted
    source, message = Source.PROMPT, ParameterMessage.SIZE_BY_CONTENT
    if wanted != AUTO:
        source, message = Source.USER, ParameterMessage.SIZE_BY_ASPECT
    elif content is ContentType.UNSPECIFIED:
        source, message = Source.DEFAULT, ParameterMessage.SIZE_WITHOUT_CONTENT
    width, height = nearest_bucket(_ratio(name), native)
    size, side = f"{width}x{height}", NATIVE_SIDES[native]
    reason = Reason.of(
        "size",
        source,
        message,
        value=size,
        otherwise=None if width == height else f"{side}x{side}",
        size=size,
        aspect=name,
        content=content.value,
        side=side,
    )
    return width, height, reason


def nearest_bucket(ratio: float, native: str = "sdxl") -> tuple[int, int]:
    """Return the bucket whose width / height is nearest to `ratio`, by factor, then to the native area."""
    area = NATIVE_SIDES[native] ** 2

    def distance(size: tuple[int, int]) -> tuple[float, float]:
        width, height = size
        return round(abs(math.log(width / height / ratio)), 9), abs(width * height - area)

    return min(buckets(native), key=distance)


def smaller_sizes(width: int, height: int) -> list[tuple[int, int]]:
    """Return the sizes below this one with nearly its aspect (within 6 %), down to 0.8 of its area, largest first.

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
