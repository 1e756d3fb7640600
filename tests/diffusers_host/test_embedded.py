"""The embedded model: made once, whole, by whoever comes first; LoRAs with true metadata."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import safe_open

from intelligence.errors import MissingDependencyError, StorageError
from intelligence.generation.embedded import VERSION, ensure_embedded
from intelligence.generation.sdxl_config import make_once


def _write(folder: Path) -> None:
    (folder / "a").write_text(str(os.getpid()))
    (folder / "b").write_text(str(os.getpid()))


def _race(make: Callable[[Path], object], folder: Path, start: "multiprocessing.synchronize.Event") -> None:  # noqa: UP037
    start.wait()
    make(folder)


def _make_small(folder: Path) -> None:
    make_once(folder, _write)


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated file": lambda made: _truncate(made / "a"),
    "missing file": lambda made: (made / "a").unlink(),
    "half written": lambda made: (made / ".sizes.json").unlink(),
    "unreadable list": lambda made: _truncate(made / ".sizes.json"),
    "a file in its place": lambda made: (shutil.rmtree(made), made.write_text("x")),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_make_once_makes_damaged_folder_anew(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    folder = tmp_path / "made"
    _make_small(folder)
    whole = contents(folder)
    damage(folder)
    _make_small(folder)
    assert contents(folder) == whole
    assert list(tmp_path.iterdir()) == [folder]


def test_ensure_embedded_makes_damaged_model_anew(embedded_home: Path, tmp_path: Path) -> None:
    whole = embedded_home / "embedded" / VERSION
    shutil.copytree(whole, tmp_path / VERSION)
    _truncate(tmp_path / VERSION / "model" / "unet" / "diffusion_pytorch_model.safetensors")
    ensure_embedded(tmp_path)
    assert contents(tmp_path / VERSION).keys() == contents(whole).keys()
    assert contents(tmp_path / VERSION / "model") == contents(whole / "model")
    assert list(tmp_path.iterdir()) == [tmp_path / VERSION]


def contents(folder: Path) -> dict[str, bytes]:
    """Files of the model, without the databases that its library gets."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and ".db" not in file.name
    }


def test_ensure_embedded_removes_earlier_version(embedded_home: Path, tmp_path: Path) -> None:
    shutil.copytree(embedded_home / "embedded" / VERSION, tmp_path / VERSION)
    (tmp_path / "v1" / "model").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    ensure_embedded(tmp_path)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "mine", tmp_path / VERSION]


def test_ensure_embedded_without_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"needs torch.*standalone"):
        ensure_embedded(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_ensure_embedded_makes_small_model_once(embedded_home: Path) -> None:
    files = [file for file in embedded_home.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 100e6
    before = {file: file.stat().st_mtime_ns for file in files}
    ensure_embedded()
    assert {file: file.stat().st_mtime_ns for file in embedded_home.rglob("*") if file.is_file()} == before


def test_ensure_embedded_is_deterministic(embedded_home: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    again, first = ensure_embedded(tmp_path), ensure_embedded()
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        (one,) = (first.folder / part).glob("*.safetensors")
        assert (again.folder / part / one.name).read_bytes() == one.read_bytes()
    for paths in zip(first.lora_paths, again.lora_paths, strict=True):
        one_lora, other_lora = (load_file(path) for path in paths)
        assert one_lora.keys() == other_lora.keys()
        assert all(torch.equal(one_lora[key], other_lora[key]) for key in one_lora)


def test_ensure_embedded_writes_lora_metadata(embedded_home: Path) -> None:
    model = ensure_embedded()
    assert len(model.lora_paths) == 4
    assert sorted(model.lora_folder.iterdir()) == sorted(model.lora_paths)
    for path in model.lora_paths:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            keys = list(file.keys())
        assert metadata["modelspec.architecture"] == "intelligent-generation-demo/lora"
        assert metadata["ss_base_model_version"] == "intelligent-generation-demo"
        ((_, tags),) = json.loads(metadata["ss_tag_frequency"]).items()
        assert metadata["modelspec.trigger_phrase"] in tags
        assert {key.split("_")[1] for key in keys} == {"unet", "te1", "te2"}


def race(make: Callable[[Path], object], folder: Path, count: int, method: str = "spawn") -> None:
    """Let processes make the same at once. A forked one may wait for ever for torch's threads, which fork drops."""
    context = multiprocessing.get_context(method)
    start = context.Event()
    racers = [context.Process(target=_race, args=(make, folder, start)) for _ in range(count)]
    for racer in racers:
        racer.start()
    start.set()
    for racer in racers:
        racer.join()
    assert [racer.exitcode for racer in racers] == [0] * count


@pytest.mark.parametrize("damaged", [False, True])
def test_make_once_in_a_race(tmp_path: Path, damaged: bool) -> None:
    folder = tmp_path / "made"
    if damaged:
        _make_small(folder)
        _truncate(folder / "a")
    race(_make_small, folder, 6, "fork" if sys.platform == "linux" else "spawn")
    assert (folder / "a").read_text() == (folder / "b").read_text() != ""
    assert list(tmp_path.iterdir()) == [folder]


def test_ensure_embedded_in_a_race(embedded_home: Path, tmp_path: Path) -> None:
    race(ensure_embedded, tmp_path, 2)
    assert contents(tmp_path / VERSION / "model") == contents(embedded_home / "embedded" / VERSION / "model")
    assert list(tmp_path.iterdir()) == [tmp_path / VERSION]


def test_make_once_after_failure(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError("disk full")

    with pytest.raises(StorageError, match="disk full"):
        make_once(tmp_path / "made", fail)
    assert list(tmp_path.iterdir()) == []
