"""Suggestions that the user looked at, beside the choice that was made of them; and the acts that both show."""

from dataclasses import replace

import pytest

from intelligence.config import OperationMode
from intelligence.generation.choice_requests import ChoiceBasis, LoRARequest
from intelligence.generation.planner import Planner, lora_variants
from intelligence.learning import LearningEngine, Preferences
from intelligence.learning.observations import Evidence, Picture
from intelligence.learning.preferences import PictureRating, UsedLoRA, traits_of
from intelligence.learning.signals import Signal, edits, observations
from intelligence.lora import LoRARecommender
from intelligence.lora.lora_messages import LoRAMessage
from intelligence.models import Architecture, ModelEvidence
from intelligence.prompt import LoRATag
from intelligence.registry import ModelRegistry
from tests.lora.library import ANIME, FLAT, MAGIC, PHOTO, WITCH, Library

SDXL = ModelEvidence(name="some_sdxl.safetensors", architecture=Architecture.SDXL)
PROMPT = "anime girl with magical powers"
HERE = ChoiceBasis.of(PROMPT, SDXL)


@pytest.fixture
def planner(tmp_path):
    planner = Planner(ModelRegistry(tmp_path / "registry.db"), LearningEngine(tmp_path / "learning.db"))
    planner.ratings = None
    planner.recommender = lambda *_, **__: LoRARecommender(Library(ANIME, FLAT, PHOTO, MAGIC, WITCH), planner.ratings)
    return planner


def chosen(planner, selection, **more):
    tags = None if selection is None else tuple(LoRATag(name, strength) for name, strength in selection.items())
    request = LoRARequest(OperationMode.ASSISTED, **{"selection": tags, "chosen_for": HERE, **more})
    return planner.recommend(planner.analyze(PROMPT), SDXL, request)


def acts(stage):
    return {(one.evidence, one.subject) for one in edits({"plan": {"recommendations": stage.to_dict()}})}


def suggested(planner):
    stage = planner.recommend(planner.analyze(PROMPT), SDXL, LoRARequest())
    return {lora.lora_name: lora.suggested_alpha for lora in stage.suggested_loras}


def test_choice_made_of_suggestions_shows_what_was_done(planner):
    usual = suggested(planner)
    first, *_ = usual
    assert acts(chosen(planner, usual)) == {(Evidence.KEPT, f"lora:{name}.safetensors") for name in usual}
    without = {name: strength for name, strength in usual.items() if name != first}
    assert (Evidence.REMOVED, f"lora:{first}.safetensors") in acts(chosen(planner, without))
    lighter = {**usual, first: usual[first] / 2}
    assert (Evidence.REWEIGHTED, f"lora:{first}.safetensors") in acts(chosen(planner, lighter))
    beside = next(one.name for one in (PHOTO, FLAT, WITCH) if one.name not in usual)
    assert (Evidence.ADDED, f"lora:{beside}.safetensors") in acts(chosen(planner, {**usual, beside: 0.8}))


@pytest.mark.parametrize(
    "more",
    [
        {"mode": OperationMode.AUTO, "chosen_for": None},
        {"mode": OperationMode.MANUAL},
        {"chosen_for": replace(HERE, prompt="another prompt")},
        {"selection": None, "mode": OperationMode.AUTO},
    ],
    ids=["named without a look", "manual", "chosen for another prompt", "chosen by the pack"],
)
def test_choice_without_a_look_at_suggestions_shows_nothing(planner, more):
    request = replace(LoRARequest(OperationMode.ASSISTED, selection=(), chosen_for=HERE), **more)
    stage = planner.recommend(planner.analyze(PROMPT), SDXL, request)
    assert (stage.offered, acts(stage)) == ((), set())


def test_variations_are_no_acts_of_the_user(planner):
    stage = chosen(planner, suggested(planner))
    sets = lora_variants(planner, stage, 3, quality_tags=True)
    assert stage.offered
    assert all(acts(one) == set() for one in sets if one is not stage)


def test_reason_tells_acts_without_a_star(planner):
    prompt = traits_of(planner.analyze(PROMPT))
    picture = PictureRating(prompt, (UsedLoRA(ANIME.model_id, 0.8, 0.7),), 0).picture({})
    offered = {"strength": 0.8, "confidence": 0.7}
    kept = observations(Signal(Evidence.KEPT, ANIME.model_id, offered), picture, ())
    removed = observations(Signal(Evidence.REMOVED, ANIME.model_id, offered), Picture(prompt), ())
    planner.ratings = Preferences().after([*kept, *removed * 2])
    ranked = planner.recommender().rank(planner.analyze(PROMPT), SDXL)
    (one,) = [one for one in ranked if one.lora_name == ANIME.name]
    (reason,) = [reason for reason in one.reasons if reason.message == LoRAMessage.NOTICED.key]
    assert reason.arguments == {"liked": 1, "disliked": 2}
