"""Sizes that models were trained at, and the choice among them."""

from __future__ import annotations

import math
import re
from functools import cache
from itertools import permutations, product
from typing import Any

from ..config import ASPECTS, AUTO, require
from ..errors import InvalidInputError
from ..models import Family
from ..prompt import ContentType
from ..records import Reason, Source
from .parameter_messages import ParameterMessage
from .parameters import MIN_SIDE

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

SDXL_BUCKETS = tuple(
    sorted(
        {size for short, longs in _LANDSCAPE_BUCKETS.items() for long in longs for size in permutations((short, long))}
    )
)
"""(width, height) that SDXL was trained at [InvokeAI optimalDimension.ts]."""

QWEN_BUCKETS = (
    *((928, 1664), (1056, 1584), (1104, 1472), (1328, 1328)),
    *((1472, 1104), (1584, 1056), (1664, 928)),
)
"""(width, height) that Qwen-Image was trained at [HF Qwen/Qwen-Image]."""

DEMO_BUCKETS = ((96, 160), (128, 128), (160, 96))
"""(width, height) that the embedded demo model was trained at."""

NATIVE_SIDES = {
    "sdxl": 1024,
    "768": 768,
    "512": 512,
    "256": 256,
    "1024": 1024,
    "2048": 2048,
    "qwen": 1328,
    "demo": 128,
}
"""Name of the sizes that a family was trained at → side of the square one in pixels. Generations of an earlier demo
model have 256."""

LARGEST_SIZES: dict[str, tuple[int, int]] = {
    "512": (768, 512 * 768),
    "768": (1152, 768 * 1152),
    "sdxl": (1280, 1024**2),
    "256": (320, 256**2),
    "demo": (160, 128**2),
    "1024": (2048, 2048**2),
    "qwen": (2048, 2048**2),
    "2048": (2560, 2048**2),
}
"""Name of the native sizes → the longest side and the largest area of a picture that is painted whole: a size beyond
both repeats its subjects [krita-ai-diffusion resolution.py: SD 1.5 768 and 512 × 768, SDXL 1280 and 1024², Flux 2048
and 2048²]. The others in proportion: SD 2 as SD 1.5, the demo model, 256² and 2048² as SDXL, Qwen as Flux."""

LARGEST_SIZE_OF = {
    Family.SD3: (1536, 1536**2),
    Family.SD35_MEDIUM: (1536, 1536**2),
    Family.SD35_LARGE: (1536, 1536**2),
    Family.SD35_LARGE_TURBO: (1536, 1536**2),
}
"""Families that take other sizes than those of their native name [the same]."""

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

_OWN_BUCKETS = {"qwen": QWEN_BUCKETS, "demo": DEMO_BUCKETS}

MIN_AREA = 0.8
"""Smallest area that a size may shrink to for a budget, in shares of its own."""

_RATIO = re.compile(r"\s*(\d+(?:\.\d+)?)\s*[:/xX]\s*(\d+(?:\.\d+)?)\s*")


@cache
def buckets(native: str = "sdxl") -> tuple[tuple[int, int], ...]:
    """Return the sizes of a native resolution (see `NATIVE_SIDES`): its own, else SDXL's, scaled.

    Sides are multiples of 16.
    """
    if native in _OWN_BUCKETS:
        return _OWN_BUCKETS[native]
    side = NATIVE_SIDES[native]
    return tuple((width * side // 1024, height * side // 1024) for width, height in SDXL_BUCKETS)


def choose_size(content: ContentType, aspect: str = AUTO, native: str = "sdxl") -> tuple[int, int, Reason]:
    """Return (width, height, reason): the bucket of `native` nearest to the wanted aspect.

    `aspect`: `auto` (by what the picture shows), `square`, `portrait`, `landscape`, `tall`, `wide`, or a ratio of width
    to height like `16:9`, at most 4 either way. Raises InvalidInputError for another.
    """
    wanted = aspect.strip().lower() if isinstance(aspect, str) else aspect
    name = CONTENT_ASPECTS.get(content, "square") if wanted == AUTO else wanted
    source, message = Source.PROMPT, ParameterMessage.SIZE_BY_CONTENT
    if wanted != AUTO:
        source, message = Source.USER, ParameterMessage.SIZE_BY_ASPECT
    elif content is ContentType.UNSPECIFIED:
        source, message = Source.DEFAULT, ParameterMessage.SIZE_WITHOUT_CONTENT
    ratio, side = _ratio(name), NATIVE_SIDES[native]

    def distance(size: tuple[int, int]) -> tuple[float, float]:
        """By aspect, as a factor, then by area."""
        return round(abs(math.log(size[0] / size[1] / ratio)), 9), abs(size[0] * size[1] - side**2)

    width, height = min(buckets(native), key=distance)
    size = f"{width}x{height}"
    otherwise = None if width == height else f"{side}x{side}"
    arguments: dict[str, Any] = {"size": size, "aspect": name, "content": content.value, "side": side}
    return width, height, Reason.of("size", source, message, value=size, otherwise=otherwise, **arguments)


MAX_SKEW = 0.06
"""Difference in aspect, as a logarithm, up to which sizes stand for each other."""


def smaller_sizes(width: int, height: int) -> list[tuple[int, int]]:
    """Return the sizes below this one with nearly its aspect (within 6 %), down to 0.8 of its area, largest first.

    Sides are multiples of 32, as they are in the buckets.
    """
    found = []
    for size in product(range(32, width + 1, 32), range(32, height + 1, 32)):
        area, skew = size[0] * size[1] / (width * height), abs(math.log(size[0] / size[1] * height / width))
        if MIN_AREA <= area < 1 and skew <= MAX_SKEW:
            found.append(size)
    return sorted(found, key=lambda size: (-size[0] * size[1], size))


def is_beyond(width: int, height: int, native: str, family: Family = Family.UNKNOWN) -> bool:
    """Tell whether a picture of this size in pixels is larger than a model of these native sizes paints whole.

    One so narrow that no native size has its aspect is not: nothing smaller can be enlarged to it.
    """
    side, area = LARGEST_SIZE_OF.get(family) or LARGEST_SIZES[native]
    large = max(width, height) > side and width * height > area
    return large and first_size(width, height, native) != (width, height)


FIRST_AREA = (0.75, 1.05)
"""Area of a first picture, in shares of the native one."""

SAME_ASPECT = 0.004
"""Difference in aspect, as a logarithm, that counts as none: a pixel in 256."""


@cache
def first_size(width: int, height: int, native: str) -> tuple[int, int]:
    """Return the native size (pixels) with the aspect of a larger one.

    Of the sizes of that very aspect the one with the coarsest multiple (64 to 8, networks halve sides several times)
    and then the nearest area; where none has it, the nearest aspect; where none is near, the size itself.
    """
    area, aspect = NATIVE_SIDES[native] ** 2, width / height
    found: list[tuple[float, float, float, tuple[int, int]]] = []
    for multiple in (64, 32, 16, 8):
        for first_width in range(MIN_SIDE, width + 1, multiple):
            nearest = round(first_width / aspect / multiple) * multiple
            share = first_width * nearest / area
            skew = abs(math.log(first_width / nearest / aspect)) if nearest >= MIN_SIDE else math.inf
            if FIRST_AREA[0] <= share <= FIRST_AREA[1] and skew <= MAX_SKEW:
                counted = 0.0 if skew <= SAME_ASPECT else skew
                found.append((counted, -multiple, abs(math.log(share)), (first_width, nearest)))
    return min(found)[-1] if found else (width, height)


def _ratio(aspect: str) -> float:
    if aspect in ASPECTS:
        return ASPECTS[aspect]
    match = _RATIO.fullmatch(aspect) if isinstance(aspect, str) else None
    if match is None or not float(match[1]) or not float(match[2]):
        raise InvalidInputError(f"aspect must be auto, {', '.join(ASPECTS)} or a ratio like 16:9, got {aspect!r}")
    ratio = float(match[1]) / float(match[2])
    require(1 / MAX_ASPECT <= ratio <= MAX_ASPECT, f"aspect must lie between 1:4 and 4:1, got {aspect!r}")
    return ratio
