"""Hashes of the files in use: computed in the background, remembered by size and date."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from intelligence.registry import ModelRegistry, file_hashes

pytestmark = pytest.mark.unit


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(tmp_path / "registry.db")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "a.safetensors"
    path.write_bytes((2).to_bytes(8, "little") + b"{}" + bytes(1000))
    return path


def test_start_hashes_a_file_that_is_in_no_library(registry: ModelRegistry, checkpoint: Path, tmp_path: Path) -> None:
    hashes = registry.file_hashes
    assert hashes.known("checkpoint:a") is None
    hashes.start({"checkpoint:a": checkpoint, "checkpoint:gone": tmp_path / "gone.safetensors"})
    assert hashes.wait(["checkpoint:a", "checkpoint:gone"], 10)
    found = hashes.known("checkpoint:a")
    assert found is not None
    assert found.sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert found.autov3 == hashlib.sha256(bytes(1000)).hexdigest()[:12]
    assert hashes.known("checkpoint:gone") is None


def test_hashes_are_remembered_until_the_file_changes(
    registry: ModelRegistry, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.file_hashes.start({"a": checkpoint})
    assert registry.file_hashes.wait(["a"], 10)
    before = registry.file_hashes.known("a")
    read: list[Path] = []
    real = file_hashes.hash_file
    monkeypatch.setattr(file_hashes, "hash_file", lambda path: read.append(path) or real(path))
    again = ModelRegistry(registry.store.path).file_hashes
    again.start({"a": checkpoint})
    assert again.wait(["a"], 10) and again.known("a") == before and read == []

    checkpoint.write_bytes(checkpoint.read_bytes() + b"more")
    os.utime(checkpoint, ns=(1, 1))
    assert again.known("a") is None
    again.start({"a": checkpoint})
    assert again.wait(["a"], 10) and again.known("a") != before and read == [checkpoint]


def test_then_calls_once_the_slow_file_is_read(
    registry: ModelRegistry, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, called = threading.Event(), threading.Event()
    real = file_hashes.hash_file
    monkeypatch.setattr(file_hashes, "hash_file", lambda path: real(path) if go.wait(10) else None)
    registry.file_hashes.start({"a": checkpoint})
    assert not registry.file_hashes.wait(["a"], 0.01)
    registry.file_hashes.then(["a"], called.set)
    assert not called.is_set()
    go.set()
    assert called.wait(10)
    assert registry.file_hashes.known("a")
