"""Ratings that come with a run of a graph."""

from __future__ import annotations

from pathlib import Path

import pytest

from intelligence import Generation, InvalidInputError, UnknownGenerationError
from intelligence.config import OffloadStrategy
from intelligence.generation.history import GraphRatings, Shown, rate_named
from intelligence.generation.run import store_generation
from intelligence.generation.stages import GenerationPlan, Recommendations
from intelligence.learning import LearningEngine
from intelligence.memory import MemoryPlan
from intelligence.parameters import OptimizedParameters
from intelligence.prompt import PromptAnalysis


def made(name: str, run_id: str, prompt: str = "a fox") -> Generation:
    parameters = OptimizedParameters(4, 6.0, 128, 192, "euler", "karras")
    plan = GenerationPlan(
        Recommendations(PromptAnalysis(prompt), [], parameters), MemoryPlan(OffloadStrategy.FULL_GPU, "cpu")
    )
    return Generation(name, plan, (f"{name}-0",), (7,), run_id=run_id)


class Graph:
    """A Feedback node in a graph whose seed changes with every run, unless told otherwise."""

    def __init__(self, path: Path) -> None:
        self.learning = LearningEngine(path / "learning.db")
        self.ratings = GraphRatings()
        self.runs = 0

    def run(self, rating: int, comments: str = "", prompt: str = "a fox", *, cached: str = "") -> str:
        """Run the graph, which makes generation `g<run>` unless it has `cached`. Returns the node's text."""
        self.runs += 1
        generation = made(cached or f"g{self.runs}", "earlier" if cached else f"run {self.runs}", prompt)
        if not cached:
            store_generation(generation, self.learning)
        return self.ratings.rate(self.learning, "node", Shown(generation, rating, comments), f"run {self.runs}")

    def stars(self) -> dict[str, int]:
        return {
            stored.generation_id: rating.rating
            for stored in self.learning.list_generations()
            for rating in self.learning.ratings(stored.generation_id)
        }


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return Graph(tmp_path)


def test_rating_of_cached_picture_counts_and_is_corrected(graph: Graph) -> None:
    graph.run(0)
    assert graph.run(3, cached="g1").startswith("Rated 3 of 5: g1")
    assert graph.run(5, cached="g1").startswith("Rated 5 of 5: g1")
    assert graph.run(0, cached="g1").startswith("Not rated yet")
    assert graph.stars() == {"g1": 5}


def test_rating_with_random_seed_is_of_the_picture_seen(graph: Graph) -> None:
    assert graph.run(0) == "Not rated yet: g1"
    assert graph.run(4).startswith("Rated 4 of 5: g1 (the picture before")
    assert graph.run(4).startswith("Not counted: g3")
    assert graph.run(2).startswith("Rated 2 of 5: g3")
    assert graph.run(2, "too dark").startswith("Rated 2 of 5: g4")
    assert graph.stars() == {"g1": 4, "g3": 2, "g4": 2}


def test_rating_that_changes_the_choice_can_be_corrected(graph: Graph) -> None:
    """The rating makes the next run choose, and so sample, anew: the correction is of the picture seen."""
    graph.run(0)
    graph.run(1, cached="g1")
    assert graph.run(5).startswith("Rated 5 of 5: g1")
    assert graph.stars() == {"g1": 5}


def test_rating_of_first_run_and_of_other_prompt_is_not_counted(graph: Graph) -> None:
    assert graph.run(5).startswith("Not counted: g1")
    graph.run(0)
    assert graph.run(5, prompt="a boat").startswith("Not counted: g3")
    assert graph.stars() == {}


def test_generation_that_was_not_stored_is_stored_to_be_rated(graph: Graph) -> None:
    assert graph.run(4, cached="elsewhere").startswith("Rated 4 of 5: elsewhere")
    assert graph.stars() == {"elsewhere": 4}


def test_rating_tells_why_it_cannot_be_stored(graph: Graph, tmp_path: Path) -> None:
    graph.learning = LearningEngine(tmp_path)  # a folder
    assert graph.run(4, cached="g").startswith("Not rated: cannot use the database")


@pytest.mark.parametrize(
    ("target", "rating", "told", "stored"),
    [("g-0", 2, "Rated 2", [2]), ("run", 4, "Rated 4", [4]), ("g", 0, "Not rated", [])],
)
def test_rate_named(graph: Graph, target: str, rating: int, told: str, stored: list[int]) -> None:
    store_generation(made("g", "run"), graph.learning)
    assert rate_named(graph.learning, target, rating, "fine").startswith(told)
    assert [each.rating for each in graph.learning.ratings("g")] == stored


@pytest.mark.parametrize(
    ("target", "rating", "error"),
    [("", 4, InvalidInputError), ("g", 6, InvalidInputError), ("x", 3, UnknownGenerationError)],
)
def test_rate_named_refuses(graph: Graph, target: str, rating: int, error: type[Exception]) -> None:
    store_generation(made("g", "run"), graph.learning)
    with pytest.raises(error):
        rate_named(graph.learning, target, rating)
