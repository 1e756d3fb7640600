"""Standing of LoRAs: which is nearest to a prompt, and how a user's ratings make that count."""

import numpy as np
import pytest

from intelligence.learning.observations import Applied, LoRATraits, Observation, Picture, PromptTraits
from intelligence.learning.value_model import ValueModel
from intelligence.lora.search.features import FEATURES
from intelligence.lora.search.ranker import NO_LORA, Ranked
from intelligence.lora.taste import worth_applying


def ranked(*scores):
    values = np.array(scores, np.float32)
    places, nothing = np.arange(len(scores)), np.zeros((len(scores), len(FEATURES)), np.float32)
    return Ranked(places, np.zeros_like(values), values, places, nothing)


def test_weights_part_the_nearest_from_none():
    clear, vague = ranked(NO_LORA + 3, NO_LORA), ranked(NO_LORA - 2, NO_LORA - 3)
    assert clear.weights(np.array([0, 1, 7])) == pytest.approx([0.909, 0.045, 0.0], abs=0.01)
    assert vague.weights(np.array([0, 1])).sum() < 0.2


def utility(stars, confidence, standing):
    """Stars of the nearest LoRA of a new prompt, after such stars for others that were nearest."""
    rated = [
        Observation(stars, Picture(PromptTraits(number), (Applied.judged(f"{number}", 0.01, standing=0.9),)))
        for number in range(4)
    ]
    asked = Applied.judged("new", confidence, standing=standing)
    found = ValueModel(rated, lambda lora: LoRATraits()).utilities(PromptTraits("new"), [asked])
    return asked.expected + found.shift[0]


def test_stars_for_the_nearest_make_the_nearest_worth_it():
    assert utility(5, 0.01, 0.9) > 0.0 > utility(2, 0.01, 0.9)
    assert utility(5, 0.01, 0.0) < -0.5


def test_nothing_that_takes_stars_away_is_worth_applying():
    assert [worth_applying(minimum) for minimum in (0.0, 0.4, 0.8)] == pytest.approx([0.0, 0.0, 0.32])
