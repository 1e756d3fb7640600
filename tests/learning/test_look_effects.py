"""Effects of looks: what stars say of them, and what they leave alone."""

import numpy as np
import pytest

from intelligence.learning.look_effects import LOOK_SD, SPREAD, USUAL, look_covariance
from intelligence.learning.observations import Applied, LoRATraits, Observation, Picture, PromptTraits
from intelligence.learning.preferences import stored_look
from intelligence.learning.value_model import ValueModel
from intelligence.pictures.look import Look

CAT, LAKE = PromptTraits("a cat", "anime"), PromptTraits("a lake", "photorealistic")
BRIGHT, DARK = (USUAL._replace(brightness=value) for value in (190, 30))
LORA = Applied.judged("a", 0.9)


def seen(stars, look, prompt=LAKE, loras=()):
    return Observation(stars, Picture(prompt, loras, look=look))


def expected(observations, *pictures):
    return ValueModel(observations, lambda _: LoRATraits()).expected_stars(pictures)[0].tolist()


LIKES_BRIGHT = [seen(stars, look) for stars, look in ((5, BRIGHT), (1, DARK))] * 3


def test_no_observation_moves_no_picture():
    stars, covariance = ValueModel([], lambda _: LoRATraits()).expected_stars([Picture(CAT, look=DARK)])
    assert stars.tolist() == [0.0]
    assert covariance[0, 0] > 0


def test_liked_look_is_expected_to_be_liked_on_other_prompts():
    bright, usual, dark = expected(LIKES_BRIGHT, *(Picture(CAT, look=look) for look in (BRIGHT, USUAL, DARK)))
    assert bright > usual > dark


def test_looks_count_more_for_prompts_of_one_style():
    apart = [
        np.subtract(*expected(LIKES_BRIGHT, *(Picture(p, look=one) for one in (BRIGHT, DARK)))) for p in (LAKE, CAT)
    ]
    assert apart[0] > apart[1] > 0


def test_unknown_look_is_a_usual_one():
    unknown, usual = expected(LIKES_BRIGHT, Picture(CAT), Picture(CAT, look=USUAL))
    assert unknown == pytest.approx(usual)


def test_looks_change_no_choice_of_loras():
    with_looks = [seen(5, BRIGHT, loras=(LORA,)), seen(1, DARK)]
    without = [one._replace(picture=one.picture._replace(look=None)) for one in with_looks]
    found = [ValueModel(each, lambda _: LoRATraits()).utilities(CAT, [LORA]) for each in (with_looks, without)]
    assert found[0].shift.tolist() == found[1].shift.tolist()


def test_lora_is_told_apart_from_its_look():
    """The LoRA is expected to do less in a picture without a look that explains the stars as well, once that counts."""
    both = LIKES_BRIGHT + [seen(5, BRIGHT, loras=(LORA,)), seen(1, USUAL)] * 3
    alone = [one._replace(picture=one.picture._replace(look=None)) for one in both]
    (shared,), (whole,) = (expected(each, Picture(LAKE, (LORA,), look=USUAL)) for each in (both, alone))
    assert 0 < shared < whole


def test_look_covariance_of_a_spread():
    one = [(LAKE, Look(*np.add(USUAL, SPREAD)))]
    assert look_covariance(one, one)[0, 0] == pytest.approx(LOOK_SD**2)


@pytest.mark.parametrize(
    ("looks", "image", "expected"),
    [
        ([], 0, None),
        ([BRIGHT, DARK], 0, BRIGHT),
        ([BRIGHT, DARK], 1, DARK),
        ([BRIGHT, DARK], 2, None),
        ([BRIGHT, DARK], None, USUAL),
        ([[1, 2, 3]], 0, None),
        ([[1, 2, 3], BRIGHT], None, BRIGHT),
    ],
)
def test_stored_look(looks, image, expected):
    assert stored_look(looks, image) == expected
