"""Hashes of a run's files: told to its generation, its database and the JSON beside its pictures."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from intelligence import LearningEngine, ModelMetadata, ModelRegistry
from intelligence.generation import used_files
from intelligence.generation.image_file import a1111_parameters, complete_record, save_picture
from intelligence.generation.stages import Generation
from intelligence.generation.used_files import FoundFiles, UsedFiles
from intelligence.models.evidence import AppliedLoRA
from intelligence.pictures.embedded_texts import read_texts
from intelligence.registry import file_hashes
from tests.generation.test_image_file import generation, lora

pytestmark = pytest.mark.unit


@pytest.fixture
def run(tmp_path: Path) -> tuple[UsedFiles, Generation, str]:
    """The files of a run, its stored generation without hashes, and the checkpoint's SHA-256."""
    paths = {name: tmp_path / f"{name}.safetensors" for name in ("base", "style")}
    for name, path in paths.items():
        path.write_bytes((2).to_bytes(8, "little") + b"{}" + name.encode() * 50)
    files = UsedFiles(ModelRegistry(tmp_path / "registry.db"), LearningEngine(tmp_path / "learning.db"))
    made = generation(base_model=None, base_model_id="base.safetensors")
    recommendations = made.plan.recommendations
    recommendations.suggested_loras = [lora("style", 0.8, local_path=str(paths["style"]))]
    recommendations.model = replace(recommendations.model, path=str(paths["base"]))  # type: ignore[type-var]
    files.learning.record_generation(made.id, made.image_ids, made.to_dict())
    return files, made, hashlib.sha256(paths["base"].read_bytes()).hexdigest()


def test_told_completes_generation_and_database(run: tuple[UsedFiles, Generation, str]) -> None:
    files, made, sha256 = run
    told = files.waited(files.told(made, files.start(made.plan)))
    assert told.base_model is not None and told.base_model.sha256 == sha256
    assert told.base_model.local_path == ""
    assert told.plan.loras[0].lora_metadata.autov3
    assert Generation.from_dict(files.learning.get_generation(made.id).data) == told


def test_hash_that_comes_late_completes_only_our_own(
    run: tuple[UsedFiles, Generation, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, made, sha256 = run
    go, done = threading.Event(), threading.Event()
    real = file_hashes.hash_file
    monkeypatch.setattr(file_hashes, "hash_file", lambda path: real(path) if go.wait(10) else None)
    monkeypatch.setattr(used_files, "LONGEST_WAIT", 0.01)
    waited = files.waited(files.told(made, files.start(made.plan)))
    saved = save_picture(tmp_path / "fox.png", Image.new("RGB", (8, 8)), waited)
    before = saved.path.read_bytes()
    assert "Note: hash not known yet" in read_texts(saved.path)["parameters"]
    files.afterwards(waited, lambda completed: (complete_record(saved, completed, 0), done.set()))
    go.set()
    assert done.wait(10)
    assert saved.path.read_bytes() == before
    assert saved.record
    assert json.loads(saved.record.read_text())["base_model"]["sha256"] == sha256
    assert files.learning.get_generation(made.id).data["base_model"]["sha256"] == sha256


def test_start_without_a_file(run: tuple[UsedFiles, Generation, str]) -> None:
    files, made, _ = run
    made.plan.recommendations.model = None
    assert files.start(made.plan) == FoundFiles()


def test_loras_of_other_nodes_are_named_with_their_hash(run: tuple[UsedFiles, Generation, str], tmp_path: Path) -> None:
    files, made, _ = run
    path = tmp_path / "theirs.safetensors"
    path.write_bytes((2).to_bytes(8, "little") + b"{}theirs")
    files.registry.register_model(ModelMetadata("lora:theirs.safetensors", "theirs", local_path=str(path)))
    applied = [
        AppliedLoRA("theirs.safetensors", "lora:theirs.safetensors", 0.4),
        AppliedLoRA("style.safetensors", "lora:style.safetensors", 0.8),
        AppliedLoRA("", "", 1.0),
        AppliedLoRA("gone.safetensors", "lora:gone.safetensors", 1.0),
    ]
    recommendations = made.plan.recommendations
    recommendations.model = replace(recommendations.model, applied=tuple(applied))  # type: ignore[type-var]
    told = files.waited(files.told(made, files.start(made.plan)))
    assert [(each.file.name, each.strength, each.file.local_path) for each in told.other_loras] == [("theirs", 0.4, "")]
    text = a1111_parameters(told)
    assert " <lora:style:0.8> <lora:theirs:0.4>" in text
    assert f'"lora:theirs": "{told.other_loras[0].file.autov3}"' in text
    assert Generation.from_dict(told.to_dict()) == told
