"""The user's word on the model's family rules everything that hangs on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from intelligence import (
    Family,
    IntelligentGenerationPipeline,
    LearningEngine,
    ModelEvidence,
    ModelRegistry,
    PipelineConfig,
    Recommendations,
)
from intelligence.generation.choice_requests import LoRARequest, SettingsRequest
from intelligence.generation.explanation import explain
from intelligence.generation.planner import Planner
from intelligence.generation.stages import PromptRecommendations

PROMPT = "a quiet lake, mountains"
BASE = ModelEvidence(name="sd_xl_base_1.0.safetensors", prediction="epsilon", sigma_max=14.6146)
PONY = ModelEvidence(name="sd_xl_base_1.0.safetensors", family=Family.PONY)


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    return Planner(ModelRegistry(tmp_path / "registry.db"), LearningEngine(tmp_path / "learning.db"))


def chosen(planner: Planner, first: ModelEvidence, named: Family = Family.UNKNOWN) -> Recommendations:
    """LoRAs and tags for the evidence as LoRARecommend has it, then settings as ParamOptimize chooses them."""
    recommendations = planner.recommend(planner.analyze(PROMPT), first, LoRARequest())
    return planner.parametrize(planner.identified(recommendations, BASE, named), SettingsRequest())


@pytest.mark.parametrize(
    ("first", "named", "tags", "settings", "said"),
    [
        (BASE, Family.UNKNOWN, False, Family.SDXL, ""),
        (PONY, Family.UNKNOWN, True, Family.PONY, "Pony: chosen by you"),
        (PONY, Family.PONY, True, Family.PONY, "Pony: chosen by you"),
        (BASE, Family.PONY, False, Family.PONY, "taken for SDXL when LoRAs and quality tags were chosen"),
        (PONY, Family.ILLUSTRIOUS, True, Family.ILLUSTRIOUS, "taken for Pony when LoRAs and quality tags were chosen"),
    ],
)
def test_named_family_decides_tags_and_settings(
    planner: Planner, first: ModelEvidence, named: Family, tags: bool, settings: Family, said: str
) -> None:
    found = chosen(planner, first, named)
    assert found.prompt.startswith("score_9") is tags
    assert found.suggested_params is not None and found.family is not None
    assert found.suggested_params.family is found.family.family is settings
    assert said in explain(found).parameter_reasoning["family"]
    assert ("taken for" in explain(found).parameter_reasoning["family"]) is said.startswith("taken for")


def test_identified_without_earlier_family_has_no_reason(planner: Planner) -> None:
    bare = PromptRecommendations(planner.analyze(PROMPT), [], prompt=PROMPT)
    found = planner.identified(bare, BASE, Family.PONY)
    assert found.reasons == ()
    assert found.model is not None and found.model.family is Family.PONY


def test_model_family_of_config_decides_tags_and_settings(embedded_home: Path) -> None:
    pipeline = IntelligentGenerationPipeline(PipelineConfig(base_model="embedded", model_family="pony"))
    suggestions = pipeline.analyze_and_recommend(PROMPT)
    parameters = suggestions.suggested_params
    assert parameters is not None
    assert suggestions.prompt.startswith("score_9")
    assert (parameters.family, parameters.sampler_name, parameters.confidence) == (Family.PONY, "euler_ancestral", 1.0)
    small = {"width": 64, "height": 64, "steps": 1}
    parameters.width = parameters.height = 64
    parameters.num_steps = 1
    for result in (
        pipeline.generate(PROMPT, seed=0, **small),
        pipeline.generate_from_recommendations(PROMPT, suggestions, seed=0),
    ):
        assert result.metadata.final_prompt.startswith("score_9")
        assert result.generation.plan.parameters.family is Family.PONY
        assert "Pony: chosen by you" in result.explanation.parameter_reasoning["family"]
    plain = IntelligentGenerationPipeline(PipelineConfig(base_model="embedded")).analyze_and_recommend(PROMPT)
    assert "score_9" not in plain.prompt
    assert plain.suggested_params is not None and plain.suggested_params.family is not Family.PONY
