"""Gain of learning, by choices that were made without it."""

import numpy as np
import pytest

from intelligence.config import LoRAPreferences, OperationMode
from intelligence.generation.choice_requests import LoRARequest
from intelligence.generation.learning_gain import MIN_PROMPTS, learning_gain
from intelligence.generation.stages import Arm


def made(arm, prompt):
    return {"plan": {"recommendations": {"arm": arm, "prompt_analysis": {"prompt": prompt}}}}


def rated(gain, count, seed, share=0.3):
    rng = np.random.default_rng(seed)
    for number in range(count):
        arm = "plain" if rng.random() < share else "learned"
        stars = 3.2 + gain * (arm == "learned") + rng.normal(0, 1)
        yield made(arm, f"prompt {number}"), int(np.clip(np.rint(stars), 1, 5))


def test_gain_is_told_with_its_interval():
    found = learning_gain(rated(0.8, 300, 1))
    assert found.known
    assert found.low < 0.75 < found.high
    assert found.learned + found.plain == 300


def test_gain_is_not_known_while_the_interval_holds_zero():
    assert not learning_gain(rated(0.0, 60, 2)).known


def test_interval_covers_the_truth():
    truths = [learning_gain(rated(0.0, 80, seed)) for seed in range(200)]
    assert sum(one.low <= 0 <= one.high for one in truths) >= 184


@pytest.mark.parametrize("plain", [0, MIN_PROMPTS - 1])
def test_nothing_is_told_of_too_few(plain):
    pictures = [(made("learned", f"a{n}"), 5) for n in range(40)] + [(made("plain", f"b{n}"), 1) for n in range(plain)]
    assert learning_gain(pictures) is None
    assert learning_gain([(made("none", "x"), 5), ({}, 3)]) is None


def test_pictures_of_one_prompt_count_as_one():
    pictures = [(made(arm, f"{arm} {n % 6}"), 3 + n % 2) for arm in ("learned", "plain") for n in range(60)]
    found = learning_gain(pictures)
    assert (found.learned, found.plain) == (6, 6)


def test_prompts_are_drawn_for_a_side():
    request = LoRARequest(preferences=LoRAPreferences(unlearned_share=0.25))
    arms = [request.arm(f"prompt {number}") for number in range(1000)]
    assert 200 < arms.count(Arm.PLAIN) < 300
    assert arms.count(Arm.NONE) == 0
    assert LoRARequest().arm("prompt") is Arm.NONE
    manual = LoRARequest(OperationMode.MANUAL, preferences=LoRAPreferences(unlearned_share=1.0))
    assert manual.arm("prompt") is Arm.NONE
