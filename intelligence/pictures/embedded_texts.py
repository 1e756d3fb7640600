"""Texts inside PNG, WebP and JPEG: put there, and read again.

PNG: text chunks. WebP and JPEG: EXIF, A1111's text as UserComment, all others as `name:text` in the main directory,
which ComfyUI's page reads under any tag. The tag Model holds SwarmUI's record or nothing: sd-prompt-reader fails on a
text of ComfyUI's there.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInputError
from .a1111_text import SWARM_RECORD, swarmui_text
from .exif import EXIF_IFD, USER_COMMENT, comment_text, exif_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

PARAMETERS = "parameters"
"""Name of A1111's text."""

OWN_RECORD = "intelligent_generation"
"""Name of the pack's own JSON."""

MAX_JPEG_EXIF = 65_533
"""Bytes of a JPEG segment without its length [JPEG, B.1.1.4]."""

_TAGS = {"workflow": 0x010F, "prompt": 0x010E, OWN_RECORD: 0x0131, SWARM_RECORD: 0x0110}
_FURTHER_TAGS = range(0x010D, 0x00FE, -1)

XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    "</rdf:RDF></x:xmpmeta>"
)
"""Marks a picture as made by a model [IPTC NewsCodes, digitalsourcetype]."""


def save_options(
    file_format: str, texts: Mapping[str, str], optional: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return keywords of `Image.save` that put `texts` into a file, and the names of those left out.

    Args:
        file_format: PNG, WEBP or JPEG.
        optional: names that may be left out where a JPEG has no room, the least needed first.
    """
    texts = {name: text.encode("utf-8", "replace").decode() for name, text in texts.items()}  # no lone surrogates
    if file_format == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        for name, text in texts.items():
            info.add_text(name, text)
        info.add_itxt("XML:com.adobe.xmp", XMP)
        return {"pnginfo": info}, []
    kept, left_out = {**texts, **_repeated(texts.get(PARAMETERS, ""))}, []
    waiting = [name for name in (SWARM_RECORD, *optional) if name in kept]
    while len(data := _exif(kept)) > MAX_JPEG_EXIF and file_format == "JPEG" and waiting:
        left_out.append(waiting.pop(0))
        del kept[left_out[-1]]
    return {"exif": data, "xmp": XMP.encode()}, left_out


def _repeated(text: str) -> dict[str, str]:
    """Return A1111's text as SwarmUI's record, where sd-prompt-reader would read nothing at all.

    It decodes a comment little-endian first, and gives up on letters like Ü (U+00DC), half a surrogate pair there.
    """
    try:
        text.encode("utf-16-be").decode("utf-16-le")
    except UnicodeDecodeError:
        return {SWARM_RECORD: swarmui_text(text)}
    return {}


def fits_jpeg(text: str) -> bool:
    """Return whether A1111's text has room in a JPEG."""
    return len(_exif({PARAMETERS: text})) <= MAX_JPEG_EXIF


def _exif(texts: Mapping[str, str]) -> bytes:
    further = iter(_FURTHER_TAGS)
    named = {name: text for name, text in texts.items() if name != PARAMETERS}
    tags = {
        _TAGS.get(name) or next(further): text if name == SWARM_RECORD else f"{name}:{text}"
        for name, text in named.items()
    }
    return exif_bytes(tags, texts.get(PARAMETERS, ""))


def read_texts(path: str | Path) -> dict[str, str]:
    """Return the texts inside a picture by name; A1111's as `parameters`. Raises InvalidInputError."""
    from PIL import Image, UnidentifiedImageError

    path = Path(path)
    try:
        with Image.open(path, formats=("PNG", "WEBP", "JPEG")) as image:
            if image.format == "PNG" and _has_late_texts(path):
                image.load()  # decodes all of it: 30 ms for 1024 x 1024, so only where a text needs it
            return _texts_of(image)
    except UnidentifiedImageError:
        raise InvalidInputError(f"{path.name} is no PNG, WebP or JPEG picture") from None
    except _BROKEN as error:
        raise InvalidInputError(f"{path.name} cannot be read: {error}") from None
    except Image.DecompressionBombError as error:
        raise InvalidInputError(f"{path.name} cannot be read: {error}") from None


_BROKEN = (OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, OverflowError, struct.error, zlib.error)
"""Errors that Pillow's readers raise on broken pictures."""

_LATE = (b"tEXt", b"zTXt", b"iTXt", b"eXIf")


def _has_late_texts(path: Path) -> bool:
    """Return True if texts stand behind the pixels of a PNG, where Pillow sees them only after decoding."""
    with path.open("rb") as file:
        place, behind = 8, False
        size = file.seek(0, os.SEEK_END)
        while place + 12 <= size:
            file.seek(place)
            length, kind = struct.unpack(">I4s", file.read(8))
            behind |= kind == b"IDAT"
            if kind == b"IEND":
                return False
            if behind and kind in _LATE:
                return True
            place += 12 + length
    return False


def _texts_of(image: Image) -> dict[str, str]:
    texts = {name: str(text) for name, text in image.info.items() if isinstance(name, str) and isinstance(text, str)}
    if isinstance(comment := image.info.get("comment"), bytes):
        texts["comment"] = comment.decode("utf-8", "replace")
    if image.format == "PNG" and "exif" not in image.info:
        return texts
    exif = image.getexif()
    if comment := comment_text(exif.get_ifd(EXIF_IFD).get(USER_COMMENT)):
        texts.setdefault(PARAMETERS, comment)
    for tag, value in exif.items():
        if tag == USER_COMMENT or (isinstance(value, str) and value.startswith("{")):
            texts.setdefault(PARAMETERS, comment_text(value))  # Fooocus, and early SwarmUI
        elif isinstance(value, str) and ":" in value:
            name, _, text = value.partition(":")
            texts.setdefault(name, text.rstrip("\0"))
    return texts
