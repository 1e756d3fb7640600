"""The pipeline as people use it from Python: what is taken, what is refused, and what notebooks show."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from intelligence import (
    BatchConfig,
    ConfirmationRequiredError,
    GenerationExplanation,
    IntelligentGenerationPipeline,
    InvalidInputError,
    PipelineConfig,
    VariationStrategy,
)

SMALL = {"num_steps": 2, "width": 64, "height": 64}


@pytest.fixture(scope="module")
def sampling(embedded_home: Path) -> IntelligentGenerationPipeline:
    """A pipeline that keeps its model loaded."""
    return IntelligentGenerationPipeline(PipelineConfig(base_model="embedded"))


@pytest.fixture
def pipeline(embedded_home: Path) -> IntelligentGenerationPipeline:
    """A pipeline with the embedded model."""
    return IntelligentGenerationPipeline(PipelineConfig(base_model="embedded"))


def test_numpy_numbers_and_paths_are_taken(sampling: IntelligentGenerationPipeline) -> None:
    small = {name: np.int64(value) for name, value in SMALL.items()}
    chosen = {Path("magic_effects"): np.float32(0.5)}
    made = sampling.generate("a lake", seed=np.uint64(3), guidance_scale=np.float32(2), loras=chosen, **small)  # type: ignore[arg-type]
    assert (made.metadata.seed, made.metadata.steps, made.metadata.cfg_scale) == (3, 2, 2.0)
    assert [(lora.name, lora.alpha) for lora in made.metadata.loras_used] == [("magic_effects", 0.5)]
    made.generation.to_json()


def test_mode_assigned_later_counts(pipeline: IntelligentGenerationPipeline) -> None:
    pipeline.config.mode = "ASSISTED"  # type: ignore[assignment]
    for make in (
        lambda: pipeline.generate("a lake"),
        lambda: pipeline.generate_batch("a lake", BatchConfig(2)),
        lambda: pipeline.scout("a lake"),
    ):
        with pytest.raises(ConfirmationRequiredError):
            make()


@pytest.mark.parametrize(
    ("name", "value"),
    [("model_family", "ponny"), ("base_model", "other.safetensors"), ("judge_loras", True), ("mode", "auto-ish")],
)
def test_config_assigned_later_is_checked(pipeline: IntelligentGenerationPipeline, name: str, value: object) -> None:
    with pytest.raises(InvalidInputError, match=name):
        setattr(pipeline.config, name, value)
        pipeline.generate("a lake", **SMALL)  # type: ignore[arg-type]


def test_unknown_attributes_name_the_nearest(pipeline: IntelligentGenerationPipeline) -> None:
    recommendations = pipeline.analyze_and_recommend("a lake")
    for record, name, nearest in (
        (pipeline, "confg", "config"),
        (pipeline.config, "base_modell", "base_model"),
        (recommendations, "suggested_parms", "suggested_params"),
        (recommendations.suggested_params, "steps", "num_steps"),
    ):
        with pytest.raises(AttributeError, match=f"did you mean '{nearest}'"):
            setattr(record, name, 1)
    with pytest.raises(InvalidInputError):
        pipeline.config = {"mode": "AUTO"}
    with pytest.raises(InvalidInputError):
        recommendations.suggested_loras = "magic_effects"  # type: ignore[assignment]
    recommendations.suggested_loras.append("magic_effects")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="magic_effects"):
        pipeline.generate_from_recommendations("a lake", recommendations)


@pytest.mark.parametrize("strategy", VariationStrategy)
def test_batch_takes_settings(sampling: IntelligentGenerationPipeline, strategy: VariationStrategy) -> None:
    made = sampling.generate_batch("anime girl with magic", BatchConfig(3, strategy, base_seed=0), **SMALL)  # type: ignore[arg-type]
    assert [(one.metadata.steps, one.image.size) for one in made] == [(2, (64, 64))] * 3
    told = {
        (one.metadata.seed, one.metadata.cfg_scale, one.metadata.sampler, tuple(one.metadata.loras_used))
        for one in made
    }
    assert len(told) == 3
    with pytest.raises(InvalidInputError, match="stepps"):
        sampling.generate_batch("a lake", BatchConfig(2), stepps=3)


def test_notebook_shows_image_and_escaped_reasons(sampling: IntelligentGenerationPipeline) -> None:
    made = sampling.generate("<img src=x onerror=alert(1)>, a lake", seed=0, **SMALL)  # type: ignore[arg-type]
    assert made._repr_png_().startswith(b"\x89PNG")
    shown = made._repr_html_()
    assert set(re.findall(r"<([a-z]+)", shown)) <= {"div", "img", "p", "details", "summary", "table", "tr", "th", "td"}
    assert shown.count("<img") == 1
    assert "<img src=x" not in sampling.analyze_and_recommend("<img src=x>, a lake")._repr_html_()
    evil = GenerationExplanation("<b>", {"<i>": "<script>"}, {"steps": '"&'}, ["</table>"])
    assert evil._repr_html_().count("&lt;") == 4
