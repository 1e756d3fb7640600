"""Headers of GGUF files: untrusted input, read with bounded memory.

The format is that of ggml's docs/gguf.md, versions 2 and 3; weights of diffusion networks are written so by
ComfyUI-GGUF, which keeps the shape of a tensor that the format cannot hold in an entry of its own.
"""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from ..errors import UnsupportedModelError
from .file_messages import FileMessage as Text
from .headers import Header, Shapes

GGUF_SUFFIX = ".gguf"

MAX_BYTES = 64 * 1024 * 1024
"""Of the header; those of the largest diffusion networks are below 1 MB, a text encoder's vocabulary takes 10 MB."""
MAX_TENSORS = 65536
MAX_ENTRIES = 4096
MAX_TEXT_BYTES = 65536
MAX_DIMENSIONS = 8

_VERSIONS = (2, 3)
_SCALARS = ("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?", None, None, "<Q", "<q", "<d")
"""Format of a value by the number of its type; None: text and array."""
_TEXT, _ARRAY = 8, 9

_SHAPE_ENTRY = "comfy.gguf.orig_shape."
_TITLES = ("general.name", "general.basename")
TITLE_ENTRY = "modelspec.title"
"""Entry under which a file's own name is handed on, as in safetensors files."""


def read_gguf_header(path: Path) -> Header:
    """Return texts and tensor shapes of the GGUF file at `path`, as of a safetensors file with the same weights.

    Raises UnsupportedModelError for any other file; the message is one line with the reason.
    """
    try:
        with path.open("rb") as file:
            return _Reader(file).header()
    except OSError as error:
        _refuse(path, Text.UNREADABLE.format(error=error.strerror or error))
    except (_CorruptError, struct.error, UnicodeDecodeError) as error:
        _refuse(path, Text.CORRUPT_GGUF.format(error=error))


def _refuse(path: Path, reason: str) -> NoReturn:
    raise UnsupportedModelError(Text.LEFT_OUT.format(file=path.name, problem=reason)) from None


class _CorruptError(Exception):
    """A header that is not as the format wants it, or larger than is read."""


class _Reader:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = MAX_BYTES

    def header(self) -> Header:
        if self._bytes(4) != b"GGUF":
            raise _CorruptError("it does not begin as one")
        version = self._number("<I")
        if version not in _VERSIONS:
            raise _CorruptError(f"version {version}, not 2 or 3")
        tensors, count = self._limited("tensors", MAX_TENSORS), self._limited("entries", MAX_ENTRIES)
        entries = dict(self._entry() for _ in range(count))
        shapes: Shapes = {}
        for _ in range(tensors):
            name, shape = self._tensor()
            if name in shapes:
                raise _CorruptError(f"tensor {name[:80]!r} appears twice")
            shapes[name] = _original(entries.get(_SHAPE_ENTRY + name), shape)
        texts = {key: value for key, value in entries.items() if isinstance(value, str)}
        title = next((texts[key] for key in _TITLES if texts.get(key)), "")
        return Header({**texts, **({TITLE_ENTRY: title} if title else {})}, shapes)

    def _entry(self) -> tuple[str, Any]:
        return self._text(), self._value(self._number("<I"))

    def _value(self, kind: int) -> Any:
        """A text, a number, a short array of numbers; None for other arrays, which are skipped."""
        if kind == _TEXT:
            return self._text()
        if kind == _ARRAY:
            return self._array(self._number("<I"), self._number("<Q"))
        return self._number(_scalar(kind))

    def _array(self, kind: int, count: int) -> tuple[int, ...] | None:
        if kind == _TEXT:
            for _ in range(self._affordable(count, 8)):
                self._text()
            return None
        form = _scalar(kind)  # arrays of arrays are refused with unknown types
        values = self._bytes(self._affordable(count, struct.calcsize(form)) * struct.calcsize(form))
        return tuple(each for (each,) in struct.iter_unpack(form, values)) if count <= MAX_DIMENSIONS else None

    def _tensor(self) -> tuple[str, tuple[int, ...]]:
        name, dimensions = self._text(), self._number("<I")
        if dimensions > MAX_DIMENSIONS:
            raise _CorruptError(f"tensor {name[:80]!r} with {dimensions} dimensions")
        sides = tuple(self._number("<Q") for _ in range(dimensions))
        self._bytes(12)  # format of the numbers, and their place
        return name, sides[::-1]

    def _limited(self, name: str, limit: int) -> int:
        if (count := self._number("<Q")) > limit:
            raise _CorruptError(f"{count} {name}, more than the {limit} that are read")
        return count

    def _affordable(self, count: int, size: int) -> int:
        if count * size > self._left:
            raise _CorruptError(f"its header is larger than the {MAX_BYTES / 1e6:.0f} MB that are read")
        return count

    def _text(self) -> str:
        length = self._number("<Q")
        if length <= MAX_TEXT_BYTES:
            return self._bytes(length).decode()
        self._skip(self._affordable(length, 1))
        return ""

    def _skip(self, count: int) -> None:
        while count:
            count -= len(self._bytes(min(count, MAX_TEXT_BYTES)))

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._bytes(struct.calcsize(form)))[0]

    def _bytes(self, count: int) -> bytes:
        self._left -= self._affordable(count, 1)
        found = self._file.read(count)
        if len(found) < count:
            raise _CorruptError("cut off within its header; download it again")
        return found


def _scalar(kind: int) -> str:
    form = _SCALARS[kind] if kind < len(_SCALARS) else None
    if form is None:
        raise _CorruptError(f"value of unknown type {kind}")
    return form


def _original(stated: Any, stored: tuple[int, ...]) -> tuple[int, ...]:
    """The shape before the tensor was made to fit the format, where the file states one of the same size."""
    fits = isinstance(stated, tuple) and all(isinstance(side, int) and side > 0 for side in stated)
    return stated if fits and prod(stated) == prod(stored) else stored
