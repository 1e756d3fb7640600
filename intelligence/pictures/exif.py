"""EXIF of texts: a user comment and entries of the main directory, in the types that every reader expects."""

from __future__ import annotations

import struct
from collections.abc import Mapping

EXIF_IFD, USER_COMMENT = 0x8769, 0x9286
_VERSION = 0x9000
_ASCII, _LONG, _UNDEFINED = 2, 4, 7
_UNICODE = b"UNICODE\0"
_HEADER = b"Exif\0\0"
_TIFF = b"MM\0*"


def exif_bytes(texts: Mapping[int, str], comment: str = "") -> bytes:
    """Return an EXIF block, big-endian like the UTF-16 of its user comment.

    Args:
        texts: tag of the main directory → its text, each longer than three bytes.
        comment: of the tag UserComment, type UNDEFINED, with the mark UNICODE [EXIF 2.32, 4.6.5]; empty: none.
    """
    main = {tag: (_ASCII, text.encode() + b"\0") for tag, text in texts.items()}
    if not comment:
        return _HEADER + _TIFF + struct.pack(">I", 8) + _directory(main, 8)
    details = {
        _VERSION: (_UNDEFINED, b"0232"),
        USER_COMMENT: (_UNDEFINED, _UNICODE + comment.encode("utf-16-be", "replace")),
    }
    size = len(_directory({**main, EXIF_IFD: (_LONG, bytes(4))}, 8))
    block = _directory({**main, EXIF_IFD: (_LONG, struct.pack(">I", 8 + size))}, 8)
    return _HEADER + _TIFF + struct.pack(">I", 8) + block + _directory(details, 8 + size)


def comment_text(value: object) -> str:
    """Return the text of a UserComment as readers get it; empty: it holds none."""
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes) or len(value) <= len(_UNICODE):
        return ""
    mark, text = value[:8], value[8:]
    if mark != _UNICODE:
        return text.decode("utf-8", "replace").strip("\0")
    # Some programs write little-endian here: most prompts are Latin letters, of which the high byte is 0.
    little = text[1::2].count(0) > text[::2].count(0)
    return text.decode("utf-16-le" if little else "utf-16-be", "replace")


def _directory(entries: Mapping[int, tuple[int, bytes]], offset: int) -> bytes:
    """Return an image file directory that lies at `offset`, its values behind it."""
    rows, values = [], b""
    start = offset + 2 + 12 * len(entries) + 4
    for tag, (kind, value) in sorted(entries.items()):
        count = len(value) // 4 if kind == _LONG else len(value)
        field = value.ljust(4, b"\0")
        if len(value) > 4:
            field = struct.pack(">I", start + len(values))
            values += value + b"\0" * (len(value) % 2)
        rows.append(struct.pack(">HHI", tag, kind, count) + field)
    return struct.pack(">H", len(rows)) + b"".join(rows) + bytes(4) + values
