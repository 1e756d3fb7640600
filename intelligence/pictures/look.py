"""The look of a picture in eight numbers: enough to tell pictures of one prompt apart by what a user may like."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SIDE = 64
"""Pixels of the longer side at which looks are taken: a preview of a quarter of the steps has no finer detail."""

LUMA = (0.2126, 0.7152, 0.0722)
"""ITU-R BT.709."""


class Look(NamedTuple):
    """Averages over a picture, each in 255ths, rounded."""

    brightness: int
    """Mean luma."""
    contrast: int
    """Standard deviation of the luma."""
    colour: int
    """Colourfulness after Hasler and Süsstrunk, Measuring colourfulness in natural images, 2003."""
    warmth: int
    """Red over blue."""
    green: int
    """Green over the mean of red and blue."""
    detail: int
    """Mean difference of the luma of neighbouring pixels."""
    centre: int
    """Luma of the middle half of both sides over that of the rest."""
    top: int
    """Luma of the upper half over that of the lower."""


def look_of(pixels: NDArray[np.uint8]) -> Look:
    """Return the look of 8-bit pixels (height, width, channels) with red, green and blue first."""
    small = _shrunk(pixels[..., :3])
    red, green, blue = small[..., 0], small[..., 1], small[..., 2]
    luma = small @ np.array(LUMA)
    height, width = luma.shape
    inner = np.zeros(luma.shape, bool)
    inner[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    across, along = red - green, (red + green) / 2 - blue
    half = max(1, height // 2)
    steps = np.concatenate([np.abs(np.diff(luma, axis=axis)).ravel() for axis in (0, 1)])
    found = (
        luma.mean(),
        luma.std(),
        np.hypot(across.std(), along.std()) + 0.3 * np.hypot(across.mean(), along.mean()),
        (red - blue).mean(),
        (green - (red + blue) / 2).mean(),
        steps.mean() if steps.size else 0.0,
        luma[inner].mean() - luma[~inner].mean() if 0 < inner.sum() < inner.size else 0.0,
        luma[:half].mean() - luma[-half:].mean(),
    )
    return Look(*(round(float(each)) for each in found))


def _shrunk(pixels: Any) -> NDArray[np.float64]:
    """Return pixels as numbers from 0 to 255, the longer side at most `SIDE`."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(pixels))
    longest = max(picture.size)
    if longest > SIDE:
        size = [max(1, round(side * SIDE / longest)) for side in picture.size]
        picture = picture.resize((size[0], size[1]), Image.Resampling.BOX)
    return np.asarray(picture, np.float64)
