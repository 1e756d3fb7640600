"""The one planner of this server: its registry, its ratings, and the folders that ComfyUI configures."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import folder_paths

from ...intelligence.config import HOME_VARIABLE, OllamaConfig, data_folder
from ...intelligence.errors import InvalidInputError

if TYPE_CHECKING:
    from ...intelligence.generation.planner import Planner

FOLDERS = {"lora": "loras", "checkpoint": "checkpoints"}
"""`registry.ModelKind` → ComfyUI's folder name."""


def home() -> Path:
    """The pack's data folder: in ComfyUI's system user directory, which no HTTP route serves."""
    if os.environ.get(HOME_VARIABLE):
        return data_folder()
    return Path(folder_paths.get_system_user_directory("intelligent_generation"))


@cache
def planner() -> Planner:
    """The stages over this server's library and ratings."""
    from ...intelligence.generation.planner import Planner
    from ...intelligence.learning import LearningEngine
    from ...intelligence.registry import ModelRegistry

    folder = home()
    return Planner(ModelRegistry(folder / "registry.db"), LearningEngine(folder / "learning.db"))


def refresh() -> None:
    """Bring the registry up to date with ComfyUI's model folders (incremental)."""
    planner().registry.scan({kind: folder_paths.get_folder_paths(name) for kind, name in FOLDERS.items()})


def decision_revision() -> str:
    """Changes when a choice may come out differently: after ratings, removals, and changes of the library."""
    refresh()
    return f"{planner().registry.revision}:{planner().learning.revision}"


def settings() -> dict[str, Any]:
    """`config.json` of the data folder, or nothing: `ollama` (`base_url`, `model`) and `allowed_hosts` (a list of
    host names under which the pack's routes answer). Never taken from a workflow.

    Raises InvalidInputError for a file that is no JSON object.
    """
    path = home() / "config.json"
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidInputError(f"{path}: must hold a JSON object")
    return found


def ollama_config() -> OllamaConfig:
    """The Ollama server that the settings name, or the default one on this machine. Raises InvalidInputError."""
    return OllamaConfig.from_dict(settings().get("ollama", {}))
