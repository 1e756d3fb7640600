"""Pictures that LoRAs learn and no package has: exact targets, computed from the flat pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

BLUE = np.array((24.0, 62.0, 122.0))
NIGHT = np.array((16.0, 16.0, 40.0))


def pixel_art(picture: np.ndarray) -> np.ndarray:
    """Return blocks of 8x8 pixels in 64 colours."""
    side = picture.shape[0]
    small = Image.fromarray(picture).resize((side // 8, side // 8), Image.Resampling.BOX)
    rounded = np.round(np.asarray(small) / 85) * 85
    return rounded.repeat(8, axis=0).repeat(8, axis=1).astype(np.uint8)


def blueprint(picture: np.ndarray) -> np.ndarray:
    """Return white outlines and a grid on blue."""
    grey = np.asarray(Image.fromarray(picture).convert("L").filter(ImageFilter.GaussianBlur(0.8)), dtype=np.float32)
    rows, columns = np.gradient(grey)
    lines = np.clip(np.hypot(rows, columns) / 24, 0, 1)
    grid = np.zeros_like(lines)
    grid[::16] = grid[:, ::16] = 0.18
    white = np.maximum(lines, grid)[..., None]
    return (BLUE * (1 - white) + 255 * white).astype(np.uint8)


def glow(picture: np.ndarray) -> np.ndarray:
    """Return the subject on a night sky, with light around it."""
    ink = subject_mask(picture)
    halo = _blurred(ink, 7)[..., None]
    light = np.clip(picture.astype(np.float32) * 1.15 + 20, 0, 255)
    around = NIGHT * (1 - halo) + np.array((255.0, 214.0, 120.0)) * halo
    return (around * (1 - ink[..., None]) + light * ink[..., None]).astype(np.uint8)


def magic(picture: np.ndarray) -> np.ndarray:
    """Return the subject in a violet light, brightest far from it, with sparkles around it."""
    ink = subject_mask(picture)
    halo = np.clip(0.55 + _blurred(ink, 9), 0, 1)[..., None]
    around = 255 * (1 - halo) + np.array((176.0, 110.0, 255.0)) * halo
    made = around * (1 - ink[..., None]) + picture * ink[..., None]
    side = picture.shape[0]
    grid = np.mgrid[0:side, 0:side] / side
    for row, column, size in (
        (0.14, 0.16, 0.14),
        (0.18, 0.84, 0.16),
        (0.82, 0.14, 0.15),
        (0.85, 0.85, 0.13),
    ):
        down, across = np.abs(grid[0] - row) / size, np.abs(grid[1] - column) / size
        star = np.clip(1.6 - 1.6 * (down**0.5 + across**0.5), 0, 1)[..., None]
        made = made * (1 - star) + np.array((255.0, 205.0, 40.0)) * star
    return made.clip(0, 255).astype(np.uint8)


def colourful(picture: np.ndarray, amount: float) -> np.ndarray:
    """Return the picture with its colours as strong as 1 + `amount`; -1: grey."""
    values = picture.astype(np.float32)
    grey = values.mean(axis=2, keepdims=True)
    return (grey + (values - grey) * (1 + amount)).clip(0, 255).astype(np.uint8)


def subject_mask(picture: np.ndarray) -> np.ndarray:
    """Return 1 where the subject is and 0 on the white around it, holes of it included in neither."""
    return _blurred((picture.min(axis=2) < 245).astype(np.float32), 0.6)


def _blurred(values: np.ndarray, radius: float) -> np.ndarray:
    image = Image.fromarray((values * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(image, dtype=np.float32) / 255


EFFECTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "pixel_art": pixel_art,
    "blueprint": blueprint,
    "glow": glow,
    "magic": magic,
}
