"""Choices go on whatever is wrong with a database: what can be read counts, and one note says what to do."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from intelligence import LearningEngine, MemoryManager, ModelEvidence, ModelRegistry, StorageError
from intelligence.config import LoRAPreferences
from intelligence.database import store_file
from intelligence.generation.planner import Planner
from intelligence.memory import MemoryRequest
from intelligence.memory.corrections import Corrections
from intelligence.models import Architecture
from intelligence.records import Reason
from tests.model_fixtures import model  # noqa: F401

FILES = ("learning.db", "memory.db", "registry.db", "corrections.db")
SDXL = ModelEvidence(name="sd_xl_base_1.0.safetensors", architecture=Architecture.SDXL)
PROMPT = "portrait of the mirkwood witch in a forest"


def planner(home: Path) -> Planner:
    return Planner(
        ModelRegistry(home / "registry.db"), LearningEngine(home / "learning.db"), MemoryManager(home / "memory.db")
    )


def close(stores: Planner) -> None:
    for store in (stores.registry, stores.learning, stores.memory.database):
        if store is not None:
            store.close()


def choose(stores: Planner, library: Path) -> tuple[list[str], list[Reason]]:
    """Scan, choose and plan as a run does: the LoRAs, and the notes on databases."""
    try:
        stores.registry.scan([library])
    except StorageError as error:
        assert "learning" not in str(error)
    found = stores.recommend(stores.analyze(PROMPT), SDXL, LoRAPreferences())
    stores.memory.plan(512, 512)
    notes = [reason for reason in found.reasons if reason.setting in ("library", "ratings", "memory", "corrections")]
    return [lora.lora_name for lora in found.suggested_loras], notes


@pytest.fixture
def library(tmp_path: Path, model: Callable[..., Path]) -> Path:  # noqa: F811
    folder = tmp_path / "loras"
    folder.mkdir()
    model(folder / "mirkwood_witch.safetensors", metadata={"ss_output_name": "mirkwood_witch"})
    return folder


@pytest.fixture
def home(tmp_path: Path, library: Path) -> Path:
    """A data folder in use: a scanned LoRA with a correction, 40 generations, 20 of them rated, a measurement."""
    home = tmp_path / "home"
    fill(home, library)
    return home


def fill(home: Path, library: Path) -> None:
    stores = planner(home)
    stores.registry.scan([library])
    stores.registry.correct("mirkwood_witch", strength=0.7)
    for number in range(40):
        stores.learning.record_generation(f"g{number}", [f"g{number}-0"], {"number": number, "text": "x" * 2000})
        if number % 2:
            stores.learning.record_feedback(f"g{number}", 1 + number % 5)
    Corrections(home / "memory.db").add("cuda", "unet", 1.2)
    assert choose(stores, library) == (["mirkwood_witch"], [])
    stores.learning.database.back_up()
    close(stores)


def damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "header":
        content[:200] = os.urandom(200)
    elif kind == "middle":
        page = 4096
        for start in range(page * 3, len(content) - page, page * 3):
            content[start : start + page] = os.urandom(page)
    elif kind == "cut":
        del content[len(content) // 2 :]
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["header", "middle", "cut"])
@pytest.mark.parametrize("name", FILES)
def test_damaged_file_is_set_aside_and_choices_go_on(home: Path, library: Path, name: str, kind: str) -> None:
    damage(home / name, kind)
    (home / f"{name}-wal").write_bytes(b"of the damaged file")
    stores = planner(home)
    loras, notes = choose(stores, library)
    assert loras == ["mirkwood_witch"]
    again = choose(stores, library)
    assert again[0] == ["mirkwood_witch"]
    for reason in (*notes, *again[1]):
        assert name in reason.evidence
    aside = [path.name for path in home.glob(f"{name}.damaged-*")]
    assert len([each for each in aside if not each.endswith(("-wal", "-shm"))]) <= 1
    if aside:
        assert any("made anew" in reason.evidence for reason in (*notes, *again[1]))
    stores.learning.record_feedback("g1", 5)
    assert [one.rating for one in stores.learning.ratings("g1")] == [5]
    close(stores)


@pytest.mark.parametrize("kind", ["header", "middle", "cut"])
def test_ratings_come_back_from_rows_and_backup(home: Path, kind: str) -> None:
    """Ratings stored after the backup come back as far as they can be read; nothing that was taken back does."""
    with closing(LearningEngine(home / "learning.db")) as learning:
        learning.remove_feedback("g1")
        learning.record_feedback("g3", 5, "later")
        learning.record_generation("late", ["late-0"], {})
        learning.record_feedback("late", 2)
    damage(home / "learning.db", kind)
    with closing(LearningEngine(home / "learning.db")) as learning:
        counts = learning.counts()
        assert counts.generations >= 40
        assert counts.ratings >= 19
        assert {one.generation_id for one in learning.list_generations(50)} >= {f"g{number}" for number in range(40)}
        kept = {f"g{number}": [one.rating for one in learning.ratings(f"g{number}")] for number in range(5, 40)}
        assert kept == {f"g{number}": [1 + number % 5] * (number % 2) for number in range(5, 40)}
        (note,) = [learning.database.recovered]
        assert note is not None and note.aside.exists()
        with learning.database.read() as db:
            assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


@pytest.mark.parametrize("name", FILES)
def test_file_of_newer_version_is_read_and_kept(home: Path, library: Path, name: str) -> None:
    with closing(sqlite3.connect(home / name)) as db:
        db.execute("PRAGMA user_version = 99")
    before = (home / name).read_bytes()
    stores = planner(home)
    loras, _ = choose(stores, library)
    _, notes = choose(stores, library)
    assert loras == ["mirkwood_witch"]
    (note,) = notes
    assert "newer version" in note.evidence and "update" in note.evidence
    assert len(stores.learning.ratings("g1")) == 1
    close(stores)
    assert (home / name).read_bytes() == before


HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA locking_mode = EXCLUSIVE")
db.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("name", ["learning.db", "registry.db"])
def test_file_held_by_another_program(home: Path, library: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy, ending the program, works at once and without a restart."""
    monkeypatch.setattr(store_file, "READ_SECONDS", 0.1)
    monkeypatch.setattr(store_file, "WRITE_SECONDS", 0.3)
    monkeypatch.setattr(store_file, "RETRY_SECONDS", 0.0)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home / name)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline()
    stores = planner(home)
    assert choose(stores, library)[0] == ["mirkwood_witch"]
    if name == "learning.db":
        with pytest.raises(StorageError, match="another program"):
            stores.learning.record_feedback("g1", 5)
    process.communicate()
    assert choose(stores, library) == (["mirkwood_witch"], [])
    assert stores.learning.record_feedback("g1", 5).rating == 5
    close(stores)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", place], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_full_disk(disk: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_file, "RETRY_SECONDS", 0.0)
    home = disk / "home"
    fill(home, library)
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(bytes(64 * 1024))
    stores = planner(home)
    assert choose(stores, library)[0] == ["mirkwood_witch"]
    with pytest.raises(StorageError, match="is full; free some space"):
        for number in range(200):
            stores.learning.record_generation(f"n{number}", [f"n{number}-0"], {"text": os.urandom(40_000).hex()})
    assert len(stores.learning.ratings("g1")) == 1
    assert choose(stores, library)[0] == ["mirkwood_witch"]
    filler.unlink()
    assert stores.learning.record_feedback("g1", 5).rating == 5
    assert choose(stores, library) == (["mirkwood_witch"], [])
    close(stores)


def test_read_only_disk(disk: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_file, "RETRY_SECONDS", 0.0)
    home = disk / "home"
    fill(home, library)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    stores = planner(home)
    loras, notes = choose(stores, library)
    assert loras == ["mirkwood_witch"]
    loras, notes = choose(stores, library)
    assert all("writable" in note.evidence for note in notes) and notes
    assert len(stores.learning.ratings("g1")) == 1
    with pytest.raises(StorageError, match="writable"):
        stores.learning.record_feedback("g1", 5)
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert stores.learning.record_feedback("g1", 5).rating == 5
    assert choose(stores, library) == (["mirkwood_witch"], [])
    close(stores)


def test_replaced_file_is_noticed_before_a_rating_is_acknowledged(home: Path, tmp_path: Path) -> None:
    path = home / "learning.db"
    with closing(LearningEngine(path)) as learning:
        learning.record_feedback("g2", 4)
        learning.database.back_up()
        shutil.copy(learning.database.backup_path, tmp_path / "other")
        revision = learning.revision
        (tmp_path / "other").replace(path)
        learning.record_feedback("g2", 5)
        assert learning.revision != revision
    with closing(LearningEngine(path)) as learning:
        assert [one.rating for one in learning.ratings("g2")] == [5]
        path.unlink()
        assert learning.list_generations() == []
        learning.record_generation("new", ["new-0"], {})
        assert learning.record_feedback("new", 3).rating == 3
    with closing(LearningEngine(path)) as learning:
        assert learning.counts() == (1, 1)


def test_backup_is_written_once_a_day(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []
    monkeypatch.setattr(store_file.Database, "_back_up_quietly", lambda database: written.append(database.path))
    for age, expected in ((0, 0), (-1000, 1), (2 * 24 * 3600, 1)):  # the second: a clock set back
        backup = home / "learning.db.backup"
        os.utime(backup, (backup.stat().st_atime, time.time() - age))
        written.clear()
        with closing(LearningEngine(home / "learning.db")) as learning:
            learning.record_feedback("g2", 3)
            learning.record_feedback("g2", 4)
        for thread in threading.enumerate():
            if thread.name == "intelligent-generation-backup":
                thread.join()
        assert len(written) == expected


def test_forgotten_words_are_in_no_copy(home: Path) -> None:
    with closing(LearningEngine(home / "learning.db")) as learning:
        analysis = {"prompt_analysis": {"prompt": "zorblax"}}
        learning.record_generation("g", ["g-0"], {"plan": {"recommendations": analysis}})
        learning.database.back_up()
        (home / "learning.db.v3.backup").write_bytes(b"zorblax")
        assert learning.forget_prompt("Zorblax") == 1
        assert not (home / "learning.db.v3.backup").exists()
    with closing(LearningEngine(home / "learning.db.backup")) as copy:
        assert copy.counts() == (40, 20)


def test_plan_needs_no_memory_database(tmp_path: Path) -> None:
    manager = MemoryManager(tmp_path)  # a folder
    assert manager.plan(MemoryRequest(512, 512)).fits
