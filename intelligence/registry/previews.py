"""Preview pictures of models, checked by their content, not their names."""

from __future__ import annotations

import base64
import binascii
import io
from pathlib import Path
from typing import NamedTuple

from ..errors import UnsupportedModelError
from ..given_files import read_capped
from ..models.headers import read_header
from ..models.metadata import ModelMetadata

MAX_BYTES = 32 * 1024 * 1024
MAX_PIXELS = 50_000_000

_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


class Preview(NamedTuple):
    """The bytes of a picture, to be served under exactly this type (and `nosniff`)."""

    data: bytes
    content_type: str
    """`image/png`, `image/jpeg` or `image/webp`."""


def read_preview(record: ModelMetadata) -> Preview | None:
    """Return the picture beside the model's file, else the thumbnail in its header; None where there is neither.

    Raises UnsupportedModelError where it is no PNG, JPEG or WebP picture, or is too large.
    """
    if record.preview_path:
        path = Path(record.preview_path)
        try:
            return _checked(read_capped(path, MAX_BYTES), path.name)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise UnsupportedModelError(f"{path.name}: cannot be shown ({error})") from None
    if record.problem or not record.local_path:
        return None
    thumbnail = read_header(Path(record.local_path)).metadata.get("modelspec.thumbnail", "")
    if not thumbnail.startswith("data:image/"):
        return None
    name = f"thumbnail of {record.name}"
    try:
        data = base64.b64decode(thumbnail.partition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        raise UnsupportedModelError(f"{name}: not base64") from None
    return _checked(data, name)


def _checked(data: bytes, name: str) -> Preview:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=tuple(_TYPES)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnsupportedModelError(f"{name}: {image.width} × {image.height} is too large for a preview")
            content_type = _TYPES[str(image.format)]
            image.verify()
    except UnidentifiedImageError:
        raise UnsupportedModelError(f"{name}: not a PNG, JPEG or WebP picture; never shown") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnsupportedModelError(f"{name}: a picture that unpacks to far more than it weighs; never shown") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise UnsupportedModelError(f"{name}: a broken picture ({str(error)[:100]})") from None
    return Preview(data, content_type)
