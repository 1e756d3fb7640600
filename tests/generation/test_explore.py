"""Second sets on one prompt in so many, from which choices learn."""

import pytest

from intelligence.config import LoRAPreferences, OperationMode
from intelligence.generation.choice_requests import LoRARequest
from intelligence.generation.generation_messages import GenerationMessage
from intelligence.generation.planner import Planner
from intelligence.learning import LearningEngine
from intelligence.lora import LoRARecommender
from intelligence.models import Architecture, ModelEvidence
from intelligence.prompt import LoRATag, PromptAnalyzer
from intelligence.registry import ModelRegistry
from tests.lora.library import ANIME, FLAT, MAGIC, PHOTO, WITCH, Library

SDXL = ModelEvidence(name="some_sdxl.safetensors", architecture=Architecture.SDXL)
PROMPT = "anime girl with magical powers"


@pytest.fixture
def planner(tmp_path):
    planner = Planner(ModelRegistry(tmp_path / "registry.db"), LearningEngine(tmp_path / "learning.db"))
    planner.recommender = lambda *_, **__: LoRARecommender(Library(ANIME, FLAT, PHOTO, MAGIC, WITCH))
    return planner


def variants(planner, **options):
    preferences = LoRAPreferences(explore_every=options.pop("explore_every", 1))
    request = LoRARequest(preferences=preferences, **options)
    return planner.recommend_variants(request, planner.analyze(PROMPT), SDXL)


def names(stage):
    return [lora.lora_name for lora in stage.suggested_loras]


def test_explored_set_adds_what_is_worth_trying(planner):
    plain, tried = variants(planner)
    (usual,) = variants(planner, explore_every=0)
    assert names(plain) == names(usual)
    (added,) = set(names(tried)) - set(names(plain))
    assert added in (FLAT.name, PHOTO.name, WITCH.name)
    (reason,) = [one for one in tried.reasons if one.message == GenerationMessage.EXPLORED.key]
    assert reason.arguments == {"lora": added, "every": 1}
    assert (plain.variants, tried.variants) == (2, 2)


@pytest.mark.parametrize(
    "options",
    [
        {"mode": OperationMode.MANUAL},
        {"mode": OperationMode.ASSISTED, "selection": (LoRATag(ANIME.name),)},
        {"explore_every": 0},
    ],
)
def test_nothing_is_tried_unasked(planner, options):
    assert len(variants(planner, **options)) == 1


def test_one_prompt_in_so_many_explores():
    request = LoRARequest(preferences=LoRAPreferences(explore_every=5))
    due = [request.explores(f"prompt {number}") for number in range(1000)]
    assert 160 < sum(due) < 240
    assert due == [request.explores(f"prompt {number}") for number in range(1000)]


def test_explore_leaves_out_what_is_applied_or_hopeless():
    recommender = LoRARecommender(Library(ANIME, FLAT, PHOTO, MAGIC, WITCH))

    def explored(prompt, *but, **limits):
        found = recommender.explore(PromptAnalyzer().analyze(prompt), SDXL, but, **limits)
        return [one.lora_name for one in found]

    found = explored(PROMPT, ANIME.model_id)
    assert MAGIC.name in found and not {ANIME.name, PHOTO.name, WITCH.name} & {*found}
    assert explored("photo of magic") == [MAGIC.name, PHOTO.name]
    assert explored("photo of magic", min_confidence=1.0) == [MAGIC.name]
