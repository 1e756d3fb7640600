"""Budgets and predictions through the Python pipeline: kept, or told; and predicted beside computed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from intelligence import (
    GenerationConstraints,
    IntelligentGenerationPipeline,
    InvalidInputError,
    MemorySettings,
    PipelineConfig,
    Priority,
)
from intelligence.generation.planner import lora_variants

SMALL = {"width": 64, "height": 64}
PHOTO = "photorealistic portrait of a fisherman"


@pytest.fixture(scope="module")
def home(embedded_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The embedded model without anything learned by other tests."""
    from intelligence.config import HOME_VARIABLE
    from intelligence.generation.embedded import ensure_embedded

    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("budgets")
        patch.setenv(HOME_VARIABLE, str(home))
        ensure_embedded()
        yield home


def pipeline(**config: object) -> IntelligentGenerationPipeline:
    return IntelligentGenerationPipeline(PipelineConfig(base_model="embedded", **config))  # type: ignore[arg-type]


@pytest.mark.parametrize("priority", list(Priority))
def test_generate_computes_predicted_forward_items(home: Path, priority: Priority) -> None:
    made = pipeline(constraints=GenerationConstraints(priority=priority)).generate(PHOTO, seed=0, **SMALL)
    generation = made.generation
    assert generation.forward_items == generation.plan.parameters.forward_items
    assert f"predicted {generation.forward_items}, computed {generation.forward_items}" in " ".join(
        made.explanation.performance_notes
    )


def test_generate_from_recommendations_predicts_edits(home: Path) -> None:
    maker = pipeline()
    suggestions = maker.analyze_and_recommend(PHOTO)
    parameters = suggestions.suggested_params
    assert parameters is not None and parameters.estimated_time_seconds is not None
    before = parameters.estimated_time_seconds
    parameters.width = parameters.height = 64
    parameters.num_steps = 3
    parameters.sampler_name = "heun"
    made = maker.generate_from_recommendations(PHOTO, suggestions, seed=0).generation
    assert made.forward_items == made.plan.parameters.forward_items
    assert (made.plan.parameters.estimated_time_seconds or before) < before


def test_generate_from_recommendations_refuses_schedule_of_other_length(home: Path) -> None:
    maker = pipeline(constraints=GenerationConstraints(priority=Priority.SPEED), model_family="sdxl")
    suggestions = maker.analyze_and_recommend(PHOTO)
    parameters = suggestions.suggested_params
    assert parameters is not None and parameters.sigmas is not None
    parameters.num_steps += 2
    with pytest.raises(InvalidInputError, match=r"sigmas must be None .for `scheduler`., or 13 values for 12 steps"):
        maker.generate_from_recommendations(PHOTO, suggestions)
    parameters.sigmas = None
    parameters.width = parameters.height = 64
    assert maker.generate_from_recommendations(PHOTO, suggestions, seed=0).metadata.steps == parameters.num_steps


def test_generate_reports_missed_time_limit(home: Path) -> None:
    maker = pipeline(constraints=GenerationConstraints(max_time_seconds=0.001))
    made = maker.generate(PHOTO, seed=0, **SMALL)
    assert "cannot be met; the nearest plan is 8 steps at 64x64" in made.explanation.parameter_reasoning["time"]
    assert any("the limit of 0.001 s will be exceeded" in note for note in made.generation.notes)


def test_generate_keeps_time_limit_without_note(home: Path) -> None:
    made = pipeline(constraints=GenerationConstraints(max_time_seconds=600)).generate(PHOTO, seed=0, steps=2, **SMALL)
    assert made.metadata.generation_time_seconds < 600
    assert made.generation.notes == ()
    assert "time" in made.explanation.parameter_reasoning


@pytest.mark.parametrize(
    ("constraint", "setting", "expected"), [(None, None, None), (6.0, None, 6.0), (None, 4.0, 4.0), (6.0, 4.0, 4.0)]
)
def test_recommend_takes_tighter_memory_limit(
    home: Path, constraint: float | None, setting: float | None, expected: float | None
) -> None:
    maker = pipeline(
        constraints=GenerationConstraints(max_vram_gb=constraint), memory_settings=MemorySettings(max_vram_gb=setting)
    )
    parameters = maker.analyze_and_recommend(PHOTO).suggested_params
    assert parameters is not None
    assert parameters.max_vram_gb == expected


def test_lora_variants_order(home: Path) -> None:
    maker = pipeline()
    chosen = maker.analyze_and_recommend("anime girl with magical powers, cinematic photo")
    sets = [
        [lora.lora_name for lora in variant.suggested_loras]
        for variant in lora_variants(maker.planner, chosen, 16, quality_tags=True)
    ]
    first = sets[0]
    assert first == [lora.lora_name for lora in chosen.suggested_loras]
    assert len({frozenset(names) for names in sets}) == len(sets)
    none = sets.index([])
    assert all([name] in sets[:none] for name in first)
    assert all(len(names) == len(first) for names in sets[none + 1 :])
    assert sum(not set(names) <= set(first) for names in sets[:none]) <= 1
