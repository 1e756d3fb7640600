"""Answers of the routes behind the pack's settings: files of the data folder, read and changed in part."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..intelligence.config import CONFIG_FILE, ServerSettings, require
from ..intelligence.errors import StorageError
from ..intelligence.validation import read_user_file, validated
from ..intelligence.whole_files import write_whole
from .host.server_planner import VOCABULARY_FILE, home, settings

Arguments = Mapping[str, Any]

OLLAMA_PARTS = ("base_url", "model")
CONFIG_PARTS = ("min_confidence", "hubs", "ollama")
"""Fields of `config.json` that a page may change; the rest, such as trusted hosts, is for an editor alone."""

EXPLICIT = "explicit_words"
"""Entry of `vocabulary.json` with the words that are never added as trigger words unasked."""

MAX_WORDS = 1000


def change_settings(arguments: Arguments) -> dict[str, Any]:
    """Change settings: {"min_confidence": 0.5, "hubs": ["civitai"], "ollama": {"model": …}, "never_add": ["word"]}.

    What is not named stays; null brings the default back. Returns them all.
    """
    unknown = [*arguments.keys() - {*CONFIG_PARTS, "never_add"}]
    allowed = ", ".join((*CONFIG_PARTS, "never_add"))
    require(not unknown, f"only {allowed} can be changed here, not {str(unknown[:1])[:40]}")
    config = {name: arguments[name] for name in CONFIG_PARTS if name in arguments}
    if config:
        _change_config(config)
    if "never_add" in arguments:
        _change_words(arguments["never_add"])
    return current_settings({})


def current_settings(arguments: Arguments) -> dict[str, Any]:
    """Return the settings that a page may change."""
    known = settings()
    return {
        "min_confidence": known.min_confidence,
        "hubs": [*known.hubs],
        "ollama": {part: getattr(known.ollama, part) for part in OLLAMA_PARTS},
        "never_add": _read(home() / VOCABULARY_FILE).get(EXPLICIT, []),
    }


def _change_config(changes: dict[str, Any]) -> None:
    settings()  # a file with a mistake is told, not overwritten
    path = home() / CONFIG_FILE
    known = _read(path)
    if "ollama" in changes:
        parts = changes["ollama"]
        require(isinstance(parts, dict) and parts.keys() <= {*OLLAMA_PARTS}, f"ollama has {', '.join(OLLAMA_PARTS)}")
        changes = {**changes, "ollama": _merged(known.get("ollama", {}), parts)}
    known = _merged(known, changes)
    validated(ServerSettings, known)
    _write(path, known)


def _merged(before: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**before, **changes}.items() if value is not None}


def _change_words(words: Any) -> None:
    valid = isinstance(words, list) and len(words) <= MAX_WORDS and all(isinstance(word, str) for word in words)
    require(valid, f"never_add must be a list of at most {MAX_WORDS} words")
    path = home() / VOCABULARY_FILE
    _write(path, {**_read(path), EXPLICIT: [word.strip() for word in words if word.strip()]})


def _read(path: Path) -> dict[str, Any]:
    return read_user_file(path, dict) or {}


def _write(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=1)
    try:
        write_whole(path, lambda file: file.write(text.encode()))
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from None


GET = {"/settings": current_settings}
POST = {"/settings": change_settings}
