"""Scouting through the Python pipeline: look at several seeds, go on with one, store and rate it like any image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from intelligence import (
    ConfirmationRequiredError,
    IntelligentGenerationPipeline,
    InvalidInputError,
    OperationMode,
    PipelineConfig,
    Scouting,
)

pytestmark = pytest.mark.usefixtures("embedded_home")

SMALL: dict[str, Any] = {"width": 64, "height": 64, "steps": 8}
PROMPT = "anime girl with magical powers"


@pytest.fixture(scope="module")
def pipeline(embedded_home: Path) -> IntelligentGenerationPipeline:
    return IntelligentGenerationPipeline(PipelineConfig(base_model="embedded"))


def test_generate_from_scouting_equals_whole_run(pipeline: IntelligentGenerationPipeline) -> None:
    told: list[tuple[int, int]] = []
    scouting = pipeline.scout(PROMPT, "blurry", 0, count=3, on_step=lambda done, of: told.append((done, of)), **SMALL)
    assert scouting.seeds == (0, 1, 2)
    assert [preview.size for preview in scouting.previews] == [(64, 64)] * 3
    assert (scouting.steps, told[-1]) == (2, (6, 6))
    result = pipeline.generate_from_scouting(scouting, 1)
    whole = pipeline.generate(PROMPT, "blurry", 1, **SMALL)
    assert result.image.tobytes() == whole.image.tobytes()
    assert {lora.name for lora in result.metadata.loras_used} == {"magic_effects"}
    assert result.metadata.seed == 1
    computed, needed = result.generation.forward_items, whole.generation.forward_items
    assert computed is not None and needed is not None
    assert computed == needed - scouting.recordings[1].items < needed
    assert any("picked from 3 scouted seeds" in note for note in result.explanation.performance_notes)
    pipeline.provide_feedback(result.id, 5)
    pipeline.learning.remove_feedback(result.id)


def test_scouting_prints_briefly(pipeline: IntelligentGenerationPipeline) -> None:
    printed = repr(pipeline.scout("a lake", seed=4, count=1, **SMALL))
    assert "seeds=(4,)" in printed
    assert "tensor(" not in printed and "OptimizedParameters(" not in printed


@pytest.mark.parametrize("count", [0, 65, True, 2.0])
def test_scout_refuses_counts(pipeline: IntelligentGenerationPipeline, count: Any) -> None:
    with pytest.raises(InvalidInputError, match="count"):
        pipeline.scout(PROMPT, count=count)


def test_scout_in_assisted_mode(embedded_home: Path) -> None:
    pipeline = IntelligentGenerationPipeline(PipelineConfig(base_model="embedded", mode=OperationMode.ASSISTED))
    with pytest.raises(ConfirmationRequiredError, match=r"analyze_and_recommend.*scout\(prompt, recommendations"):
        pipeline.scout(PROMPT)
    recommendations = pipeline.analyze_and_recommend(PROMPT)
    parameters = recommendations.suggested_params
    assert parameters is not None
    parameters.width = parameters.height = 64
    parameters.num_steps = 5
    recommendations.suggested_loras = recommendations.suggested_loras[:1]
    scouting = pipeline.scout(PROMPT, seed=7, count=2, recommendations=recommendations)
    result = pipeline.generate_from_scouting(scouting, 0)
    whole = pipeline.generate_from_recommendations(PROMPT, recommendations, seed=7)
    assert result.image.tobytes() == whole.image.tobytes()
    assert len(result.metadata.loras_used) == 1
    with pytest.raises(InvalidInputError, match=r"width.*edit the recommendations"):
        pipeline.scout(PROMPT, recommendations=recommendations, width=128)


def test_generate_from_scouting_refuses_edits(pipeline: IntelligentGenerationPipeline) -> None:
    scouting: Scouting = pipeline.scout(PROMPT, seed=0, count=2, **SMALL)
    scouting.plan.parameters.guidance_scale = 2.0
    with pytest.raises(InvalidInputError, match="scout again"):
        pipeline.generate_from_scouting(scouting, 0)
