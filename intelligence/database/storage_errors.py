"""Errors of SQLite and the file system as StorageErrors that name cause and remedy."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..config import HOME_VARIABLE
from ..errors import StorageError

MIN_FREE_BYTES = 16 * 1024**2
"""Free space from which a full disk is written to again."""


class Changed(StorageError):
    """The file was set aside, or a copy in memory takes its place now: the same call can be made again."""


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and the file system into a StorageError with the remedy."""
    try:
        yield
    except StorageError:
        raise
    except (sqlite3.Error, OSError) as error:
        raise StorageError(explain(path, error)) from error


_REMEDIES = {
    sqlite3.SQLITE_BUSY: "{path} is in use by another program; close it, or a second ComfyUI, or wait for its backup",
    sqlite3.SQLITE_LOCKED: "{path} is in use by another program; close it, or a second ComfyUI, or wait for its backup",
    sqlite3.SQLITE_CORRUPT: "{path} is damaged ({error}) and cannot be renamed; move it away ",
    sqlite3.SQLITE_NOTADB: "{path} is no SQLite database ({error}) and cannot be renamed; move it away",
    sqlite3.SQLITE_FULL: "the disk that holds {path} is full; free some space (what was stored before is intact)",
    sqlite3.SQLITE_READONLY: "{path} is read-only; make the file and its folder writable",
    sqlite3.SQLITE_IOERR: "the disk that holds {path} reports an error ({error}); check it, copy the folder elsewhere",
}
"""Result code of SQLite → the cause and its remedy; all are tried again by themselves."""

_OTHER = "cannot use the database {path}: {error}; make its folder writable"

_CODES = {
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EDQUOT: sqlite3.SQLITE_FULL,
    errno.EROFS: sqlite3.SQLITE_READONLY,
    errno.EACCES: sqlite3.SQLITE_READONLY,
    errno.EPERM: sqlite3.SQLITE_READONLY,
    errno.EIO: sqlite3.SQLITE_IOERR,
}


def explain(path: Path, error: Exception) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF or _CODES.get(getattr(error, "errno", 0) or 0, 0)
    cause = _REMEDIES.get(code, _OTHER).format(path=path, error=error)
    return f"{cause}, or name another data folder in the environment variable {HOME_VARIABLE}"


def check_space(folder: Path) -> None:
    """Raise OSError where the disk is full."""
    import shutil

    if shutil.disk_usage(folder).free < MIN_FREE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
