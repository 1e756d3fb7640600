"""The planner of this server, with its registry and its ratings, and the configuration that it reads."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import folder_paths

from ...intelligence.config import HOME_VARIABLE, HistorySettings, ServerSettings, data_folder, user_settings
from ...intelligence.errors import InvalidInputError
from .users import current_user

if TYPE_CHECKING:
    from ...intelligence.generation.planner import Planner
    from ...intelligence.lora.lora_sets import LoRASets

VOCABULARY_FILE = "vocabulary.json"


def home() -> Path:
    """Return the pack's data folder, which no HTTP route serves: it lies in ComfyUI's system user directory."""
    if os.environ.get(HOME_VARIABLE):
        return data_folder()
    return Path(folder_paths.get_system_user_directory("intelligent_generation"))


def planner() -> Planner:
    """Return the planner over this server's library, and the ratings of the user for whom it is called."""
    return _planner(current_user())


@cache
def _planner(user: str) -> Planner:
    from ...intelligence.generation.planner import Planner
    from ...intelligence.history.own_pictures import HISTORY_FILE, PictureHistory
    from ...intelligence.learning import LearningEngine
    from ...intelligence.memory import COMFYUI, MemoryManager
    from ...intelligence.registry import ModelRegistry

    folder = home()
    if user:
        shared = _planner("")
        return replace(shared, learning=LearningEngine(folder / "users" / _folder_name(user) / "learning.db"))
    return Planner(
        ModelRegistry(folder / "registry.db"),
        LearningEngine(folder / "learning.db"),
        MemoryManager(folder / "memory.db", COMFYUI),
        families=folder / "families.json",
        vocabulary=folder / VOCABULARY_FILE,
        history=PictureHistory(folder / HISTORY_FILE, _history_settings()),
    )


def _folder_name(user: str) -> str:
    """Return a name for a user's folder that every file system takes and no other user has."""
    readable = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in user)[:40]
    return f"{readable}-{hashlib.sha256(user.encode()).hexdigest()[:12]}"


def _history_settings() -> HistorySettings:
    """Return what `config.json` says of pictures; that they are not read, where it has a mistake."""
    try:
        return settings().history
    except InvalidInputError as error:
        logging.warning("Intelligent Generation: pictures are not read: %s", error)
        return HistorySettings(read=False)


def lora_sets() -> LoRASets:
    """Return the sets of LoRAs that the user keeps, and those used always. Raises InvalidInputError."""
    from ...intelligence.lora.lora_sets import LoRASets

    return LoRASets.read(home())


def settings() -> ServerSettings:
    """Return what `config.json` of the data folder says, or the defaults. Raises InvalidInputError."""
    return user_settings(home())
