"""Two processes read what one would: the same records, whatever becomes of the second."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from intelligence.registry import ModelKind, ModelMetadata, reading
from intelligence.registry.stored import Row
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


def records(files: list[FoundFile], hub: dict[str, ModelMetadata]) -> dict[str, Row]:
    return {file.model_id: row for file, row in reading.read_all(files, hub)}


@pytest.fixture
def hub(files: list[FoundFile]) -> dict[str, ModelMetadata]:
    said = ModelMetadata(model_id="", name="", source="civitai", description="a hub's word", tags={"tag": 1})
    return {file.path: replace(said, source_id=str(number)) for number, file in enumerate(files[:150])}


def test_the_same_records(
    files: list[FoundFile], hub: dict[str, ModelMetadata], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = records(files, hub)
    assert len(alone) == len(files)
    monkeypatch.setattr(reading, "SECOND_READER_FROM", 1)
    assert records(files, hub) == alone


def test_the_second_reader_reads_all(files: list[FoundFile], hub: dict[str, ModelMetadata]) -> None:
    waiting = deque([files])
    second = reading.SecondReader(waiting, hub)
    found: dict[str, Row] = {}
    while second._thread.is_alive() or (second.working() and not waiting):
        found |= {file.model_id: row for file, row in second.results(wait=True)}
    second.stop()
    assert found == records(files, hub)


@pytest.mark.parametrize("executable", ["/no/such/python", sys.executable])
def test_what_the_second_reader_leaves_is_read_here(
    files: list[FoundFile], executable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python that cannot be started, and one whose `serve` fails at once."""
    alone = records(files, {})
    monkeypatch.setattr(reading, "SECOND_READER_FROM", 1)
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setenv("PYTHONHOME", "/no/such/home")
    assert records(files, {}) == alone


def test_a_cancelled_reading_leaves_no_process(files: list[FoundFile], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SECOND_READER_FROM", 1)
    started: list[reading.SecondReader] = []
    start = reading.SecondReader.stop
    monkeypatch.setattr(reading.SecondReader, "stop", lambda self: (started.append(self), start(self))[1])
    read: list[FoundFile] = []
    for file, _ in reading.read_all(files, {}, cancelled=lambda: len(read) >= 20):
        read.append(file)
    assert len(read) == 20
    (second,) = started
    assert not second._thread.is_alive()
    assert second._process is None or second._process.returncode is not None
