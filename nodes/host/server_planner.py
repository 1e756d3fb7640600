"""The planner of this server, with its registry and its ratings, and the configuration that it reads."""

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


def home() -> Path:
    """Return the pack's data folder, which no HTTP route serves: it lies in ComfyUI's system user directory."""
    if os.environ.get(HOME_VARIABLE):
        return data_folder()
    return Path(folder_paths.get_system_user_directory("intelligent_generation"))


@cache
def planner() -> Planner:
    """Return the one planner over this server's library and ratings."""
    from ...intelligence.generation.planner import Planner
    from ...intelligence.learning import LearningEngine
    from ...intelligence.memory import COMFYUI, MemoryManager
    from ...intelligence.registry import ModelRegistry

    folder = home()
    return Planner(
        ModelRegistry(folder / "registry.db"),
        LearningEngine(folder / "learning.db"),
        MemoryManager(folder / "memory.db", COMFYUI),
        families=folder / "families.json",
        vocabulary=folder / "vocabulary.json",
    )


def settings() -> dict[str, Any]:
    """Return `config.json` of the data folder, or an empty dictionary. It is never taken from a workflow.

    Keys: `ollama` (`base_url`, `model`), `allowed_hosts` (a list of host names under which the pack's routes answer)
    and `hash_megabytes_per_second` (0: files are not hashed in the background).

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
    """Return the Ollama server that the settings name, or the default one on this machine. Raises InvalidInputError."""
    return OllamaConfig.from_dict(settings().get("ollama", {}))
