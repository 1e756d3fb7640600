"""The five acceptance criteria of the user story, as they stand there but for imports and the embedded base model."""

from __future__ import annotations

import pytest

from intelligence import (
    BatchConfig,
    GenerationConstraints,
    IntelligentGenerationPipeline,
    LoRAPreferences,
    OperationMode,
    PipelineConfig,
    Priority,
    VariationStrategy,
)

pytestmark = pytest.mark.usefixtures("embedded_home")


def test_simple_generation() -> None:
    pipeline = IntelligentGenerationPipeline(PipelineConfig(base_model="embedded"))

    result = pipeline.generate("anime girl with magical powers")

    assert result.image is not None
    assert result.metadata.loras_used
    assert result.explanation


def test_advanced_configuration() -> None:
    config = PipelineConfig(
        base_model="embedded",
        mode=OperationMode.AUTO,
        constraints=GenerationConstraints(max_time_seconds=60, max_vram_gb=8.0, priority=Priority.QUALITY),
        lora_preferences=LoRAPreferences(max_loras=3, min_confidence=0.6, allow_style_mixing=True),
    )

    pipeline = IntelligentGenerationPipeline(config=config)

    result = pipeline.generate(
        prompt="photorealistic portrait, cinematic lighting", negative_prompt="cartoon, anime", seed=42
    )

    assert len(result.metadata.loras_used) <= 3
    assert result.metadata.generation_time_seconds <= 60


def test_batch_generation() -> None:
    pipeline = IntelligentGenerationPipeline(PipelineConfig(base_model="embedded"))
    batch_config = BatchConfig(
        num_images=4, variation_strategy=VariationStrategy.SEED_VARIATION, parallel_generation=True
    )

    results = pipeline.generate_batch(prompt="anime girl, multiple poses", batch_config=batch_config)

    assert len(results) == 4
    assert all(r.image is not None for r in results)
    assert len(set(r.metadata.seed for r in results)) == 4


def test_assisted_mode() -> None:
    pipeline = IntelligentGenerationPipeline(config=PipelineConfig(base_model="embedded", mode=OperationMode.ASSISTED))

    recommendations = pipeline.analyze_and_recommend(prompt="anime style, magical girl")

    print(recommendations.suggested_loras)
    print(recommendations.suggested_params)
    print(recommendations.explanation)

    recommendations.suggested_params.num_steps = 40

    result = pipeline.generate_from_recommendations(prompt="anime style, magical girl", recommendations=recommendations)

    assert result.metadata.steps == 40
    assert {lora.lora_name for lora in recommendations.suggested_loras} == {
        lora.name for lora in result.metadata.loras_used
    }


def test_workflow_with_feedback() -> None:
    pipeline = IntelligentGenerationPipeline(PipelineConfig(base_model="embedded"))

    result = pipeline.generate("test prompt")

    pipeline.provide_feedback(generation_id=result.id, rating=5, comments="Perfect! Exactly what I wanted")

    (stored,) = pipeline.learning.ratings(result.id)
    assert (stored.rating, stored.comments) == (5, "Perfect! Exactly what I wanted")
