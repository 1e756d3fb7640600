"""Settings as ParamOptimize asks for them."""

from pathlib import Path

import pytest

from intelligence.config import GenerationConstraints, Priority
from intelligence.errors import InvalidInputError
from intelligence.generation.choice_requests import SettingsRequest, settings_report
from intelligence.generation.planner import Planner
from intelligence.generation.stages import PromptRecommendations
from intelligence.learning import LearningEngine
from intelligence.memory import MemoryRequest, Resources
from intelligence.models import Family, ModelEvidence
from intelligence.registry import ModelRegistry

CARD = Resources("cuda", "Card", 24, 22, 64, 48)
SDXL = ModelEvidence(name="sd_xl_base_1.0.safetensors")


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    return Planner(ModelRegistry(tmp_path / "registry.db"), LearningEngine(tmp_path / "learning.db"))


def test_choose_takes_zero_and_auto_as_unset(planner: Planner) -> None:
    settings = {"num_steps": 0, "guidance_scale": 0.0, "sampler_name": "auto", "scheduler": "karras", "width": 0}
    (chosen,) = planner.parametrize_variants(
        SettingsRequest(settings=settings, resources=CARD), planner.analyze("a cat"), SDXL
    )
    found = chosen.suggested_params
    assert (found.num_steps, found.guidance_scale, found.sampler_name) == (20, 7.0, "dpmpp_2m")
    assert [reason.setting for reason in found.reasons if reason.source == "user"] == ["scheduler"]


def test_choose_reads_prompts_from_an_analysis(planner: Planner) -> None:
    (chosen,) = planner.parametrize_variants(SettingsRequest(resources=CARD), planner.analyze("a cat", "blurry"), SDXL)
    assert (chosen.prompt, chosen.negative_prompt, chosen.suggested_loras) == ("a cat", "blurry", [])


def test_choose_keeps_the_model_that_the_story_knows(planner: Planner) -> None:
    story = PromptRecommendations(planner.analyze("a cat"), [], model=SDXL)
    (chosen,) = planner.parametrize_variants(SettingsRequest(resources=CARD), story)
    assert (chosen.model, chosen.suggested_params.family) == (SDXL, Family.SDXL)


def test_choose_obeys_the_family_that_the_user_set(planner: Planner) -> None:
    request = SettingsRequest(family=Family.PONY, resources=CARD)
    (chosen,) = planner.parametrize_variants(request, planner.analyze("a cat"), SDXL)
    assert chosen.suggested_params.family is Family.PONY


def test_choose_passes_budgets_and_images_on(planner: Planner) -> None:
    limits, memory = GenerationConstraints(9.0, 6.0, Priority.SPEED), MemoryRequest(images=3)
    request = SettingsRequest(limits, memory=memory, aspect="wide", resources=CARD)
    (chosen,) = planner.parametrize_variants(request, planner.analyze("a cat"), SDXL)
    found = chosen.suggested_params
    assert (found.max_time_seconds, found.max_vram_gb, found.batch_size) == (9.0, 6.0, 3)
    assert found.width > found.height


def test_choose_returns_variations_the_best_first(planner: Planner) -> None:
    found = planner.parametrize_variants(SettingsRequest(variations=3, resources=CARD), planner.analyze("a cat"), SDXL)
    assert len(found) == 3
    alone = planner.parametrize_variants(SettingsRequest(resources=CARD), planner.analyze("a cat"), SDXL)
    assert found[0].suggested_params == alone[0].suggested_params


def test_choose_refuses_to_cross_variations_with_sets_of_loras(planner: Planner) -> None:
    story = PromptRecommendations(planner.analyze("a cat"), [], variants=2)
    with pytest.raises(InvalidInputError, match="2 sets of LoRAs"):
        planner.parametrize_variants(SettingsRequest(variations=2, resources=CARD), story, SDXL)


def test_settings_report_names_every_setting(planner: Planner) -> None:
    (chosen,) = planner.parametrize_variants(SettingsRequest(resources=CARD), planner.analyze("a cat"), SDXL)
    text = settings_report(chosen)
    assert all(f"  {setting}: " in text for setting in ("steps", "cfg", "sampler", "scheduler", "size"))
