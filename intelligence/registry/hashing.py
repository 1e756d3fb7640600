"""Hashes of model files, computed in the background and stored one by one."""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UnsupportedModelError
from ..hubs.hub_work import Cancelled
from ..models.headers import read_header
from ..models.kinds import ModelKind
from ..models.metadata import ModelMetadata
from ..records import Record
from .model_store import Hashes, ModelStore

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class HashReport(Record):
    """The result of `hash_models`."""

    hashed: int = 0
    remaining: int = 0
    """Number of files that still have no hash: those with problems, and those after a stop."""
    bytes_read: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    """Path → why it could not be hashed."""
    seconds: float = 0.0
    cancelled: bool = False


def hash_file(
    path: str | Path, cancelled: Cancelled | None = None, max_bytes_per_second: float | None = None
) -> Hashes | None:
    """Return the hashes of the safetensors file at `path`; None when cancelled. Raises OSError."""
    whole, payload = hashlib.sha256(), hashlib.sha256()
    done = 0
    with Path(path).open("rb") as file:
        start = file.read(8)
        whole.update(start)
        header = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        while not (cancelled and cancelled()):
            started = time.monotonic()
            chunk = file.read(CHUNK_BYTES)
            if not chunk:
                return Hashes(whole.hexdigest(), payload.hexdigest()[:12])
            whole.update(chunk)
            payload.update(memoryview(chunk)[max(0, header - done) :])
            done += len(chunk)
            if max_bytes_per_second:
                time.sleep(max(0.0, len(chunk) / max_bytes_per_second - (time.monotonic() - started)))
    return None


def hash_models(
    store: ModelStore,
    kinds: Collection[ModelKind] | None,
    on_progress: Callable[[int, int], None] | None,
    cancelled: Cancelled | None,
    max_bytes_per_second: float | None,
) -> HashReport:
    started = time.monotonic()
    waiting = [file for file in store.unhashed() if kinds is None or file.kind in kinds]
    problems: dict[str, str] = {}
    hashed = bytes_read = 0
    stopped = False
    for number, file in enumerate(waiting, 1):
        stopped = bool(cancelled and cancelled())
        if stopped:
            break
        try:
            stat = Path(file.local_path).stat()
            if (stat.st_size, stat.st_mtime_ns) != (file.size, file.mtime_ns):
                problems[file.local_path] = "changed since the last scan; scan its folder first"
                continue
            found = hash_file(file.local_path, cancelled, max_bytes_per_second)
        except OSError as error:
            problems[file.local_path] = f"cannot be read: {error.strerror}"
            continue
        stopped = found is None
        if found is None:
            break
        store.put_hash(file, *found)
        hashed += 1
        bytes_read += file.size
        if on_progress:
            on_progress(number, len(waiting))
    seconds = round(time.monotonic() - started, 3)
    return HashReport(hashed, len(waiting) - hashed, bytes_read, problems, seconds, stopped)


def mismatch(record: ModelMetadata) -> str | None:
    """Return the fault of the file of `record`: a bad header, or other hashes than recorded; None: it has none."""
    path = Path(record.local_path)
    try:
        read_header(path)
        found = hash_file(path)
    except UnsupportedModelError as error:
        return str(error)
    except OSError as error:
        return f"{path.name}: cannot be read ({error.strerror})"
    if found is None:
        return None
    known = {
        "SHA-256": (record.sha256, found.sha256),
        "AutoV2": (record.autov2, found.sha256[:10]),
        "AutoV3": (record.autov3, found.autov3),
    }
    wrong = [
        f"its {name} is {computed}, but {recorded} is on record"
        for name, (recorded, computed) in known.items()
        if recorded and recorded.lower() != computed[: len(recorded)]
    ]
    return f"{path.name}: {'; '.join(wrong)}" if wrong else None
