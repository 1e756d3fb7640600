"""The embedded model: made once, whole, by whoever comes first; LoRAs with true metadata."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import safe_open

from intelligence.errors import MissingDependencyError, StorageError
from intelligence.generation.embedded import DATA, VERSION, embedded_registry, ensure_embedded
from intelligence.generation.sdxl_config import make_once
from intelligence.models import Architecture, LoRAKind, ModelKind


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
    assert sum(map(len, contents(embedded_home).values())) < 60e6
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


LORAS = {
    "blueprint": (LoRAKind.STYLE, "blueprint", (1.0, (0.5, 1.0))),
    "colour_slider": (LoRAKind.EFFECT, None, (0.5, (-1.0, 1.0))),
    "fluent_3d": (LoRAKind.STYLE, "3d render", (1.0, (0.5, 1.0))),
    "giraffe": (LoRAKind.CONCEPT, "giraffe", (1.0, (0.6, 1.0))),
    "high_contrast": (LoRAKind.STYLE, "high contrast icon", (1.0, (0.5, 1.0))),
    "lightning_4step": (LoRAKind.SPEED, None, (1.0, None)),
    "magic_effects": (LoRAKind.EFFECT, "magical powers", (1.0, (0.5, 1.0))),
    "night_glow": (LoRAKind.EFFECT, "glowing at night", (1.2, (0.5, 1.4))),
    "pixel_art": (LoRAKind.STYLE, "pixel art", (1.0, (0.5, 1.0))),
}
"""Name → kind, trigger words, recommended strength with its range."""


def test_embedded_registry_reads_every_lora(embedded_home: Path) -> None:
    registry = embedded_registry()
    models = registry.list_models(ModelKind.LORA)
    found = {
        model.name: (
            model.lora_kind,
            next((", ".join(words.words) for words in model.trigger_sets), None),
            (model.strength, model.strength_range),
        )
        for model in models
    }
    assert found == LORAS
    assert {model.architecture for model in models} == {Architecture.DEMO}
    assert all(model.title and model.description and len(model.example_prompts) >= 2 for model in models)
    tagged = {model.name: model.tags for model in models}
    assert all(trigger in tagged[name] for name, (_, trigger, _) in LORAS.items() if trigger)


def test_embedded_loras_are_small_and_leave_text_encoders_alone(embedded_home: Path) -> None:
    model = ensure_embedded()
    assert [path.stem for path in model.lora_paths] == sorted(LORAS)
    for path in model.lora_paths:
        assert path.stat().st_size < 0.5e6
        with safe_open(path, "pt") as file:
            assert {key.split("_")[1] for key in file.keys()} == {"unet"}  # noqa: SIM118 - no mapping


def test_package_of_demo_model_is_small() -> None:
    assert sum(file.stat().st_size for file in DATA.rglob("*") if file.is_file()) < 25e6


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
