"""Files of pictures: their formats and names, and where they may be written."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ..config import data_folder
from ..errors import InvalidInputError, StorageError
from ..whole_files import new_file, write_whole

FORMATS = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}

LONGEST_NAME = 255
"""Bytes of a file name on the usual file systems."""

NEEDED_BYTES = 64 * 1024**2
"""Free on the disk before a picture is made."""


def picture_format(path: Path) -> str:
    """Return Pillow's name of the format that the suffix names. Raises InvalidInputError."""
    file_format = FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise InvalidInputError(f"cannot save as {path.name!r}: end the name in one of {', '.join(FORMATS)}")
    return file_format


def check_name(path: Path) -> None:
    """Raise InvalidInputError for a folder, for no format's suffix, and for a name too long for a file."""
    if (length := len(os.fsencode(path.name))) > LONGEST_NAME:
        raise InvalidInputError(f"the name {path.name[:20]}… has {length} bytes, at most {LONGEST_NAME} are possible")
    if os.path.isdir(path):  # noqa: PTH112  Path.is_dir raises where a folder's name is too long
        raise InvalidInputError(f"{path} is a folder: name a file in it, such as {path / 'image.png'}")
    picture_format(path)


def check_destination(path: str | Path) -> Path:
    """Return the path of a picture that can be written there. Leaves nothing behind.

    Raises:
        InvalidInputError: no format's suffix, a folder of this name, or a name too long.
        StorageError: the folder cannot be written, or its disk is full.
    """
    path = Path(path)
    check_name(path)
    try:
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not folder.is_dir():
            raise StorageError(f"cannot write {path}: {folder} is no folder")
        if path.exists() and not os.access(path, os.W_OK):
            raise StorageError(f"cannot write {path}: it is read-only")
        _try_writing(folder)
        free = shutil.disk_usage(folder).free
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from None
    if free < NEEDED_BYTES:
        raise StorageError(f"cannot write {path}: its disk has only {free // 1024**2} MiB left")
    return path


def _try_writing(folder: Path) -> None:
    """Raise OSError where no file can be made in a folder: permissions alone do not tell (network drives, /proc)."""
    handle, temporary = new_file(folder)
    os.close(handle)
    temporary.unlink()


def write_in_safe_place(name: str, write: Callable[[BinaryIO], object]) -> Path | None:
    """Write a file that could not be written where it should be; return its path, or None where nowhere takes it."""
    for folder in (data_folder() / "unsaved", Path(tempfile.gettempdir())):
        path = folder / f"{secrets.token_hex(4)}-{shortened(Path(name).stem, 32)}{Path(name).suffix}"
        try:
            write_whole(path, write)
        except OSError:
            continue
        return path
    return None


def shortened(stem: str, spare: int) -> str:
    """Return a file name's stem, cut between letters where `spare` more bytes would make the name too long."""
    room = LONGEST_NAME - spare
    return stem if len(os.fsencode(stem)) <= room else os.fsencode(stem)[:room].decode("utf-8", "ignore")
