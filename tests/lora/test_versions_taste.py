"""Ratings of an earlier version of a LoRA, as what its new version begins with."""

import pytest

from intelligence.learning import Preferences
from intelligence.learning.preferences import PictureRating, UsedLoRA, traits_of
from intelligence.lora import LoRARecommender
from intelligence.lora.lora_library import library_of
from intelligence.prompt import PromptAnalyzer
from tests.lora.library import Library, lora

PROMPT = PromptAnalyzer().analyze("a portrait of somebody")
OLD, NEW = lora("zorbla_vex_v1", folder="old/"), lora("zorbla_vex_v2")
SAME_NUMBER = [lora(name, source_id=f"77:{number}") for number, name in enumerate(("plome", "quint"))]
OTHER = lora("mirkwood_witch_v1")


def liking(rated, asked, *library):
    """Return what five stars of pictures with a LoRA add to the confidence in another."""
    pictures = [PictureRating(traits_of(PROMPT), (UsedLoRA(rated.model_id, 0.8, 0.9),), 5)] * 4
    return LoRARecommender(Library(*library), Preferences(pictures)).liking(PROMPT, [asked.model_id])[asked.model_id]


@pytest.mark.parametrize(
    ("rated", "asked", "library"),
    [(OLD, NEW, (OLD, NEW)), (OLD, NEW, (NEW,)), (*SAME_NUMBER, tuple(SAME_NUMBER))],
    ids=["by name", "the old one is gone", "by its number on CivitAI"],
)
def test_new_version_begins_with_the_old_ones_ratings(rated, asked, library):
    assert liking(rated, asked, *library, OTHER) > 0.1


def test_other_lora_does_not():
    # What is left is the trust in confident choices, which all LoRAs share.
    assert abs(liking(OLD, OTHER, OLD, NEW, OTHER)) < 0.05


def test_ratings_of_swapped_names_stay_with_their_files():
    """Copies of one file keep the ratings of their own names."""
    rated = lora("a", digest="one")
    pictures = [PictureRating(traits_of(PROMPT), (UsedLoRA(rated.model_id, 0.8, 0.9, digest="one"),), 5)] * 4
    swapped = [lora("a", digest="two"), lora("b", digest="one"), lora("c", digest="copied"), lora("d", digest="copied")]
    names = library_of(Library(*swapped)).by_digest
    assert names == {"two": swapped[0].model_id, "one": swapped[1].model_id}
    found = LoRARecommender(Library(*swapped), Preferences(pictures, names))
    liked = found.liking(PROMPT, [one.model_id for one in swapped[:2]])
    assert liked[swapped[1].model_id] > 2 * liked[swapped[0].model_id]
