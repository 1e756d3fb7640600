"""Words for what was learned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from intelligence import LearningEngine, ModelRegistry
from intelligence.generation.learned import learned, learned_lines

from ..model_fixtures import model  # noqa: F401


@pytest.fixture
def stores(tmp_path: Path, model: Callable[..., Path]) -> tuple[ModelRegistry, LearningEngine]:  # noqa: F811
    """A library of two LoRAs; one was liked, the other not, one that is gone was rated too."""
    for name in ("ink", "oil"):
        model(tmp_path / "loras" / f"{name}.safetensors")
    registry, learning = ModelRegistry(tmp_path / "registry.db"), LearningEngine(tmp_path / "learning.db")
    registry.scan([tmp_path / "loras"])
    for number, (lora, stars) in enumerate([("ink", 5), ("oil", 1), ("ink", 5), ("oil", 2), ("gone", 3), ("ink", 4)]):
        learning.record_generation(f"g{number}", [f"g{number}-0"], {}, loras=[f"lora:{lora}.safetensors"])
        learning.record_feedback(f"g{number}", stars)
    return registry, learning


def test_learned_orders_loras_by_liking(stores: tuple[ModelRegistry, LearningEngine]) -> None:
    found = learned(*stores)
    assert (found.generations, found.ratings, found.by_stars) == (6, 6, (1, 1, 1, 1, 2))
    assert [(one.name, one.stars, one.count, one.installed) for one in found.loras] == [
        ("ink", (5, 5, 4), 3, True),
        ("gone.safetensors", (3,), 1, False),
        ("oil", (1, 2), 2, True),
    ]
    assert found.loras[0].effect > 0.2 > -0.2 > found.loras[2].effect
    assert all(0 < one.sd < 2 for one in found.loras)
    text = "\n".join(learned_lines(found))
    assert "ink: liked, +" in text and "(5, 5, 4)" in text and "oil: disliked, -" in text
    assert "  ink: liked" in text and "never" not in text
    assert "gone.safetensors" in text and "(not installed)" in text


def test_learned_is_empty_after_reset_and_while_paused(stores: tuple[ModelRegistry, LearningEngine]) -> None:
    registry, learning = stores
    learning.paused = True
    assert (learned(registry, learning).loras, learned(registry, learning).paused) == ((), True)
    learning.paused = False
    learning.reset("lora:ink.safetensors")
    assert [one.name for one in learned(registry, learning).loras] == ["gone.safetensors", "oil"]
    learning.reset()
    found = learned(registry, learning)
    assert (found.loras, found.ratings) == ((), 6)


def test_learned_of_nothing(tmp_path: Path) -> None:
    found = learned(ModelRegistry(tmp_path / "registry.db"), LearningEngine(tmp_path / "learning.db"))
    assert learned_lines(found) == ["0 ratings, 0 pictures or sets of pictures made"]


def test_learned_lines_name_one_as_one(tmp_path: Path) -> None:
    learning = LearningEngine(tmp_path / "learning.db")
    learning.record_generation("g", ["g-0"], {}, loras=[])
    learning.record_feedback("g", 4)
    found = learned(ModelRegistry(tmp_path / "registry.db"), learning)
    assert learned_lines(found)[0] == "1 rating, 1 picture or set of pictures made"
