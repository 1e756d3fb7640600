"""The Python pipeline with the embedded model: modes, overrides, batches, feedback, and what it refuses."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from intelligence import (
    BatchConfig,
    BatchProgress,
    ConfirmationRequiredError,
    Generation,
    GenerationConstraints,
    IntelligentGenerationPipeline,
    InvalidInputError,
    ModelNotFoundError,
    OperationMode,
    PipelineConfig,
    Priority,
    StorageError,
    UnknownGenerationError,
    UnsupportedModelError,
    VariationStrategy,
)

pytestmark = pytest.mark.usefixtures("embedded_home")

SMALL = {"width": 64, "height": 64, "steps": 2}
PROMPT = "anime girl with magical powers"


@pytest.fixture(scope="module")
def pipeline(embedded_home: Path) -> IntelligentGenerationPipeline:
    return IntelligentGenerationPipeline(PipelineConfig(base_model="embedded"))


def pixels(result: object) -> np.ndarray:
    return np.asarray(result.image)  # type: ignore[attr-defined]


def test_generate_uses_and_explains_chosen_loras(pipeline: IntelligentGenerationPipeline) -> None:
    result = pipeline.generate(PROMPT, seed=1, **SMALL)
    assert {lora.name for lora in result.metadata.loras_used} == {"magic_effects"}
    assert set(result.explanation.lora_reasoning) >= {"magic_effects"}
    assert {"steps", "cfg", "sampler", "scheduler", "size"} <= set(result.explanation.parameter_reasoning)
    assert "2 steps" in str(result.explanation)
    assert result.image.size == (64, 64)


def test_generate_reports_steps(pipeline: IntelligentGenerationPipeline) -> None:
    seen: list[tuple[int, int]] = []
    pipeline.generate("a lake", seed=0, on_step=lambda done, total: seen.append((done, total)), **SMALL)
    assert seen == [(1, 2), (2, 2)]


def test_generate_from_several_threads(embedded_home: Path) -> None:
    """Also its first use, which loads the model; each image is what it is alone, up to rounding."""
    fresh = IntelligentGenerationPipeline(PipelineConfig(base_model="embedded"))
    prompts = {7: PROMPT, 8: "a quiet lake", 9: "photorealistic portrait, cinematic lighting"}
    with ThreadPoolExecutor(3) as threads:
        together = dict(
            zip(prompts, threads.map(lambda s: fresh.generate(prompts[s], seed=s, **SMALL), prompts), strict=True)
        )
    for seed, prompt in prompts.items():
        alone = pixels(fresh.generate(prompt, seed=seed, **SMALL)).astype(int)
        assert np.abs(alone - pixels(together[seed])).max() <= 1


def test_recommendations_print_briefly(pipeline: IntelligentGenerationPipeline) -> None:
    suggestions = pipeline.analyze_and_recommend(PROMPT)
    printed = f"{suggestions.suggested_loras} {suggestions.suggested_params}"
    assert "lora_name='magic_effects'" in printed
    assert f"num_steps={suggestions.suggested_params.num_steps}" in printed
    assert "ModelMetadata(" not in printed and "Reason(" not in printed


def test_generate_with_seed_zero(pipeline: IntelligentGenerationPipeline) -> None:
    first, again = (pipeline.generate(PROMPT, seed=0, **SMALL) for _ in range(2))
    assert first.metadata.seed == 0
    assert (pixels(first) == pixels(again)).all()
    assert (pixels(first) != pixels(pipeline.generate(PROMPT, seed=1, **SMALL))).any()


def test_generate_with_and_without_loras(pipeline: IntelligentGenerationPipeline) -> None:
    chosen = pipeline.generate(PROMPT, seed=3, **SMALL)
    none = pipeline.generate(chosen.metadata.final_prompt, seed=3, loras=[], **SMALL)
    assert none.metadata.loras_used == []
    assert (pixels(chosen) != pixels(none)).any()


def test_generate_with_named_loras(pipeline: IntelligentGenerationPipeline) -> None:
    result = pipeline.generate("a lake", seed=3, loras={"pixel_art": 0.4}, **SMALL)
    assert [(lora.name, lora.alpha) for lora in result.metadata.loras_used] == [("pixel_art", 0.4)]
    tagged = pipeline.generate("a lake <lora:pixel_art:0.4>", seed=3, **SMALL)
    assert [(lora.name, lora.alpha) for lora in tagged.metadata.loras_used] == [("pixel_art", 0.4)]
    assert "<lora" not in tagged.metadata.final_prompt


def test_generate_overrides(pipeline: IntelligentGenerationPipeline) -> None:
    result = pipeline.generate(
        PROMPT,
        seed=0,
        num_steps=3,
        guidance_scale=1.5,
        width=72,
        height=88,
        sampler_name="dpmpp_2m",
        scheduler="karras",
    )
    metadata = result.metadata
    assert (metadata.steps, metadata.cfg_scale, metadata.width, metadata.height) == (3, 1.5, 72, 88)
    assert metadata.sampler == "dpmpp_2m"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"stepz": 3}, "stepz"),
        ({"num_steps": 0}, "num_steps"),
        ({"width": 65}, "multiple of 8"),
        ({"guidance_scale": float("nan")}, "guidance_scale"),
        ({"sampler_name": "warp"}, "warp"),
        ({"loras": ["not_here"]}, "not_here"),
        ({"loras": {"pixel_art": 1e9}}, "strength"),
        ({"aspect": "round"}, "round"),
    ],
)
def test_generate_refuses_overrides(pipeline: IntelligentGenerationPipeline, overrides: dict, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        pipeline.generate(PROMPT, seed=0, **{**SMALL, **overrides} if "stepz" not in overrides else overrides)


@pytest.mark.parametrize("prompt", ["", "  \n", None, 7])
def test_generate_refuses_empty_prompt(pipeline: IntelligentGenerationPipeline, prompt: object) -> None:
    with pytest.raises(InvalidInputError):
        pipeline.generate(prompt)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, True, "1"])
def test_generate_refuses_seeds(pipeline: IntelligentGenerationPipeline, seed: object) -> None:
    with pytest.raises(InvalidInputError, match="seed"):
        pipeline.generate(PROMPT, seed=seed, **SMALL)  # type: ignore[arg-type]


def test_generate_batch_seeds(pipeline: IntelligentGenerationPipeline) -> None:
    seen: list[BatchProgress] = []
    batch = BatchConfig(num_images=3, base_seed=0, parallel_generation=False)
    small(pipeline)
    results = pipeline.generate_batch(PROMPT, batch, on_progress=seen.append)
    assert [result.metadata.seed for result in results] == [0, 1, 2]
    assert len({result.id for result in results}) == 3
    assert seen[-1].images_done == seen[-1].images_total == 3
    assert any(progress.steps_done for progress in seen)


def small(pipeline: IntelligentGenerationPipeline) -> None:
    """Plan few steps by a time budget, that a slow machine does not change in flight."""
    pipeline.config.constraints = GenerationConstraints(
        max_time_seconds=3, hold_time_limit=False, priority=Priority.SPEED
    )


def test_generate_batch_in_one_forward_batch(pipeline: IntelligentGenerationPipeline) -> None:
    small(pipeline)
    results = pipeline.generate_batch(PROMPT, BatchConfig(num_images=2, base_seed=5, parallel_generation=True))
    assert results[0].generation.plan.memory.batch_size == 2
    alone = pipeline.generate_from_recommendations(PROMPT, results[1].generation.plan.recommendations, seed=6)
    difference = np.abs(pixels(results[1]).astype(int) - pixels(alone).astype(int))
    assert np.percentile(difference, 99) <= 2


def test_generate_batch_parameter_variation(pipeline: IntelligentGenerationPipeline) -> None:
    small(pipeline)
    batch = BatchConfig(num_images=3, variation_strategy=VariationStrategy.PARAM_VARIATION, base_seed=0)
    results = pipeline.generate_batch("a lake", batch)
    settings = {(r.metadata.steps, r.metadata.cfg_scale, r.metadata.sampler) for r in results}
    assert len(settings) > 1
    assert {r.metadata.seed for r in results} == {0}


def test_generate_batch_lora_variation(pipeline: IntelligentGenerationPipeline) -> None:
    small(pipeline)
    batch = BatchConfig(num_images=3, variation_strategy=VariationStrategy.LORA_VARIATION, base_seed=0)
    results = pipeline.generate_batch(PROMPT, batch)
    assert len({frozenset(lora.name for lora in r.metadata.loras_used) for r in results}) == 3


def test_generate_in_assisted_mode_names_calls(embedded_home: Path) -> None:
    pipeline = IntelligentGenerationPipeline(PipelineConfig(base_model="embedded", mode=OperationMode.ASSISTED))
    for call in (lambda: pipeline.generate(PROMPT), lambda: pipeline.generate_batch(PROMPT, BatchConfig())):
        with pytest.raises(ConfirmationRequiredError, match=r"analyze_and_recommend.*generate_from_recommendations"):
            call()


def test_generate_from_recommendations_uses_and_checks_edits(embedded_home: Path) -> None:
    pipeline = IntelligentGenerationPipeline(PipelineConfig(base_model="embedded", mode=OperationMode.ASSISTED))
    recommendations = pipeline.analyze_and_recommend(PROMPT)
    parameters = recommendations.suggested_params
    assert parameters is not None
    parameters.width = parameters.height = 64
    parameters.num_steps = 2
    recommendations.suggested_loras = recommendations.suggested_loras[:1]
    recommendations.suggested_loras[0].suggested_alpha = 0.25
    result = pipeline.generate_from_recommendations(PROMPT, recommendations, seed=0)
    assert [lora.alpha for lora in result.metadata.loras_used] == [0.25]
    with pytest.raises(InvalidInputError, match="num_steps"):
        parameters.num_steps = -4
    with pytest.raises(InvalidInputError, match="suggested_alpha"):
        recommendations.suggested_loras[0].suggested_alpha = float("inf")


def test_generate_from_recommendations_of_saved_image(pipeline: IntelligentGenerationPipeline, tmp_path: Path) -> None:
    result = pipeline.generate(PROMPT, "blurry", seed=9, **SMALL)
    story = json.loads(result.save(tmp_path / "x.png").with_suffix(".json").read_text(encoding="utf-8"))
    saved = Generation.from_dict(story).plan.recommendations
    analysis = saved.prompt_analysis
    again = pipeline.generate_from_recommendations(analysis.prompt, saved, analysis.negative_prompt, story["seed"])
    assert (pixels(again) == pixels(result)).all()


def test_generate_in_manual_mode(embedded_home: Path) -> None:
    pipeline = IntelligentGenerationPipeline(PipelineConfig(base_model="embedded", mode=OperationMode.MANUAL))
    result = pipeline.generate(PROMPT, "blurry", seed=0, **SMALL)
    assert result.metadata.loras_used == []
    assert (result.metadata.final_prompt, result.metadata.final_negative_prompt) == (PROMPT, "blurry")
    assert (result.metadata.steps, result.metadata.sampler, result.metadata.cfg_scale) == (2, "euler", 7.0)
    assert "MANUAL" in result.explanation.parameter_reasoning["steps"]
    named = pipeline.generate(PROMPT, seed=0, loras=["magic_effects"], **SMALL)
    assert [lora.name for lora in named.metadata.loras_used] == ["magic_effects"]


def test_recommend_heeds_rating(embedded_home: Path) -> None:
    pipeline = IntelligentGenerationPipeline(PipelineConfig(base_model="embedded"))
    words = "pixel art of a cat"
    before = {lora.lora_name: lora.confidence_score for lora in pipeline.analyze_and_recommend(words).suggested_loras}
    assert "pixel_art" in before
    result = pipeline.generate(words, seed=0, **SMALL)
    pipeline.provide_feedback(result.id, 1, "no")
    after = pipeline.analyze_and_recommend(words)
    confidence = {lora.lora_name: lora.confidence_score for lora in after.suggested_loras}
    assert confidence.get("pixel_art", 0) < before["pixel_art"]
    pipeline.learning.remove_feedback(result.id)


@pytest.mark.parametrize("rating", [0, 6, "5", float("nan"), True, None])
def test_provide_feedback_refuses_ratings(pipeline: IntelligentGenerationPipeline, rating: object) -> None:
    result = pipeline.generate("a lake", seed=0, **SMALL)
    with pytest.raises(InvalidInputError, match="rating"):
        pipeline.provide_feedback(result.id, rating)  # type: ignore[arg-type]
    assert pipeline.learning.ratings(result.id) == []


def test_provide_feedback_for_unknown_generation(pipeline: IntelligentGenerationPipeline) -> None:
    with pytest.raises(UnknownGenerationError, match="nobody"):
        pipeline.provide_feedback("nobody", 3)


def test_generate_with_missing_base_model(embedded_home: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"allow_downloads.*embedded"):
        IntelligentGenerationPipeline().generate("a lake", **SMALL)


def test_generate_with_broken_base_model(embedded_home: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\x10\0\0\0\0\0\0\0not json at all!!")
    with pytest.raises(UnsupportedModelError, match="broken"):
        IntelligentGenerationPipeline(PipelineConfig(base_model=str(broken))).generate("a lake", **SMALL)
    pickled = tmp_path / "old.ckpt"
    pickled.write_bytes(b"\x80\x02.")
    with pytest.raises(UnsupportedModelError, match="old"):
        IntelligentGenerationPipeline(PipelineConfig(base_model=str(pickled))).generate("a lake", **SMALL)


def test_generate_with_unusable_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("INTELLIGENT_GENERATION_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(StorageError, match="INTELLIGENT_GENERATION_HOME"):
        IntelligentGenerationPipeline(PipelineConfig(base_model="embedded")).generate("a lake", **SMALL)
