"""Where pictures may be written, as it is found out before they are made."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from intelligence import InvalidInputError, StorageError
from intelligence.pictures.picture_files import NEEDED_BYTES, check_destination, write_in_safe_place
from intelligence.whole_files import write_whole

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize("free", [NEEDED_BYTES, NEEDED_BYTES - 1])
def test_check_destination_needs_free_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    asked: list[Path] = []

    def usage(folder: Path) -> Usage:
        asked.append(folder)
        return Usage(2**40, 2**40 - free, free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    target = tmp_path / "new" / "x.png"
    if free == NEEDED_BYTES:
        assert check_destination(target) == target
    else:
        with pytest.raises(StorageError, match="only 63 MiB left"):
            check_destination(target)
    assert asked == [tmp_path]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x.bmp", "x", "folder.png", f"{'狐' * 84}.png"])
def test_check_destination_refuses_names(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InvalidInputError):
        check_destination(tmp_path / name)


def test_safe_place_takes_names_too_long_for_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTELLIGENT_GENERATION_HOME", str(tmp_path))
    path = write_in_safe_place(f"{'狐' * 90}.png", lambda file: file.write(b"x"))
    assert path is not None
    assert (path.parent, path.suffix, path.read_bytes()) == (tmp_path / "unsaved", ".png", b"x")
    assert 200 < len(path.name.encode()) <= 255


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_write_whole_leaves_a_pipe_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        read = pool.submit(pipe.read_bytes)
        write_whole(pipe, lambda file: file.write(b"all of it"))
        assert read.result(timeout=60) == b"all of it"
    assert pipe.is_fifo() and [path.name for path in tmp_path.iterdir()] == ["pipe"]
