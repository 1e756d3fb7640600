from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from intelligence.errors import ModelNotFoundError
from intelligence.registry import ModelRegistry

Make = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path, model: Make, registry: ModelRegistry) -> Path:
    """Two LoRAs of one size, the first with a strength given by hand."""
    folder = tmp_path / "loras"
    model(folder / "a.safetensors", metadata={"ss_output_name": "a"})
    model(folder / "b.safetensors", metadata={"ss_output_name": "b"})
    registry.scan([folder])
    registry.update_model("lora:a.safetensors", strength=0.35)
    return folder


def copied(source: Path, target: Path) -> None:
    """Moved the way that loses the time of change."""
    shutil.copyfile(source, target)
    source.unlink()
    os.utime(target, ns=(5, 5))


def test_renamed_file_keeps_its_history(registry: ModelRegistry, root: Path) -> None:
    (root / "sub").mkdir()
    (root / "a.safetensors").rename(root / "sub" / "c.safetensors")
    report = registry.scan([root])
    assert (report.added, report.removed, report.moved) == (1, 1, 1)
    found = registry.get_model("sub/c")
    assert (found.strength, found.previous_ids) == (0.35, ("lora:a.safetensors",))
    assert registry.get_model("lora:a.safetensors") == found
    assert registry.status().absent == 0
    assert registry.scan([root]).unchanged == 2


def test_moved_copy_is_recognised_by_hash(registry: ModelRegistry, root: Path) -> None:
    registry.hash_models()
    copied(root / "a.safetensors", root / "c.safetensors")
    assert registry.scan([root]).moved == 1
    found = registry.get_model("c")
    assert found.strength == 0.35
    assert found.sha256
    assert registry.hash_models().hashed == 0


def test_moved_file_is_recognised_by_header_hash(registry: ModelRegistry, model: Make, tmp_path: Path) -> None:
    folder = tmp_path / "loras"
    payload = {"sshs_model_hash": "0123456789ab" + "0" * 52}
    model(folder / "a.safetensors", metadata=payload)
    registry.scan([folder])
    copied(folder / "a.safetensors", folder / "b.safetensors")
    assert registry.scan([folder]).moved == 1


def test_moved_copy_is_recognised_without_a_hash(registry: ModelRegistry, root: Path) -> None:
    copied(root / "a.safetensors", root / "c.safetensors")
    assert registry.scan([root]).moved == 1
    assert registry.get_model("c").strength == 0.35


@pytest.mark.parametrize("when", ["before the move", "after it"])
def test_two_processes_see_the_same_move(registry: ModelRegistry, root: Path, when: str) -> None:
    other = ModelRegistry(registry.store.path)
    (root / "a.safetensors").rename(root / "c.safetensors")
    scans = []

    def scan_too(done: int, total: int) -> None:
        if not scans:
            scans.append(other.scan([root]))

    if when == "after it":
        known = other.store.known_files()
        registry.scan([root])
        other.store.known_files = lambda: known  # type: ignore[method-assign]
        other.scan([root])
    else:
        registry.scan([root], scan_too)
    for each in (registry, other):
        assert [item.model_id for item in each.list_models()] == ["lora:b.safetensors", "lora:c.safetensors"]
        assert (each.get_model("c").strength, each.get_model("lora:a.safetensors").name) == (0.35, "c")


@pytest.mark.parametrize("hashed", [False, True])
def test_other_file_of_same_size_is_another_model(
    registry: ModelRegistry, root: Path, model: Make, hashed: bool
) -> None:
    if hashed:
        registry.hash_models()
    data = bytearray((root / "a.safetensors").read_bytes())
    data[-1] ^= 1
    (root / "a.safetensors").unlink()
    (root / "c.safetensors").write_bytes(data)
    report = registry.scan([root])
    assert (report.moved, registry.get_model("c").strength) == (0, None)
    with pytest.raises(ModelNotFoundError):
        registry.get_model("lora:a.safetensors")


def test_copy_is_another_model(registry: ModelRegistry, root: Path) -> None:
    shutil.copy2(root / "a.safetensors", root / "c.safetensors")
    assert registry.scan([root]).moved == 0
    assert (registry.get_model("c").strength, registry.get_model("a").strength) == (None, 0.35)


def test_file_moved_away_and_back_between_scans(registry: ModelRegistry, root: Path) -> None:
    away = root.parent / "away.safetensors"
    (root / "a.safetensors").rename(away)
    assert registry.scan([root]).removed == 1
    away.rename(root / "c.safetensors")
    assert registry.scan([root]).moved == 1
    (root / "c.safetensors").rename(root / "a.safetensors")
    assert registry.scan([root]).moved == 1
    found = registry.get_model("a")
    assert (found.model_id, found.previous_ids) == ("lora:a.safetensors", ("lora:c.safetensors",))
    assert (found.strength, registry.get_model("lora:c.safetensors")) == (0.35, found)


def test_new_file_under_the_old_name_takes_its_id(registry: ModelRegistry, root: Path, model: Make) -> None:
    (root / "a.safetensors").rename(root / "c.safetensors")
    registry.scan([root])
    model(root / "a.safetensors", metadata={"ss_output_name": "new"})
    registry.scan([root])
    assert registry.get_model("lora:a.safetensors").metadata["ss_output_name"] == "new"
    assert registry.get_model("c").strength == 0.35
