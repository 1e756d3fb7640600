"""Sets of trigger words that stars speak for or against."""

from dataclasses import replace

import pytest

from intelligence.learning import Preferences
from intelligence.learning.preferences import PictureRating, UsedLoRA, traits_of
from intelligence.lora import LoRARecommender
from intelligence.lora.lora_messages import LoRAMessage
from intelligence.models import Architecture, ModelEvidence
from intelligence.prompt import LoRATag, PromptAnalyzer
from intelligence.records import Source
from tests.lora.library import Library, lora

SDXL = ModelEvidence(name="some_sdxl.safetensors", architecture=Architecture.SDXL)
APART = lora("zorbla_vex", ("zorbla vex", "azure glow"), ("zorbla night", "crimson glow"))
SHARED = lora("zorbla_vex", ("zorbla vex", "azure glow"), ("zorbla vex", "crimson glow"))
PROMPT = "a portrait of somebody"


def used(model, *ratings, prompt=PROMPT, words=None):
    """The recommendation of a LoRA that the user names, after ratings of pictures with sets of its words."""
    analysis = PromptAnalyzer().analyze(prompt)
    rated = [(UsedLoRA(model.model_id, 0.8, 0.9, name), stars) for name, stars in ratings]
    pictures = [PictureRating(traits_of(analysis), (lora,), stars) for lora, stars in rated]
    analysis = replace(analysis, lora_tags=(LoRATag(model.name, 0.8, trigger_words=words),))
    recommender = LoRARecommender(Library(model), Preferences(pictures) if pictures else None)
    (found,) = recommender.choose(analysis, SDXL).chosen
    return found


def learned(found):
    return [one.message for one in found.reasons if one.source is Source.LEARNED and one.setting == "trigger words"]


def test_liked_set_takes_the_place_of_the_usual_one():
    usual = used(APART)
    other = used(APART, words=("crimson glow",)).trigger_set
    assert usual.trigger_set != other and "crimson glow" in other
    found = used(APART, (other, 5), (other, 5), (usual.trigger_set, 3))
    assert found.trigger_set == other
    assert "crimson glow" in found.trigger_words and "azure glow" not in found.trigger_words
    assert learned(found) == [LoRAMessage.LIKED_WORDS.key]


def test_disliked_set_makes_room_for_another():
    usual = used(APART)
    found = used(APART, *[(usual.trigger_set, 1)] * 4, ("", 4), ("", 4))
    assert found.trigger_set not in ("", usual.trigger_set)
    assert learned(found) == [LoRAMessage.DISLIKED_WORDS.key]


def test_liked_set_is_added_to_what_all_share():
    usual = used(SHARED)
    assert (usual.trigger_set, usual.trigger_words) == ("", ("zorbla vex",))
    found = used(SHARED, ("crimson glow", 5), ("crimson glow", 5), ("", 3))
    assert found.trigger_words == ("zorbla vex", "crimson glow")


@pytest.mark.parametrize("model", [APART, SHARED])
def test_prompt_decides_before_stars(model):
    found = used(model, *[("crimson glow", 5)] * 4, prompt="a portrait with an azure glow")
    assert "azure glow" in found.trigger_set
    assert learned(found) == []


@pytest.mark.parametrize("model", [APART, SHARED])
def test_ratings_without_sets_leave_the_words(model):
    assert used(model, ("", 5), ("", 1)).trigger_words == used(model).trigger_words
