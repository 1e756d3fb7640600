"""The planner's stages."""

from pathlib import Path

import pytest

from intelligence.config import OperationMode
from intelligence.generation.choice_requests import LoRARequest, SettingsRequest
from intelligence.generation.planner import Planner, parameter_variants
from intelligence.learning import LearningEngine
from intelligence.memory import Resources, hypothetical_gpu
from intelligence.models import ModelEvidence
from intelligence.records import Source
from intelligence.registry import ModelRegistry

CARD = hypothetical_gpu(24, Resources("cpu", "Test", 64, 48, 64, 48))


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    return Planner(ModelRegistry(tmp_path / "registry.db"), LearningEngine(tmp_path / "learning.db"))


PASSED = {"steps": 25, "cfg": 6.0, "sampler": "euler_ancestral", "scheduler": "karras"}


def variations(planner: Planner, mode: OperationMode, overrides: dict[str, object]) -> list[tuple[object, ...]]:
    """(steps, cfg, sampler, scheduler) of five variations for an SDXL checkpoint."""
    sdxl = ModelEvidence(name="sd_xl_base_1.0.safetensors")
    recommendations = planner.recommend(planner.analyze("a cat"), sdxl, LoRARequest(mode))
    chosen = planner.parametrize(recommendations, SettingsRequest(settings=overrides, resources=CARD))
    found = [variant.suggested_params for variant in parameter_variants(planner, chosen, 5)]
    return [(each.num_steps, each.guidance_scale, each.sampler_name, each.scheduler) for each in found]


@pytest.mark.parametrize("mode", [OperationMode.AUTO, OperationMode.MANUAL])
def test_parameter_variants_keep_settings_of_user(planner: Planner, mode: OperationMode) -> None:
    assert variations(planner, mode, PASSED) == [tuple(PASSED.values())]


@pytest.mark.parametrize("mode", [OperationMode.AUTO, OperationMode.MANUAL])
def test_parameter_variants_change_other_settings(planner: Planner, mode: OperationMode) -> None:
    found = variations(planner, mode, {"steps": 25, "sampler": "euler_ancestral"})
    assert len(set(found)) == 5
    assert {(steps, sampler) for steps, _, sampler, _ in found} == {(25, "euler_ancestral")}


def test_parametrize_manual_reason_sources(planner: Planner) -> None:
    recommendations = planner.recommend(planner.analyze("a cat"), None, LoRARequest(OperationMode.MANUAL))
    request = SettingsRequest(settings={"cfg": 6.0, "width": 768}, resources=CARD)
    chosen = planner.parametrize(recommendations, request)
    assert {reason.setting: reason.source for reason in chosen.suggested_params.reasons} == {
        "steps": Source.DEFAULT,
        "cfg": Source.USER,
        "sampler": Source.DEFAULT,
        "scheduler": Source.DEFAULT,
        "size": Source.USER,
    }
