"""Readers in other processes read what this one would: the same rows, whatever becomes of them."""

from __future__ import annotations

import os
import queue
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from intelligence.models import ModelKind, ModelMetadata
from intelligence.registry import reader_processes as readers
from intelligence.registry.model_rows import ModelRow
from intelligence.registry.walk import FoundFile, walk

Make = Callable[..., Path]


@pytest.fixture
def files(tmp_path: Path, model: Make, raw: Make) -> list[FoundFile]:
    root = tmp_path / "loras"
    for number in range(200):
        model(root / f"märchen {number}.safetensors", metadata={"modelspec.title": f"Märchen {number} \u202e<b>"})
        if number % 3 == 0:
            (root / f"märchen {number}.txt").write_text("trigger, words")
    raw(root / "broken.safetensors", b"{", b"")
    (root / "old.ckpt").write_bytes(b"pickle")
    if sys.platform == "linux":
        (root / os.fsdecode(b"\xff.safetensors")).write_bytes(b"")
    return list(walk({ModelKind.LORA: [root]}).files.values())


def rows(files: list[FoundFile], hub: dict[str, ModelMetadata]) -> dict[str, ModelRow]:
    return {file.model_id: row for file, row in readers.read_files(files, hub)}


@pytest.fixture
def hub(files: list[FoundFile]) -> dict[str, ModelMetadata]:
    said = ModelMetadata(model_id="", name="", source="civitai", description="a hub's word", tags={"tag": 1})
    return {file.path: replace(said, source_id=str(number)) for number, file in enumerate(files[:150])}


def test_readers_give_the_same_rows(
    files: list[FoundFile], hub: dict[str, ModelMetadata], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = rows(files, hub)
    assert len(alone) == len(files)
    monkeypatch.setattr(readers, "FILES_PER_READER", 1)
    assert rows(files, hub) == alone


def test_reader_reads_every_chunk(files: list[FoundFile], hub: dict[str, ModelMetadata]) -> None:
    waiting, done = deque([files[:100], files[100:]]), queue.SimpleQueue[readers.Answer]()
    reader = readers.Reader(waiting, hub, done)
    reader._thread.join(60)
    reader.stop()
    found = {file.model_id: row for _ in range(2) for file, row in readers.rows_in(done.get_nowait())}
    assert found == rows(files, hub)
    assert not waiting


@pytest.mark.parametrize("executable", ["/no/such/python", sys.executable])
def test_failed_readers_leave_their_files_to_this_process(
    files: list[FoundFile], executable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python that cannot be started, and one whose `serve` fails at once."""
    alone = rows(files, {})
    monkeypatch.setattr(readers, "FILES_PER_READER", 1)
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setenv("PYTHONHOME", "/no/such/home")
    assert rows(files, {}) == alone


def test_cancelled_reading_leaves_no_process(files: list[FoundFile], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "FILES_PER_READER", 1)
    stopped: list[readers.Reader] = []
    stop = readers.Reader.stop
    monkeypatch.setattr(readers.Reader, "stop", lambda self: (stopped.append(self), stop(self))[1])
    read: list[FoundFile] = []
    for file, _ in readers.read_files(files, {}, cancelled=lambda: len(read) >= 20):
        read.append(file)
    assert len(read) == 20
    assert stopped
    for reader in stopped:
        assert not reader.working
        assert reader._process is None or reader._process.returncode is not None
