"""Files and folders that users and strangers name: looked for, and read up to a size."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InvalidInputError

MAX_GIVEN_BYTES = 256 * 1024 * 1024
"""Size of the largest file of JSON that is read because the user names it."""


def expanded(path: str | Path) -> Path:
    """Return a path whose `~` is the user's home, where there is such a user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises RuntimeError for a user who is none


def is_file(path: str | Path) -> bool:
    """Return True if a file is there; False also for a name that none can have, where `Path.is_file` raises."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: str | Path) -> bool:
    """Return True if a folder is there; False also for a share that does not answer, where `Path.is_dir` raises."""
    return os.path.isdir(path)  # noqa: PTH112


def read_capped(path: Path, limit: int) -> bytes:
    """Return the bytes of a file, pipe or device. Raises ValueError where there are more than `limit`, and OSError."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size  # 0 for pipes and devices; a buffer of the limit's size costs more time
        data = file.read(min(size or limit, limit) + 1)
    if len(data) > limit:
        raise ValueError(f"larger than {limit // 1024 // 1024} MB")
    return data


def given_text(path: Path, limit: int = MAX_GIVEN_BYTES) -> str:
    """Return the text of a file that the user names. Raises InvalidInputError with its path and the reason."""
    try:
        return read_capped(path, limit).decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or str(error)
    except UnicodeDecodeError as error:
        reason = f"no UTF-8 text: {error}"
    except ValueError as error:
        reason = str(error)
    raise InvalidInputError(f"{path}: cannot be read ({reason})")
