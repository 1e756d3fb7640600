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
from .database_messages import DatabaseMessage as Text

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
    sqlite3.SQLITE_BUSY: Text.IN_USE,
    sqlite3.SQLITE_LOCKED: Text.IN_USE,
    sqlite3.SQLITE_CORRUPT: Text.DAMAGED,
    sqlite3.SQLITE_NOTADB: Text.NO_DATABASE,
    sqlite3.SQLITE_FULL: Text.DISK_FULL,
    sqlite3.SQLITE_READONLY: Text.READ_ONLY,
    sqlite3.SQLITE_IOERR: Text.DISK_ERROR,
}
"""Result code of SQLite → the cause and its remedy."""

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
    cause = _REMEDIES.get(code, Text.UNUSABLE).format(path=path, error=error)
    return Text.OR_OTHER_FOLDER.format(cause=cause, variable=HOME_VARIABLE)


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
