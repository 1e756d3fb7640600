"""Files from model hubs: resumed where the source allows it, checked, and complete under their final names."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import HubError, InvalidInputError, UnsupportedModelError
from ..given_files import read_capped
from ..models.headers import read_header
from ..models.sanitize import as_dict, parse_json, safe_file_name
from .hub_http import MAX_REDIRECTS, missing_hubs, open_response
from .hub_work import Control, TryAgainError

MAX_UNANNOUNCED_BYTES = 32 * 1024**3
"""Largest file whose size is not announced."""

PARTIAL_PREFIX = ".download-"

_LOCK_POLL_SECONDS = 0.5
_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/xhtml")


@dataclass(frozen=True)
class Download:
    """A file to download, and how it is recognised."""

    url: str
    file_name: str
    sha256: str | None = None
    token: str | None = field(default=None, repr=False)
    """Bearer token for the origin of `url`; it is not sent to any other."""
    size: int | None = None
    """Bytes, as announced by the hub's record."""


def download_file(download: Download, folder: Path, control: Control | None = None) -> Path:
    """Return the path of the downloaded file in `folder`, complete and checked.

    A file that is already there with the same hash is kept. An interrupted download is resumed by the next call where
    the source still has the same file (by its ETag) and sends parts of it; else it starts again. Of several calls at
    once, in any process, one downloads and the others wait.

    Raises:
        HubError: refused, unreachable, cut off, not a safetensors file, larger than announced, another hash than
            promised, or another file of this name is already there. Nothing new lies under the final name then.
        HubCancelledError: `control.cancelled` returned True.
        InvalidInputError: the folder lies in custom_nodes.
    """
    control = control or Control()
    if safe_file_name(download.file_name) != download.file_name:
        raise HubError(f"{download.file_name[:80]!r} cannot be the name of a file here")
    final = checked_folder(folder) / download.file_name
    with writable(folder), download_lock(final, control):
        if final.exists():
            if download.sha256 and sha256_of(final) == download.sha256.lower():
                return final
            raise HubError(f"{final} already exists and is another file; pass another folder=")
        part = _Part.of(download, folder)
        try:
            resumed = control.retry(lambda: _receive(download, part, control), patient=True)
            if resumed and download.sha256 and sha256_of(part.path) != download.sha256.lower():
                part.discard()
                control.retry(lambda: _receive(download, part, control), patient=True)
            try:
                verify(part.path, final.name, download.sha256)
            except HubError:
                part.discard()
                raise
            move_into_place(part.path, final)
        finally:
            if not part.resumable().size:
                part.discard()
    return final


def checked_folder(folder: Path) -> Path:
    """Return `folder`. Raises InvalidInputError where models may not be put there."""
    try:
        parts = {part.casefold() for path in (folder.absolute(), folder.resolve()) for part in path.parts}
    except (OSError, ValueError, RuntimeError):
        raise InvalidInputError(f"folder {str(folder)[:200]!r} is no path") from None
    if "custom_nodes" in parts:
        raise InvalidInputError(f"{folder} lies in custom_nodes, where ComfyUI runs code; pass another folder=")
    return folder


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Make `folder` where it is missing, and raise HubError where it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if isinstance(error, HubError):
            raise
        if error.errno == errno.ENOSPC:
            raise HubError(f"the disk that holds {folder} is full; free some space and download it again") from None
        raise HubError(f"cannot write to {folder}: {error.strerror or error}") from None


@contextmanager
def download_lock(final: Path, control: Control) -> Iterator[None]:
    """Hold the lock on `final` among all processes of this user; a killed process releases it."""
    try:
        from filelock import FileLock, Timeout
    except ImportError as error:
        raise missing_hubs(error) from None
    from platformdirs import user_cache_path

    locks = user_cache_path("intelligent-generation", appauthor=False) / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(locks / f"{hashlib.sha256(os.fsencode(final.resolve())).hexdigest()[:32]}.lock")
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            control.pause(_LOCK_POLL_SECONDS)
    try:
        yield
    finally:
        lock.release()


def verify(path: Path, name: str, sha256: str | None) -> None:
    """Check a finished download. Raises HubError, which calls it `name`."""
    if sha256 and (found := sha256_of(path)) != sha256.lower():
        raise HubError(f"{name}: SHA-256 {found[:12]}… is not the promised {sha256[:12].lower()}…")
    try:
        read_header(path)
    except UnsupportedModelError as error:
        raise HubError(f"{name}: what arrived is no model: {str(error).partition(': ')[2]}") from None


def move_into_place(path: Path, final: Path) -> None:
    """Move a checked file to its final name, in one step. Raises HubError where a file of this name exists by now."""
    if final.exists():
        raise HubError(f"{final} already exists and is another file; pass another folder=")
    path.chmod(0o644)
    path.replace(final)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class _Received:
    """The beginning of a file that an earlier try left."""

    size: int = 0
    etag: str = ""
    total: int | None = None


@dataclass(frozen=True)
class _Part:
    """An unfinished download, with notes beside it that name the file it belongs to."""

    path: Path
    notes: Path

    @classmethod
    def of(cls, download: Download, folder: Path) -> _Part:
        source = f"{download.file_name}\n{download.sha256 or download.url}"
        name = f"{PARTIAL_PREFIX}{hashlib.sha256(source.encode()).hexdigest()[:16]}.part"
        return cls(folder / name, folder / f"{name}.json")

    def resumable(self) -> _Received:
        """Size 0: nothing can be resumed."""
        try:
            notes = as_dict(parse_json(read_capped(self.notes, 4096)))
            size = self.path.stat().st_size
        except (OSError, ValueError):
            return _Received()
        etag, total = notes.get("etag"), notes.get("total")
        if not isinstance(etag, str) or not etag or not (total is None or (type(total) is int and total >= size)):
            return _Received()
        return _Received(size, etag, total)

    def begin(self, etag: str, total: int | None) -> None:
        """Make the file, empty, with the notes that let it be resumed where the source can do so."""
        self.notes.unlink(missing_ok=True)
        self.path.write_bytes(b"")
        if etag:
            self.notes.write_text(json.dumps({"etag": etag, "total": total}), encoding="utf-8")

    def discard(self) -> None:
        self.notes.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def _receive(download: Download, part: _Part, control: Control) -> bool:
    """Fill `part`, and return whether an earlier try was resumed. Raises TryAgainError, HubError."""
    before = part.resumable()
    if before.size and before.size == before.total and download.sha256:
        return True
    headers = {"Accept-Encoding": "identity"}
    if before.size:
        headers |= {"Range": f"bytes={before.size}-", "If-Range": before.etag}
    where = f"{download.file_name} from {download.url.partition('?')[0]}"
    statuses = (200, 206, 416)
    with open_response(
        download.url, control, headers, token=download.token, redirects=MAX_REDIRECTS, statuses=statuses
    ) as response:
        etag, length = _strong_etag(response), _length(response)
        if response.status_code != 200 and not _resumes(response, before, etag):
            part.discard()
            raise TryAgainError(f"{where}: sent another part than was asked for")
        done = before.size if response.status_code == 206 else 0
        total = None if length is None else done + length
        _refuse_other_content(response, where)
        limit = _limit(download, total)
        if total is not None and total > limit:
            part.discard()
            raise HubError(f"{where}: {total} bytes, but {download.size} were announced")
        free = shutil.disk_usage(part.path.parent).free
        if length is not None and length > free:
            raise HubError(f"{where}: needs {length} bytes, but only {free} are free in {part.path.parent}")
        if not done:
            part.begin(etag, total)
        with part.path.open("ab") as file:
            control.report(done, total or download.size)
            for chunk in response.iter_raw():
                done += len(chunk)
                if done > limit:
                    part.discard()
                    raise HubError(f"{where}: larger than the {limit} bytes that may be expected")
                file.write(chunk)
                control.report(done, total or download.size)
            file.flush()
            os.fsync(file.fileno())
    return response.status_code == 206


def _resumes(response: Any, before: _Received, etag: str) -> bool:
    match = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", response.headers.get("content-range", ""))
    if response.status_code != 206 or match is None or not before.size:
        return False
    same_total = match[2] == "*" or before.total is None or int(match[2]) == before.total
    return int(match[1]) == before.size and etag == before.etag and same_total


def _strong_etag(response: Any) -> str:
    etag = response.headers.get("etag", "")
    return etag if re.fullmatch(r'"[!#-~]{1,200}"', etag) else ""


def _length(response: Any) -> int | None:
    text = response.headers.get("content-length", "")
    return int(text) if re.fullmatch(r"\d{1,18}", text) else None


def _refuse_other_content(response: Any, where: str) -> None:
    kind = response.headers.get("content-type", "").lower()
    if kind.startswith(_TEXT_TYPES):
        raise HubError(f"{where}: sent {kind.partition(';')[0]} instead of the file")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise HubError(f"{where}: sent compressed, which was not asked for")


def _limit(download: Download, total: int | None) -> int:
    """Bytes. Records round sizes, and a header that was changed since may be a little larger."""
    if download.size is not None:
        return download.size + download.size // 100 + 1024 * 1024
    return MAX_UNANNOUNCED_BYTES if total is None else total
