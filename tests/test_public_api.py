"""The public names, their parameters and fields, in the order in which callers may pass them."""

from __future__ import annotations

import ast
import dataclasses
import inspect

import pytest

import intelligence

CALLS = {
    "IntelligentGenerationPipeline": "config=None, model_registry=None",
    "IntelligentGenerationPipeline.generate": "prompt, negative_prompt='', seed=None, *, **overrides",
    "IntelligentGenerationPipeline.analyze_and_recommend": "prompt",
    "IntelligentGenerationPipeline.generate_from_recommendations": (
        "prompt, recommendations, negative_prompt='', seed=None"
    ),
    "IntelligentGenerationPipeline.generate_batch": "prompt, batch_config, negative_prompt='', on_progress=None",
    "IntelligentGenerationPipeline.scout": "prompt, negative_prompt='', seed=None, *, count, recommendations",
    "IntelligentGenerationPipeline.generate_from_scouting": "scouting, pick",
    "IntelligentGenerationPipeline.provide_feedback": "generation_id, rating, comments=''",
    "GenerationResult.save": "path",
    "PromptAnalyzer.analyze": "prompt",
    "ModelRegistry": "db_path=None",
    "ModelRegistry.register_model": "",
    "ModelRegistry.get_model": "",
    "ModelRegistry.list_models": "",
    "ModelRegistry.search": "",
    "ModelRegistry.scan": "folders",
    "ModelRegistry.register_from_huggingface": "",
    "ModelRegistry.register_from_civitai": "",
    "ModelRegistry.cleanup_cache": "",
    "LoRARecommender": "registry",
    "LoRARecommender.recommend": "prompt_analysis, base_model, max_loras=3, min_confidence=0.3",
    "ParameterOptimizer": "",
    "ParameterOptimizer.optimize": "prompt_analysis, constraints, *, model, loras",
    "MemoryManager": "",
    "MemoryManager.detect_resources": "",
    "MemoryManager.track_usage": "",
    "MemoryManager.get_peak_vram_usage": "",
    "MemoryManager.plan": "",
    "ModelOffloader": "strategy, max_vram_gb",
    "ModelOffloader.distribute_pipeline": "pipe",
    "ModelPool": "max_size_gb, eviction_policy",
    "LearningEngine": "",
}
"""Parameters in order, with the defaults that are promised; what stands after `*` is passed by name.

More parameters may follow, as long as they have defaults.
"""

FIELDS = {
    "PipelineConfig": "base_model mode constraints lora_preferences memory_settings ollama_config",
    "GenerationConstraints": "max_time_seconds max_vram_gb priority",
    "LoRAPreferences": "max_loras min_confidence allow_style_mixing",
    "MemorySettings": "offload_strategy max_vram_gb",
    "OllamaConfig": "base_url model",
    "BatchConfig": "num_images variation_strategy parallel_generation base_seed",
    "GenerationResult": "id image metadata explanation",
    "GenerationMetadata": (
        "prompt negative_prompt seed steps cfg_scale width height sampler loras_used generation_time_seconds "
        "peak_vram_gb base_model_id pipeline_type"
    ),
    "LoRAInfo": "name alpha",
    "GenerationExplanation": "summary lora_reasoning parameter_reasoning performance_notes",
    "Recommendations": "prompt_analysis suggested_loras suggested_params explanation",
    "LoRARecommendation": "lora_name lora_metadata confidence_score suggested_alpha matching_concepts reasoning",
    "OptimizedParameters": (
        "num_steps guidance_scale width height sampler_name scheduler clip_skip estimated_time_seconds "
        "estimated_vram_gb estimated_quality_score optimization_strategy confidence"
    ),
}
"""The first fields of the dataclasses, in the order in which they are passed."""

MEMBERS = {
    "OperationMode": "AUTO ASSISTED MANUAL",
    "Priority": "SPEED BALANCED QUALITY",
    "OffloadStrategy": "AUTO SEQUENTIAL CPU_OFFLOAD FULL_GPU",
    "VariationStrategy": "SEED_VARIATION PARAM_VARIATION LORA_VARIATION",
}


def find(name: str) -> object:
    owner, _, method = name.partition(".")
    found = getattr(intelligence, owner)
    return getattr(found, method) if method else found


@pytest.mark.parametrize("name", CALLS)
def test_callable_takes_promised_parameters(name: str) -> None:
    parameters = [p for p in inspect.signature(find(name)).parameters.values() if p.name != "self"]
    by_position, _, by_name = CALLS[name].partition("*, ")
    promised = [part.partition("=") for part in by_position.split(", ") if part]
    named = [part for part in by_name.split(", ") if part]
    for parameter, (promise, has_default, default) in zip(parameters, promised, strict=False):
        assert parameter.name == promise
        assert not has_default or parameter.default == ast.literal_eval(default)
    assert len(parameters) >= len(promised)
    known = {str(parameter).split(":")[0] for parameter in parameters[len(promised) :]}
    assert set(named) <= known
    if CALLS[name]:
        optional = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        for extra in parameters[len(promised) :]:
            assert extra.default is not inspect.Parameter.empty or extra.kind in optional, extra


@pytest.mark.parametrize("name", FIELDS)
def test_record_has_promised_fields(name: str) -> None:
    promised = FIELDS[name].split()
    assert dataclasses.is_dataclass(find(name))
    assert list(inspect.signature(find(name)).parameters)[: len(promised)] == promised  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MEMBERS)
def test_enum_has_promised_members(name: str) -> None:
    assert list(find(name).__members__) == MEMBERS[name].split()  # type: ignore[attr-defined]


def test_calls_table_says_what_takes_no_parameters() -> None:
    intelligence.PromptAnalyzer()
    intelligence.ParameterOptimizer()
    intelligence.MemoryManager()
    assert intelligence.PipelineConfig().base_model == "stabilityai/sdxl-base-1.0"


def test_package_exports_every_public_name() -> None:
    assert {name.partition(".")[0] for name in (*CALLS, *FIELDS, *MEMBERS)} <= set(intelligence.__all__)
    for name in intelligence.__all__:
        assert getattr(intelligence, name).__doc__, name
