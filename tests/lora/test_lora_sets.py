"""Named sets of LoRAs, and those used always."""

from __future__ import annotations

from pathlib import Path

import pytest

from intelligence.errors import InvalidInputError
from intelligence.lora.lora_sets import FILE, LoRASets

pytestmark = pytest.mark.unit

SET = [{"lora": "ink.safetensors", "strength": 0.6}, {"lora": "fox.safetensors"}]


def test_sets_read_what_they_wrote(tmp_path: Path) -> None:
    kept = LoRASets().with_set(" ink fox ", SET).with_always("ink.safetensors", 0.7, "a.safetensors")
    kept.write(tmp_path)
    assert LoRASets.read(tmp_path) == kept
    assert [(entry.lora, entry.strength) for entry in kept.sets["ink fox"]] == [
        ("ink.safetensors", 0.6),
        ("fox.safetensors", 1.0),
    ]


@pytest.mark.parametrize(("checkpoint", "used"), [("a.safetensors", ["everywhere", "here"]), ("b", ["everywhere"])])
def test_tags_are_of_this_checkpoint_and_of_every(checkpoint: str, used: list[str]) -> None:
    kept = LoRASets().with_always("everywhere", 0.5).with_always("here", 1.0, "a.safetensors")
    assert [tag.name for tag in kept.tags(checkpoint)] == used


def test_always_is_changed_and_taken_back() -> None:
    kept = LoRASets().with_always("ink", 0.5).with_always("ink", 0.9)
    assert [(entry.lora, entry.strength) for entry in kept.always] == [("ink", 0.9)]
    assert kept.with_always("ink", None).always == ()


def test_set_is_deleted() -> None:
    assert LoRASets().with_set("ink", SET).with_set("ink", None).sets == {}


@pytest.mark.parametrize(
    ("name", "loras", "told"),
    [
        ("", SET, "name"),
        ("x" * 101, SET, "name"),
        ("empty", [], "1 to 64"),
        ("strong", [{"lora": "ink", "strength": 1e9}], "strength"),
        ("nameless", [{"strength": 1.0}], "lora"),
    ],
)
def test_bad_set_is_refused(name: str, loras: list[dict[str, object]], told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        LoRASets().with_set(name, loras)


def test_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{", encoding="utf-8")
    with pytest.raises(InvalidInputError, match=FILE):
        LoRASets.read(tmp_path)
