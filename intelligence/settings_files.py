"""Settings as files that people write, keep and share: TOML and JSON of one schema."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import InvalidInputError, MissingDependencyError, StorageError, install_command
from .given_files import given_text
from .whole_files import write_whole

SCHEMA_KEY = "$schema"
"""Names the JSON Schema in a file, for editors; it is no setting."""

READERS: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": json.loads}
"""Ending of a file → what reads its text."""


def is_settings_file(path: Path) -> bool:
    """Return True where the name ends in .toml or .json."""
    return path.suffix.lower() in READERS


def read_settings(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file, or the object of a JSON file.

    Raises:
        InvalidInputError: there is no such file, it cannot be read, or it is neither.
    """
    if not is_settings_file(path):
        raise InvalidInputError(f"{path}: settings are read from .toml and .json files")
    text = given_text(path)
    try:
        content = READERS[path.suffix.lower()](text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path}: not {path.suffix[1:].upper()} ({error})") from None
    if not isinstance(content, dict):
        raise InvalidInputError(f"{path}: must hold an object of settings, got {type(content).__name__}")
    content.pop(SCHEMA_KEY, None)
    return content


def write_settings(path: Path, values: dict[str, Any]) -> None:
    """Write settings as TOML or JSON, by the ending of the name; what is None is left out.

    Raises:
        InvalidInputError: another ending.
        MissingDependencyError: TOML is written by the package tomli-w.
        StorageError: the file cannot be written.
    """
    if not is_settings_file(path):
        raise InvalidInputError(f"{path}: settings are written as .toml or .json")
    given = _without_none(values)
    text = _toml(given) if path.suffix.lower() == ".toml" else json.dumps(given, ensure_ascii=False, indent=2) + "\n"
    try:
        write_whole(path, lambda file: file.write(text.encode()))
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from error


def _toml(values: dict[str, Any]) -> str:
    try:
        import tomli_w
    except ImportError:
        raise MissingDependencyError(f"writing TOML needs tomli-w: {install_command('standalone')}") from None
    return tomli_w.dumps(values)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(part) for key, part in value.items() if part is not None}
    return value
