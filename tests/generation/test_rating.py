"""Ratings that come with a run of a graph."""

from __future__ import annotations

from pathlib import Path

import pytest

from intelligence import InvalidInputError, UnknownGenerationError
from intelligence.generation.history import rate_in_run
from intelligence.learning import LearningEngine


@pytest.fixture
def learning(tmp_path: Path) -> LearningEngine:
    """A store with one generation of one image, made in the run `made`."""
    engine = LearningEngine(tmp_path / "learning.db")
    engine.record_generation("g", ["g-0"], {"seed": 0}, loras=[], concepts=[], run_id="made")
    return engine


@pytest.mark.parametrize(
    ("target", "rating", "run_id", "told", "stored"),
    [
        ("g", 4, "later", "Rated 4 of 5: g", [4]),
        ("g-0", 2, "", "Rated 2 of 5: g-0", [2]),
        ("g", 4, "made", "Not counted: g was made in this very run", []),
        ("g", 0, "later", "Not rated yet: g", []),
    ],
)
def test_rate_in_run(
    learning: LearningEngine, target: str, rating: int, run_id: str, told: str, stored: list[int]
) -> None:
    assert rate_in_run(learning, target, rating, "fine", run_id).startswith(told)
    assert [each.rating for each in learning.ratings("g")] == stored


@pytest.mark.parametrize(
    ("target", "rating", "error"),
    [("", 4, InvalidInputError), ("g", 6, InvalidInputError), ("x", 3, UnknownGenerationError)],
)
def test_rate_in_run_refuses(learning: LearningEngine, target: str, rating: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        rate_in_run(learning, target, rating)
