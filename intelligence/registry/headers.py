"""Reading what a safetensors file says of itself, without trusting it."""

from __future__ import annotations

import json
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

from ..errors import UnsupportedModelError

MAX_HEADER_BYTES = 32 * 1024 * 1024
"""The format allows 100 MB; headers of real models stay below 10 MB, and memory has to stay bounded."""

_MAGIC = (
    (b"version https://git-lfs", "a git-lfs pointer, not the file itself; fetch it with `git lfs pull`"),
    (b"PK\x03\x04", "a pickled PyTorch archive under a .safetensors name; it is never loaded"),
    (b"\x80\x02", "a Python pickle under a .safetensors name; it is never loaded"),
    (b"\x80\x04", "a Python pickle under a .safetensors name; it is never loaded"),
    (b"<!doctype html", "a web page, not a model; the download has failed"),
    (b"<html", "a web page, not a model; the download has failed"),
    (b"<?xml", "an XML text, not a model; the download has failed"),
)

_SCALARS = {"F64": "<d", "F32": "<f", "F16": "<e"}


@dataclass(frozen=True)
class Header:
    """Metadata and tensor shapes of one safetensors file."""

    metadata: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    alpha: float | None = None
    """Value of the first `….alpha` tensor (kohya LoRAs), or None."""


class _Tensor(NamedTuple):
    dtype: str
    shape: tuple[int, ...]
    start: int
    """First byte of its data, counted from the end of the header."""


def read_header(path: Path) -> Header:
    """The header of the safetensors file at `path`; memory stays within a few times `MAX_HEADER_BYTES`.

    Raises:
        UnsupportedModelError: not a sound safetensors file; the message is one line that says why.
    """
    try:
        with path.open("rb") as file:
            raw = _raw_header(path, file)
            _validate(path)
            metadata, tensors = _parse(path, raw)
            return Header(
                metadata, {key: tensor.shape for key, tensor in tensors.items()}, _first_alpha(file, raw, tensors)
            )
    except OSError as error:
        _refuse(path, f"cannot be read ({error.strerror or error})")


def _refuse(path: Path, reason: str) -> NoReturn:
    raise UnsupportedModelError(f"{path.name}: {reason}") from None


def _raw_header(path: Path, file: BinaryIO) -> bytes:
    size = path.stat().st_size
    if size == 0:
        _refuse(path, "empty file")
    start = file.read(32)
    for magic, reason in _MAGIC:
        if start[: len(magic)].lower() == magic.lower():
            _refuse(path, reason)
    if size < 10:
        _refuse(path, f"truncated: {size} bytes are no safetensors file")
    (length,) = struct.unpack("<Q", start[:8])
    if length < 2 or length > size - 8:
        _refuse(path, f"corrupt: header length {length} in a file of {size} bytes")
    if length > MAX_HEADER_BYTES:
        _refuse(
            path, f"header of {length / 1e6:.0f} MB is larger than the {MAX_HEADER_BYTES / 1e6:.0f} MB that are read"
        )
    file.seek(8)
    return file.read(length)


def _validate(path: Path) -> None:
    """Overlaps, holes, truncation, bad shapes and deep nesting are found by the reference implementation."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):
            pass
    except SafetensorError as error:
        _refuse(path, f"corrupt safetensors file: {' '.join(str(error).split())[:200]}")


def _parse(path: Path, raw: bytes) -> tuple[dict[str, str], dict[str, _Tensor]]:
    """safe_open accepts repeated tensor keys and attribute-like names; both are refused here."""

    def compact(pairs: list[tuple[str, Any]]) -> Any:
        entry = dict(pairs)
        if isinstance(entry.get("shape"), list) and isinstance(entry.get("data_offsets"), list):
            return _Tensor(entry["dtype"], tuple(entry["shape"]), entry["data_offsets"][0])
        if len(entry) < len(pairs):
            (repeated, _), *_ = Counter(key for key, _ in pairs).most_common(1)
            _refuse(path, f"key {repeated[:80]!r} appears twice in the header")
        return entry

    try:
        header = json.loads(raw, object_pairs_hook=compact)
    except (ValueError, RecursionError) as error:
        _refuse(path, f"corrupt header: {str(error)[:200]}")
    if not isinstance(header, dict):
        _refuse(path, "corrupt header: not a JSON object")
    metadata = header.pop("__metadata__", None) or {}
    for key in header:
        if "__" in key and any(part.startswith("__") for part in key.split(".")):
            _refuse(path, f"tensor key {key[:80]!r} names a Python attribute")
    return metadata, header


def _first_alpha(file: BinaryIO, raw: bytes, tensors: dict[str, _Tensor]) -> float | None:
    for key, (dtype, shape, start) in tensors.items():
        if key.endswith(".alpha") and shape in ((), (1,)):
            file.seek(8 + len(raw) + start)
            data = file.read(8)
            if dtype == "BF16":
                return round(struct.unpack("<f", b"\0\0" + data[:2])[0], 4)
            if dtype in _SCALARS:
                width = struct.calcsize(_SCALARS[dtype])
                return round(struct.unpack(_SCALARS[dtype], data[:width])[0], 4)
    return None
