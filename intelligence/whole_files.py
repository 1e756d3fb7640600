"""Files that appear whole or not at all."""

from __future__ import annotations

import itertools
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

Result = TypeVar("Result")

LEFT_SECONDS = 60.0
"""Age of a temporary file from which no process is writing it any more."""


def new_file(folder: Path) -> tuple[int, Path]:
    """Make a file of a new, short name, with the rights that the umask gives. Returns its descriptor and its path."""
    temporary = folder / f".{secrets.token_hex(8)}.tmp"
    return os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0), 0o666), temporary


def write_whole(path: Path, write: Callable[[BinaryIO], Result]) -> Result:
    """Write a file by `write`, so that it appears whole or not at all, with the rights that new files get here.

    Its content is on the disk before its name is, so that this holds where the power fails too. A device or a pipe
    stays one, and is written to.

    Returns what `write` returns. Raises OSError.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("wb") as special:
            return write(special)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = new_file(path.parent)
    try:
        with os.fdopen(handle, "w+b") as file:
            result = write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return result


def keep_names(folder: Path) -> None:
    """Have the names of a folder's files on the disk, where the system can: a row that tells of them may follow."""
    with suppress(OSError):  # Windows opens no folder; some file systems of a network keep none apart
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def unused(path: Path, is_used: Callable[[Path], bool] = Path.exists) -> Path:
    """Return the path, or the first of `NAME-2`, `NAME-3` … beside it that is not used."""
    names = (path if number == 1 else path.with_stem(f"{path.stem}-{number}") for number in itertools.count(1))
    return next(each for each in names if not is_used(each))


def remove_leftovers(folder: Path, seconds: float = LEFT_SECONDS) -> None:
    """Delete the temporary files, older than `seconds`, that killed processes left in a folder."""
    for path in folder.glob(f".{'?' * 16}.tmp"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > seconds:
                path.unlink()
