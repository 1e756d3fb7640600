"""JSON files that users write into the data folder: `config.json`, `families.json`, `vocabulary.json`."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from .errors import InvalidInputError
from .validation import validated

T = TypeVar("T")


def read_user_file(path: Path, form: type[T]) -> T | None:
    """Return the file's content as `form` (a record or pydantic model), or None where there is no file.

    A file is read again only after it has changed, so the content is shared: do not edit it.

    Raises:
        InvalidInputError: names the file, the place in it, what must stand there, and the remedy.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read ({error.strerror}); make it readable") from None
    content: T = _read(path, form, status.st_mtime_ns, status.st_size)  # type: ignore[arg-type]
    return content


@lru_cache(maxsize=16)
def _read(path: Path, form: Any, modified: int, size: int) -> Any:
    """`modified` and `size` tell one state of the file from another."""
    try:
        return validated(form, json.loads(path.read_text(encoding="utf-8-sig")))
    except InvalidInputError as error:
        problem = str(error)
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except (ValueError, RecursionError) as error:
        problem = f"not JSON ({error})"
    raise InvalidInputError(f"{path}: {problem}; correct the file, or move it away to use the defaults")
