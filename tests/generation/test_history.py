"""Lists of what was made."""

from __future__ import annotations

from pathlib import Path

import pytest

from intelligence.config import OffloadStrategy
from intelligence.errors import InvalidInputError
from intelligence.generation.history import generations_to_rate, recent_generations
from intelligence.generation.run import store_generation
from intelligence.generation.stages import Generation, GenerationPlan, Recommendations
from intelligence.learning import LearningEngine
from intelligence.memory import MemoryPlan
from intelligence.parameters import OptimizedParameters
from intelligence.prompt import PromptAnalysis


@pytest.fixture
def learning(tmp_path: Path) -> LearningEngine:
    """Three generations; the middle one has two images, with 5 and 3 stars."""
    engine = LearningEngine(tmp_path / "learning.db")
    parameters = OptimizedParameters(4, 6.0, 128, 192, "euler", "karras")
    memory = MemoryPlan(OffloadStrategy.FULL_GPU, "cpu")
    for name, images in (("first", 1), ("second", 2), ("third", 1)):
        prompt = f"{name} prompt,\n" + "long " * 20
        plan = GenerationPlan(Recommendations(PromptAnalysis(prompt), [], parameters), memory)
        ids = tuple(f"{name}-{index}" for index in range(images))
        store_generation(Generation(name, plan, ids, tuple(range(images))), engine)
    engine.record_feedback("second-0", 5)
    engine.record_feedback("second-1", 3)
    return engine


def test_recent_generations_newest_first(learning: LearningEngine) -> None:
    found = recent_generations(learning)
    assert [each.id for each in found] == ["third", "second", "first"]
    assert [each.id for each in recent_generations(learning, 2)] == ["third", "second"]
    assert all(each.made_at for each in found)


def test_recent_generations_tell_prompt_and_stars(learning: LearningEngine) -> None:
    second = recent_generations(learning)[1]
    assert second.prompt == "second prompt, " + " ".join(["long"] * 20)
    assert second.first_words.startswith("second prompt, long long") and second.first_words.endswith("…")
    assert len(second.first_words) == 60
    assert sorted(second.ratings) == [3, 5]
    assert second.image_ratings == (5, 3)
    assert recent_generations(learning)[0].stars == ""


def test_recent_generations_limit(learning: LearningEngine) -> None:
    with pytest.raises(InvalidInputError, match="limit"):
        recent_generations(learning, 0)


def test_generations_to_rate_differ_and_begin_with_what_is_new(tmp_path: Path) -> None:
    learning = LearningEngine(tmp_path / "learning.db")
    loras = [["a"], ["a"], ["b"], [], ["a", "c"], ["b"]]
    for number, used in enumerate(loras):
        learning.record_generation(f"g{number}", [f"g{number}-0"], {}, loras=used)
    learning.record_feedback("g2", 4)
    found = [one.id for one in generations_to_rate(learning, 3)]
    assert found == ["g4", "g3", "g5"]
    assert len(generations_to_rate(learning)) == 5
    assert generations_to_rate(LearningEngine(tmp_path / "empty.db")) == []
