"""Effects of a rating, in words that fit its stars."""

from __future__ import annotations

from pathlib import Path

import pytest

from intelligence import Generation, LearningEngine, ModelMetadata, ModelRegistry
from intelligence.config import OffloadStrategy
from intelligence.generation.generation_messages import GenerationMessage as Text
from intelligence.generation.planner import Planner
from intelligence.generation.rating_effects import rate
from intelligence.generation.run import store_generation
from intelligence.generation.stages import GenerationPlan, Recommendations
from intelligence.lora import LoRARecommendation
from intelligence.memory import MemoryPlan
from intelligence.parameters import OptimizedParameters
from intelligence.prompt import PromptAnalyzer

PROMPT = PromptAnalyzer().analyze("anime girl in a forest")
INK = ModelMetadata(model_id="lora:ink.safetensors", name="ink")


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    registry = ModelRegistry(tmp_path / "registry.db")
    registry.register_model(INK)
    planner = Planner(registry, LearningEngine(tmp_path / "learning.db"))
    for number in range(8):
        lora = LoRARecommendation("ink", INK, 0.9, 0.8, relevance=0.9)
        parameters = OptimizedParameters(4, 6.0, 128, 192, "euler", "karras")
        plan = GenerationPlan(Recommendations(PROMPT, [lora], parameters), MemoryPlan(OffloadStrategy.FULL_GPU, "cpu"))
        store_generation(Generation(f"g{number}", plan, (f"g{number}-0",), (number,)), planner.learning)
    return planner


def told(planner: Planner, name: str, stars: int) -> list[str]:
    return [reason.message for reason in rate(planner, name, stars)[1]]


@pytest.mark.parametrize(("stars", "message"), [(5, Text.LORA_RISES), (4, Text.LORA_RISES), (1, Text.LORA_FALLS)])
def test_first_stars_are_told_as_they_sound(planner: Planner, stars: int, message: Text) -> None:
    assert told(planner, "g0", stars) == [message.key]


def test_four_stars_after_fives_never_just_fall(planner: Planner) -> None:
    for number in range(6):
        told(planner, f"g{number}", 5)
    assert told(planner, "g6", 4) in ([], [Text.LORA_FALLS_SHORT.key])
    assert told(planner, "g7", 1) == [Text.LORA_FALLS.key]


def test_corrected_stars_are_told_beside_those_before(planner: Planner) -> None:
    told(planner, "g0", 5)
    assert told(planner, "g0", 4) == [Text.LORA_FALLS.key]
