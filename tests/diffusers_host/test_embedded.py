"""The embedded model: made once, whole, by whoever comes first; LoRAs with true metadata."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

from intelligence.errors import StorageError
from intelligence.generation.embedded import ensure_embedded
from intelligence.generation.sdxl_config import make_once


def _write(folder: Path) -> None:
    (folder / "a").write_text(str(os.getpid()))
    (folder / "b").write_text(str(os.getpid()))


def _race(folder: str, start: "multiprocessing.synchronize.Event") -> None:  # noqa: UP037
    start.wait()
    make_once(Path(folder), _write)


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
        assert metadata["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
        assert metadata["ss_base_model_version"] == "sdxl_base_v1-0"
        ((_, tags),) = json.loads(metadata["ss_tag_frequency"]).items()
        assert metadata["modelspec.trigger_phrase"] in tags
        assert {key.split("_")[1] for key in keys} == {"unet", "te1", "te2"}


def test_make_once_in_a_race(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    start = context.Event()
    folder = tmp_path / "made"
    racers = [context.Process(target=_race, args=(str(folder), start)) for _ in range(6)]
    for racer in racers:
        racer.start()
    start.set()
    for racer in racers:
        racer.join()
    assert [racer.exitcode for racer in racers] == [0] * 6
    assert (folder / "a").read_text() == (folder / "b").read_text()
    assert list(tmp_path.iterdir()) == [folder]


def test_make_once_after_failure(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError("disk full")

    with pytest.raises(StorageError, match="disk full"):
        make_once(tmp_path / "made", fail)
    assert list(tmp_path.iterdir()) == []
