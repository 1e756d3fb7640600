"""Headers of safetensors files: untrusted input, read with bounded memory."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeVar

from ..errors import UnsupportedModelError
from .file_messages import FileMessage as Text

MAX_HEADER_BYTES = 32 * 1024 * 1024
"""The format allows 100 MB; headers of real models are below 10 MB."""

DIGESTED_BYTES = 4096
"""Of each end of the tensors, which a digest of the file holds."""

_MAGIC = (
    (b"version https://git-lfs", Text.LFS_POINTER),
    (b"\x80\x02", Text.PICKLE),
    (b"\x80\x04", Text.PICKLE),
    (b"<?xml", Text.XML),
    (b"GGUF", Text.GGUF_RENAMED),
    (b"Rar!", Text.COMPRESSED),
    (b"7z\xbc\xaf", Text.COMPRESSED),
    (b"\x1f\x8b", Text.COMPRESSED),
)

MAX_ANSWER_BYTES = 65536
"""Of a text in a model's place, which is read to say what it is."""

_REFUSED = re.compile(
    r"unauthori[sz]ed|forbidden|log ?in|sign ?in|api key|access denied|gated|\b40[13]\b", re.IGNORECASE
)
_TITLE = re.compile(rb"<(?:title|h1|body)[^>]*>\s*([^<\s][^<]{0,200})", re.IGNORECASE)
_TENSOR_END = re.compile(rb'"data_offsets"\s*:\s*\[\s*\d+\s*,\s*(\d+)\s*\]')

Shapes = dict[str, tuple[int, ...]]
Facts = TypeVar("Facts")

_SCALARS = {"F64": "<d", "F32": "<f", "F16": "<e"}

_ALPHA = re.compile(rb'\.alpha"\s*:\s*(\{[^{}]*\})')

_ESCAPED_LETTER = re.compile(rb"\\u00(?:5[fF]|6[0-9a-fA-F]|7[0-9aA])")
"""No encoder escapes ASCII letters; an escape would hide a second `"data_offsets"` from a count."""


@dataclass(frozen=True)
class Header:
    """Metadata and tensor shapes of one safetensors file."""

    metadata: dict[str, str] = field(default_factory=dict)
    shapes: Shapes = field(default_factory=dict)
    alpha: float | None = None
    """Value of the first `….alpha` tensor (kohya LoRAs), or None."""
    digest: str = ""
    """Of the file's size, its header, and `DIGESTED_BYTES` at each end of its tensors."""


def read_header(path: Path) -> Header:
    """Return the header of the safetensors file at `path`, with at most a few times `MAX_HEADER_BYTES` of memory.

    Raises UnsupportedModelError for any other file; the message is one line with the reason.
    """
    try:
        with path.open("rb") as file:
            raw = _raw_header(path, file)
            metadata, shapes = _open(path, raw)
            _check_keys(path, raw, shapes)
            return Header(metadata, shapes, _first_alpha(file, raw), _digest(file, raw))
    except OSError as error:
        _refuse(path, Text.UNREADABLE.format(error=error.strerror or error))


def read_shapes(path: Path) -> Shapes:
    """Return the tensor shapes of a file that `read_header` accepted before, in a tenth of its time.

    Whatever else is there by now gives other shapes, or UnsupportedModelError: compare them with those of before.
    """
    return _of_entries(path, lambda entries: {key: tuple(entry["shape"]) for key, entry in entries.items()})


def tensor_bytes(path: Path, skip: tuple[str, ...] = ()) -> dict[str, int]:
    """Return the bytes of the tensors by the format of their numbers, as safetensors names it (`BF16` …).

    `skip`: beginnings of tensor names that do not count. Raises UnsupportedModelError.
    """

    def counted(entries: dict[str, Any]) -> dict[str, int]:
        sizes: Counter[str] = Counter()
        for key, entry in entries.items():
            if not key.startswith(skip):
                first, last = entry["data_offsets"]
                sizes[str(entry["dtype"])] += max(0, int(last) - int(first))
        return dict(sizes)

    return _of_entries(path, counted)


def _of_entries(path: Path, read: Callable[[dict[str, Any]], Facts]) -> Facts:
    """Return what `read` finds in the header's tensor entries."""
    try:
        with path.open("rb") as file:
            entries = json.loads(_raw_header(path, file))
        return read({key: entry for key, entry in entries.items() if key != "__metadata__"})
    except OSError as error:
        _refuse(path, Text.UNREADABLE.format(error=error.strerror or error))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        _refuse(path, Text.CORRUPT_HEADER)


def _refuse(path: Path, reason: str) -> NoReturn:
    raise UnsupportedModelError(Text.LEFT_OUT.format(file=path.name, problem=reason)) from None


def _raw_header(path: Path, file: BinaryIO) -> bytes:
    size = path.stat().st_size
    if size == 0:
        _refuse(path, Text.EMPTY_FILE)
    start = file.read(32)
    for magic, reason in _MAGIC:
        if start[: len(magic)].lower() == magic.lower():
            _refuse(path, reason)
    if start.startswith(b"PK\x03\x04"):
        _refuse(path, _archive(file))
    if b"\0" not in start[:8]:  # a header's length, below 100 MB, has zeros
        file.seek(0)
        if answer := _answer(file.read(MAX_ANSWER_BYTES)):
            _refuse(path, answer)
    if size < 10:
        _refuse(path, Text.TRUNCATED.format(size=size))
    (length,) = struct.unpack("<Q", start[:8])
    if length < 2 or length > size - 8:
        _refuse(path, Text.HEADER_LENGTH.format(length=length, size=size))
    if length > MAX_HEADER_BYTES:
        sizes = {"size": f"{length / 1e6:.0f}", "most": f"{MAX_HEADER_BYTES / 1e6:.0f}"}
        _refuse(path, Text.HEADER_TOO_LARGE.format(**sizes))
    file.seek(8)
    return file.read(length)


def _archive(file: BinaryIO) -> str:
    """Return what a zip archive in a model's place is."""
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(file) as archive:
            names = archive.namelist()
    except (BadZipFile, OSError, ValueError, NotImplementedError):
        return Text.BROKEN_ARCHIVE.value
    if any(name.endswith("data.pkl") for name in names):
        return Text.PICKLED_ARCHIVE.value
    inside = next((name for name in names if name.lower().endswith(".safetensors")), None)
    return Text.ARCHIVE_WITH_MODEL.format(inside=inside[-80:]) if inside else Text.ARCHIVE.value


def _answer(text: bytes) -> str | None:
    """Return which answer of a server lies in a model's place; None where it is no text."""
    start = text.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:1] in (b"{", b"["):
        kind, said = Text.SERVER_ANSWER, _message(start)
    elif start[:1] == b"<":
        match = _TITLE.search(text)
        kind, said = Text.WEB_PAGE, match[1].decode("utf-8", "replace").strip() if match else ""
    else:
        try:
            said = start[:100].decode("ascii").strip()
        except UnicodeDecodeError:
            return None
        if not said.isprintable():
            return None
        kind = Text.PLAIN_TEXT
    remedy = Text.LOG_IN if _REFUSED.search(said) else Text.DOWNLOAD_FAILED
    quoted = repr(" ".join(said.split())[:120])
    return (Text.ANSWER_QUOTED if said else Text.ANSWER).format(kind=kind, quoted=quoted, remedy=remedy)


def _message(text: bytes) -> str:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text[:100].decode("utf-8", "replace")
    texts = [found[key] for key in ("error", "message", "detail") if found.get(key)] if isinstance(found, dict) else []
    return ": ".join(str(text) for text in texts) or str(found)


def _digest(file: BinaryIO, raw: bytes) -> str:
    """Return a text that no other file is likely to have, without reading it whole: 24 hex digits."""
    size = os.fstat(file.fileno()).st_size
    digest = hashlib.blake2b(raw, digest_size=12)
    digest.update(struct.pack("<Q", size))
    file.seek(8 + len(raw))
    digest.update(file.read(DIGESTED_BYTES))
    file.seek(max(8 + len(raw), size - DIGESTED_BYTES))
    digest.update(file.read(DIGESTED_BYTES))
    return digest.hexdigest()


def _open(path: Path, raw: bytes) -> tuple[dict[str, str], Shapes]:
    """Read by the reference implementation, which refuses overlaps, holes, bad shapes and nesting."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return file.metadata() or {}, {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        whole, size = 8 + len(raw) + max(map(int, _TENSOR_END.findall(raw)), default=0), path.stat().st_size
        if size < whole < 2**63:
            _refuse(path, Text.CUT_OFF.format(size=size, whole=whole))
        _refuse(path, Text.CORRUPT.format(error=" ".join(str(error).split())[:200]))


def _check_keys(path: Path, raw: bytes, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse repeated tensor keys and attribute-like names, which safe_open accepts.

    Every tensor's entry holds `"data_offsets"` once, and no other text does: a quote within a text is escaped.
    """
    if raw.count(b'"data_offsets"') != len(shapes) or (b"\\u00" in raw and _ESCAPED_LETTER.search(raw)):
        _refuse(path, _repeated_key(raw))
    if ".__" in (joined := "." + "\n.".join(shapes)):
        key = next(line for line in joined.split("\n") if ".__" in line)[1:]
        _refuse(path, Text.ATTRIBUTE_KEY.format(key=repr(key[:80])))


def _repeated_key(raw: bytes) -> str:
    pairs = json.loads(raw, object_pairs_hook=tuple)
    (key, count), *_ = Counter(key for key, _ in pairs).most_common(1)
    return Text.KEY_TWICE.format(key=repr(key[:80])) if count > 1 else Text.KEYS_HIDDEN.value


def _first_alpha(file: BinaryIO, raw: bytes) -> float | None:
    found = _ALPHA.search(raw)
    entry = json.loads(found[1]) if found else {}
    if entry.get("shape") not in ([], [1]):
        return None
    file.seek(8 + len(raw) + entry["data_offsets"][0])
    data, dtype = file.read(8), entry["dtype"]
    if dtype == "BF16":
        data, dtype = b"\0\0" + data[:2], "F32"
    value = struct.unpack_from(_SCALARS[dtype], data)[0] if dtype in _SCALARS else math.nan
    return round(value, 4) if math.isfinite(value) else None
