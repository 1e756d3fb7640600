"""Small pictures of the images that were made, by image id: for rating them later, and for the history."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from .images import eight_bit
from .server_planner import home

FOLDER = "thumbnails"
SIDE = 320
"""Pixels of the longer side."""
QUALITY = 80
KEPT = 5000
"""Newest thumbnails that are kept, of some 15 KB each."""

_IMAGE_ID = re.compile(r"[0-9a-f]{32}(-\d+)?")


def save(image_ids: Sequence[str], images: Any) -> None:
    """Write the thumbnails of an IMAGE, (batch, height, width, channels); of more images than ids, the first ones."""
    from PIL import Image

    pictures = (Image.fromarray(pixels[..., :3]) for pixels in eight_bit(images))
    _save(zip(image_ids, pictures, strict=False))


def save_file(image_id: str, path: Path) -> None:
    """Write the thumbnail of a picture file of the pack's."""
    from PIL import Image

    with Image.open(path) as picture:
        _save([(image_id, picture.convert("RGB"))])


def _save(pictures: Iterable[tuple[str, Any]]) -> None:
    folder = home() / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for image_id, picture in pictures:
            picture.thumbnail((SIDE, SIDE))
            picture.save(folder / f"{image_id}.webp", quality=QUALITY)
        _prune(folder)
    except OSError as error:
        logging.warning("Intelligent Generation: no thumbnail is kept: %s", error)


def path(image_id: str) -> Path | None:
    """Return the thumbnail of an image, or of a generation's first one; None where there is none."""
    if not _IMAGE_ID.fullmatch(image_id):
        return None
    folder = home() / FOLDER
    found = (folder / f"{name}.webp" for name in (image_id, f"{image_id}-0"))
    return next((file for file in found if file.is_file()), None)


def forget(is_stored: Callable[[str], bool]) -> None:
    """Delete the thumbnails of generations that are not stored any more; `is_stored` is asked by image id."""
    for file in (home() / FOLDER).glob("*.webp"):
        if not is_stored(file.stem):
            file.unlink(missing_ok=True)


def _prune(folder: Path) -> None:
    files = [*folder.glob("*.webp")]
    if len(files) > 1.1 * KEPT:
        files.sort(key=lambda file: file.stat().st_mtime)
        for file in files[:-KEPT]:
            file.unlink(missing_ok=True)
