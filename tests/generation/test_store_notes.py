"""Notes on databases that cannot be used."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from intelligence.config import HOME_VARIABLE
from intelligence.generation.store_notes import store_notes
from intelligence.learning import LearningEngine
from intelligence.memory import MemoryManager
from intelligence.registry import ModelRegistry


def test_store_notes_name_the_file_without_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "data"
    home.mkdir()
    monkeypatch.setenv(HOME_VARIABLE, str(home))
    with closing(sqlite3.connect(home / "learning.db")) as newer:
        newer.execute("PRAGMA user_version = 9999")
    (note,) = store_notes(ModelRegistry(), LearningEngine(), MemoryManager(home / "memory.db"))
    assert f"{home.name}/learning.db" in note.evidence
    assert str(home) not in note.evidence
