"""Answers of the routes behind the pack's settings: `config.json` of the data folder, read and changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..intelligence.config import ServerSettings, require
from ..intelligence.errors import StorageError
from ..intelligence.pictures.picture_files import write_whole
from ..intelligence.validation import validated
from .host.server_planner import CONFIG_FILE, home, settings

Arguments = Mapping[str, Any]

CHANGEABLE = {"ollama": ("base_url", "model")}
"""Setting → its parts that a page may change; the others, such as trusted hosts, are for an editor alone."""


def change_settings(arguments: Arguments) -> dict[str, Any]:
    """Change settings: {"ollama": {"model": …}}; what is not named stays. Returns what can be changed."""
    path = home() / CONFIG_FILE
    settings()  # a file with a mistake is told, not overwritten
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8-sig")) if path.exists() else {}
    for name, parts in arguments.items():
        require(name in CHANGEABLE, f"only {', '.join(CHANGEABLE)} can be changed here, not {name[:40]!r}")
        require(isinstance(parts, dict), f"{name!r} must be a JSON object")
        for part in parts:
            require(part in CHANGEABLE[name], f"only {', '.join(CHANGEABLE[name])} of {name!r} can be changed here")
        known[name] = {**known.get(name, {}), **parts}
    validated(ServerSettings, known)
    text = json.dumps(known, ensure_ascii=False, indent=1)
    try:
        write_whole(path, lambda file: file.write(text.encode()))
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from None
    return current_settings({})


def current_settings(arguments: Arguments) -> dict[str, Any]:
    """Return the settings that a page may change."""
    found = settings()
    return {name: {part: getattr(getattr(found, name), part) for part in parts} for name, parts in CHANGEABLE.items()}


GET = {"/settings": current_settings}
POST = {"/settings": change_settings}
