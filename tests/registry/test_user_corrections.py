from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intelligence.errors import InvalidInputError, ModelNotFoundError
from intelligence.lora import LoRARecommender
from intelligence.models import Architecture, Family, LoRAKind, ModelKind, ModelMetadata, TriggerSet
from intelligence.prompt import PromptAnalyzer
from intelligence.registry import ModelRegistry

Make = Callable[..., Path]

WORD: dict[str, Any] = {
    "base": "Illustrious",
    "kind": "style",
    "triggers": ["red, blue", ["green"]],
    "strength": 0.7,
    "strength_clip": 0.4,
    "exclude": True,
    "favourite": True,
}


@pytest.fixture
def root(tmp_path: Path, model: Make, registry: ModelRegistry) -> Path:
    folder = tmp_path / "loras"
    model(folder / "a.safetensors", metadata={"ss_output_name": "a"})
    model(folder / "b.safetensors", metadata={"ss_output_name": "b"})
    (folder / "a.json").write_text(
        json.dumps({"activation text": "zorb", "preferred weight": 0.9, "notes": "x", "sd version": "SDXL"})
    )
    registry.scan([folder])
    return folder


def is_corrected(found: ModelMetadata) -> bool:
    return (
        found.base_model,
        found.architecture,
        found.family,
        found.lora_kind,
        found.trigger_sets,
        (found.strength, found.strength_clip, found.strength_from_text),
        (found.excluded, found.favourite),
    ) == (
        "Illustrious",
        Architecture.SDXL,
        Family.ILLUSTRIOUS,
        LoRAKind.STYLE,
        (TriggerSet(("red", "blue"), "you"), TriggerSet(("green",), "you")),
        (0.7, 0.4, False),
        (True, True),
    )


def test_correct_wins_and_names_the_user(registry: ModelRegistry, root: Path) -> None:
    before = registry.get_model("a")
    found = registry.correct("a", **WORD)
    assert is_corrected(found)
    assert registry.get_model("a") == found
    assert found.findings["family"].source == "you"
    (summary,) = (item for item in registry.summaries() if item.name == "a")
    assert (summary.excluded, summary.family) == (True, Family.ILLUSTRIOUS)
    assert [item.name for item in registry.search(base_model="illustrious")] == ["a"]
    assert [item.name for item in registry.search("green")] == ["a"]
    assert registry.reset_correction("a") == before
    assert registry.search("green") == []


def test_correct_leaves_other_corrections(registry: ModelRegistry, root: Path) -> None:
    registry.correct("a", strength=0.5, favourite=True)
    found = registry.correct("a", strength=None)
    assert (found.strength, found.favourite) == (0.9, True)
    assert registry.correction("a").to_plain() == {"favourite": True}
    assert registry.correct("a", triggers=[]).trigger_sets == ()


@pytest.mark.parametrize(
    "change",
    ["scan", "sidecar", "touch", "rename", "move", "other content", "new database", "copy", "hub facts", "hashes"],
)
def test_correction_survives(registry: ModelRegistry, root: Path, model: Make, change: str) -> None:
    registry.correct("a", **WORD)
    path, name = root / "a.safetensors", "a"
    match change:
        case "sidecar":
            (root / "a.json").write_text('{"activation text": "other", "preferred weight": 0.2}')
        case "touch":
            path.touch()
        case "rename":
            path.rename(root / "c.safetensors")
            name = "c"
        case "move":
            (root / "sub").mkdir()
            shutil.copyfile(path, root / "sub" / "d.safetensors")
            path.unlink()
            name = "sub/d"
        case "other content":
            model(path, metadata={"ss_output_name": "retrained", "ss_network_dim": "8"})
        case "new database":
            registry = ModelRegistry(registry.store.path.with_name("other.db"))
        case "copy":
            shutil.copyfile(path, root / "copy.safetensors")
            name = "copy"
        case "hub facts":
            plain = registry.store.get_plain("lora:a.safetensors")
            assert plain is not None
            registry.store.hubs.put_facts(plain, ModelMetadata("", "", base_model="Pony", strength=0.1))
        case "hashes":
            registry.hash_models()
    registry.scan([root])
    assert is_corrected(registry.get_model(name))
    registry.reset_correction(name)
    registry.scan([root])
    assert not is_corrected(registry.get_model(name))
    assert registry.get_model(name).excluded is False


def test_correction_of_other_content_under_its_name_survives_a_new_database(
    registry: ModelRegistry, root: Path, model: Make
) -> None:
    registry.correct("a", strength=0.3)
    model(root / "a.safetensors", metadata={"ss_output_name": "retrained"})
    registry.scan([root])
    anew = ModelRegistry(registry.store.path.with_name("other.db"))
    anew.scan([root])
    assert anew.get_model("a").strength == 0.3


def test_correction_of_a_moved_file_is_not_of_a_new_file_under_its_name(
    registry: ModelRegistry, root: Path, model: Make
) -> None:
    registry.correct("a", exclude=True)
    (root / "a.safetensors").rename(root / "c.safetensors")
    model(root / "a.safetensors", metadata={"ss_output_name": "new"})
    for _ in range(2):
        registry.scan([root])
        excluded = [(item.name, item.excluded) for item in registry.list_models()]
        assert excluded == [("a", False), ("b", False), ("c", True)]
    assert registry.correction("a").to_plain() == {}


def test_corrections_of_files_that_exchange_names_go_with_them(registry: ModelRegistry, root: Path) -> None:
    registry.correct("a", exclude=True, strength=0.3)
    registry.correct("b", strength=0.7)
    (root / "a.safetensors").rename(root / "x")
    (root / "b.safetensors").rename(root / "a.safetensors")
    (root / "x").rename(root / "b.safetensors")
    registry.scan([root])
    found = [(item.name, item.excluded, item.strength) for item in registry.list_models()]
    assert found == [("a", False, 0.7), ("b", True, 0.3)]


def test_correction_of_a_model_without_a_file(registry: ModelRegistry) -> None:
    registry.register_model(ModelMetadata("lora:x", "x"))
    assert registry.correct("x", strength=0.6).strength == 0.6
    registry.register_model(ModelMetadata("lora:x", "x", description="new"))
    found = registry.get_model("x")
    assert (found.strength, found.description) == (0.6, "new")


def test_correction_keeps_changes_by_hand(registry: ModelRegistry, root: Path) -> None:
    registry.update_model("lora:a.safetensors", description="mine", strength=0.1)
    registry.correct("a", strength=0.6)
    registry.update_model("lora:a.safetensors", creator="me")
    (root / "a.safetensors").touch()
    registry.scan([root])
    found = registry.get_model("a")
    assert (found.strength, found.description, found.creator) == (0.6, "mine", "me")
    found = registry.reset_correction("a")
    assert (found.strength, found.description, found.creator) == (0.1, "mine", "me")


def test_scan_with_a_damaged_corrections_file(registry: ModelRegistry, root: Path) -> None:
    registry.close()
    registry.store.path.with_name("corrections.db").write_bytes(b"nonsense" * 100)
    report = registry.scan([root])
    assert (report.unchanged, len(registry.list_models())) == (2, 2)
    assert "damaged" in report.problems[str(registry.store.path.with_name("corrections.db"))]


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"base": "watercolor"}, "no known base model"),
        ({"base": 3}, "base"),
        ({"kind": "nonsense"}, "kind"),
        ({"triggers": "red"}, "list"),
        ({"strength": 11}, "strength"),
        ({"strength": True}, "strength"),
        ({"strength": "0.5"}, "strength"),
        ({"strength": float("nan")}, "strength"),
        ({"exclude": "yes"}, "exclude"),
        ({"colour": "red"}, "colour cannot be corrected"),
    ],
)
def test_correct_refuses(registry: ModelRegistry, root: Path, changes: dict[str, Any], reason: str) -> None:
    before = registry.get_model("a")
    with pytest.raises(InvalidInputError, match=reason):
        registry.correct("a", **changes)
    assert registry.get_model("a") == before


def test_correct_refuses_a_strength_of_a_checkpoint(registry: ModelRegistry) -> None:
    registry.register_model(ModelMetadata("checkpoint:x", "x", kind=ModelKind.CHECKPOINT))
    with pytest.raises(InvalidInputError, match="only a LoRA"):
        registry.correct("x", strength=0.5)
    assert registry.correct("x", base="pony").family is Family.PONY
    with pytest.raises(ModelNotFoundError):
        registry.correct("y", strength=0.5)


def test_excluded_lora_is_never_chosen_but_applied_by_its_tag(registry: ModelRegistry, root: Path) -> None:
    registry.correct("b", exclude=True)
    registry.correct("a", triggers=["zorb"])
    registry.correct("b", triggers=["zorb"])

    def chosen(prompt: str) -> list[str]:
        choice = LoRARecommender(registry).choose(PromptAnalyzer().analyze(prompt), "sd_xl_base_1.0.safetensors")
        return [item.lora_name for item in choice.chosen]

    assert chosen("zorb, a portrait of zorb") == ["a"]
    assert chosen("a cat <lora:b:0.8>") == ["b"]
    registry.correct("b", exclude=None)
    registry.correct("a", exclude=True)
    assert chosen("zorb, a portrait of zorb") == ["b"]


def test_search_shows_copies_once(registry: ModelRegistry, root: Path) -> None:
    shutil.copyfile(root / "a.safetensors", root / "other.safetensors")
    registry.scan([root])
    assert [item.name for item in registry.search()] == ["a", "b"]
    assert [item.name for item in registry.search("other")] == ["other"]
    assert (registry.copies("a"), registry.copies("other")) == (["lora:other.safetensors"], ["lora:a.safetensors"])
    assert len(registry.list_models()) == 3


def test_processes_correct_one_library(registry: ModelRegistry, root: Path) -> None:
    code = f"""
from pathlib import Path
import sys
from intelligence.registry import ModelRegistry
registry = ModelRegistry({str(registry.store.path)!r})
for number in range(10):
    registry.correct(sys.argv[1], strength=number / 10, favourite=True)
    registry.scan([{str(root)!r}])
"""
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen([*command, name], stderr=subprocess.PIPE) for name in ("a", "b", "a")]
    assert [process.communicate()[1].decode() for process in processes] == ["", "", ""]
    assert {(item.strength, item.favourite) for item in registry.list_models()} == {(0.9, True)}
