"""What the stages hand on to each other."""

from pathlib import Path

import pytest

from intelligence.generation.planner import Planner
from intelligence.learning import LearningEngine, Timing
from intelligence.memory import Resources, card
from intelligence.registry import ModelRegistry

CARD = card(24, Resources("cpu", "Test", 64, 48, 64, 48))


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    return Planner(ModelRegistry(tmp_path / "registry.db"), LearningEngine(tmp_path / "learning.db"))


def strategy_reason(planner: Planner) -> tuple[str, float]:
    recommendations = planner.recommend(planner.analyze("a cat"))
    chosen = planner.parametrize(
        recommendations, overrides={"steps": 10, "width": 1024, "height": 1024}, resources=CARD
    )
    memory = planner.plan(chosen, resources=CARD).memory
    return next(reason.evidence for reason in memory.reasons if reason.setting == "strategy"), memory.seconds


def test_planned_times_are_by_the_speed_of_earlier_runs(planner: Planner) -> None:
    before, assumed = strategy_reason(planner)
    assert "TFLOP/s that are assumed" in before
    planner.optimizer._timings = lambda key: [Timing(1024, 1024, 1, 20, 10, 0.055, 1.4)] if "cuda" in key else []
    after, learned = strategy_reason(planner)
    assert "the 123 TFLOP/s that earlier runs reached" in after
    assert learned < assumed / 8
