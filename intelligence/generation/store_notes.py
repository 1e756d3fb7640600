"""Notes on databases that cannot be used, or were made anew: the cause, the remedy, and what came back.

They are saved in pictures, so none tells where the data folder lies.
"""

from __future__ import annotations

from ..config import data_folder
from ..database import Database
from ..errors import StorageError
from ..learning import LearningEngine
from ..memory import MemoryManager
from ..records import Reason, Source
from ..registry import ModelRegistry
from .generation_messages import GenerationMessage


def store_notes(registry: ModelRegistry, learning: LearningEngine, memory: MemoryManager) -> tuple[Reason, ...]:
    """Return a note for each database that is not what it should be; none of them stops a choice."""
    databases = (
        ("library", registry.store.database, GenerationMessage.LIBRARY_IN_MEMORY),
        ("corrections", registry.store.corrections.database, GenerationMessage.CORRECTIONS_AS_READ),
        ("ratings", learning.database, GenerationMessage.RATINGS_AS_READ),
        ("memory", memory.database, GenerationMessage.MEMORY_IN_MEMORY),
    )
    found = []
    for setting, database, meanwhile in databases:
        if database is None:
            continue
        database.check()
        if database.problem is not None:
            found.append(Reason.of(setting, Source.DEFAULT, meanwhile, problem=_without_folder(database.problem)))
        if database.recovered is not None:
            found.append(_recovered(setting, database, learning))
    return tuple(found)


def _recovered(setting: str, database: Database, learning: LearningEngine) -> Reason:
    aside = database.recovered.aside.name if database.recovered else ""
    rows = database.recovered.before + database.recovered.added if database.recovered else 0
    if database is not learning.database:
        message = GenerationMessage.STORE_MADE_ANEW
        return Reason.of(setting, Source.DEFAULT, message, file=database.path.name, rows=rows, aside=aside)
    counts = learning.counts()
    return Reason.of(
        setting,
        Source.DEFAULT,
        GenerationMessage.RATINGS_MADE_ANEW,
        file=database.path.name,
        ratings=counts.ratings,
        generations=counts.generations,
        aside=aside,
    )


def scan_note(error: StorageError) -> Reason:
    """Return the note on a library that cannot be read anew."""
    return Reason.of("library", Source.DEFAULT, GenerationMessage.LIBRARY_NOT_READ, problem=_without_folder(error))


def _without_folder(error: StorageError) -> str:
    return str(error).replace(str(data_folder()), data_folder().name)
