"""`ValueModel`: what follows from stars."""

import random

import numpy as np
import pytest

from intelligence.learning import value_model
from intelligence.learning.observation_arrays import LEVEL, LORA_SD, STRENGTH_SD, USUAL_STRENGTH
from intelligence.learning.observations import (
    STARS_WRONG,
    Applied,
    LoRATraits,
    Observation,
    Picture,
    PromptTraits,
    Settings,
)
from intelligence.learning.value_model import MAX_OBSERVATIONS, ValueModel

ANIME = PromptTraits("anime girl", "anime", "character", True, frozenset({"girl", "tree"}))
PHOTO = PromptTraits("photo of a street", "photorealistic", "architecture", False, frozenset({"street"}))
TRAITS = {
    "a": LoRATraits("ann", "style", "anime", 1),
    "a2": LoRATraits("ann", "style", "anime", 1),
    "ann's": LoRATraits("ann", "character", "", 2),
    "b": LoRATraits("bob", "style", "anime", 3),
    "c": LoRATraits("cy", "character", "", 4),
}


def traits(lora):
    return TRAITS.get(lora, LoRATraits())


def seen(stars, *loras, prompt=ANIME, confidence=0.9):
    return Observation(stars, Picture(prompt, tuple(Applied.judged(lora, confidence) for lora in loras)))


def shifts(observations, *loras, prompt=ANIME, confidence=0.9):
    asked = [Applied.judged(lora, confidence) for lora in loras]
    return ValueModel(observations, traits).utilities(prompt, asked).shift.tolist()


def test_no_observation_moves_nothing():
    found = ValueModel([], traits).utilities(ANIME, [Applied.judged("a", 0.9), Applied.judged("b", 0.1)])
    assert found.shift.tolist() == [0.0, 0.0]
    assert (found.sd > 0.3).all()


@pytest.mark.parametrize(("stars", "sign"), [(1, -1), (2, -1), (5, 1)])
def test_stars_move_a_lora(stars, sign):
    (shift,) = shifts([seen(stars, "a")], "a")
    assert np.sign(shift) == sign


def test_more_stars_move_further():
    moved = [shifts([seen(1, "a")] * count, "a")[0] for count in (1, 2, 4, 8)]
    assert moved == sorted(moved, reverse=True)


def test_stars_reach_what_is_alike_less():
    own, version, creator, style, other = shifts([seen(1, "a")] * 3, "a", "a2", "ann's", "b", "c")
    assert own < version < min(creator, style) < 0
    assert other > creator


def test_stars_count_less_on_other_prompts():
    observations = [seen(5, "a")] * 3
    (here,) = shifts(observations, "a")
    (there,) = shifts(observations, "a", prompt=PHOTO)
    assert 0 < there < here


def test_liking_counts_less_where_the_lora_hardly_fits():
    observations = [seen(5, "a")] * 3
    (fits,) = shifts(observations, "a", prompt=PHOTO)
    (hardly,) = shifts(observations, "a", prompt=PHOTO, confidence=0.01)
    assert hardly < 0.5 * fits


def test_bad_prompt_is_not_the_loras_fault():
    (alone,) = shifts([seen(1, "a")], "a")
    (beside,) = shifts([seen(1, "a"), *[seen(1)] * 3], "a")
    assert alone < beside < 0


def test_contradicted_rating_is_hardly_trusted():
    model = ValueModel([seen(5, "a")] * 8 + [seen(1, "a")], traits)
    assert model.trust[-1] < 0.3 < 0.8 < model.trust[:-1].min()


@pytest.mark.parametrize(("spread", "low", "high"), [(0, 0.6, 0.9), (2, 1.05, 1.35)])
def test_noise_is_the_users_own(spread, low, high):
    model = ValueModel(
        [seen(3 + spread * (-1) ** number, prompt=PHOTO._replace(key=number)) for number in range(60)], traits
    )
    assert low < model.noise[0] < high


def test_comparison_moves_what_differs():
    better = Observation(1.0, Picture(ANIME, seen(0, "b").picture.loras), seen(0, "a").picture, 1.2)
    up, down = shifts([better], "b", "a")
    assert up > 0 > down


def test_old_observations_fade():
    filler = [seen(LEVEL, prompt=PHOTO)] * 200
    (new,) = shifts([*filler, *[seen(1, "a")] * 3], "a")
    (old,) = shifts([*[seen(1, "a")] * 3, *filler], "a")
    assert new < old < 0.5 * new


def test_observation_taken_back_leaves_nothing():
    rng = random.Random(1)
    observations = [seen(rng.randint(1, 5), *rng.sample(sorted(TRAITS), rng.randint(0, 3))) for _ in range(40)]
    before = shifts(observations, *TRAITS)
    assert shifts([*observations, seen(1, "a")][:-1], *TRAITS) == before
    assert shifts(observations[:20] + observations[21:], *TRAITS) != before


def test_newest_observations_count():
    observations = [seen(1, "a")] * 5 + [seen(5, "a")] * MAX_OBSERVATIONS
    assert shifts(observations, "a") == shifts(observations[5:], "a")


def test_posterior_is_the_regression_on_effects():
    """Of two LoRAs without traits on one prompt the covariances are those of a small linear model."""
    prompt = PromptTraits("x")
    sets = [("p",), ("q",), ("p", "q"), ()] * 3
    stars = [2, 4, 3, 3, 1, 5, 4, 3, 2, 4, 2, 3]
    used = {name: Applied(name, STARS_WRONG, 1.0, 0.3) for name in "pq"}
    observations = [
        Observation(given, Picture(prompt, tuple(used[name] for name in each)))
        for given, each in zip(stars, sets, strict=True)
    ]
    model = ValueModel(observations, traits, forgetting=1.0)
    rows = np.array([[1.0, "p" in each, "q" in each] for each in sets])
    prior = np.diag([1 / (0.5**2 + 0.4**2), *[1 / (LORA_SD**2 + STRENGTH_SD**2 + 0.3**2)] * 2])
    weights = model.trust / model.noise**2
    precision = prior + rows.T @ (weights[:, None] * rows)
    expected = np.array([LEVEL + STARS_WRONG * len(each) for each in sets])
    mean = np.linalg.solve(precision, rows.T @ (weights * (np.array(stars) - expected)))
    found = model.utilities(prompt, [used["p"], used["q"]])
    assert found.shift == pytest.approx(mean[1:], abs=1e-9)
    assert found.covariance == pytest.approx(np.linalg.inv(precision)[1:, 1:], abs=1e-9)
    assert found.parts.sum(axis=1) == pytest.approx(found.shift)


def test_strengths_are_pulled_to_likes_and_pushed_from_dislikes():
    def at(strength, stars):
        return Observation(stars, Picture(ANIME, (Applied.judged("a", 0.9, strength),)))

    liked = ValueModel([at(0.4, 5), at(0.4, 4)], traits).strengths("a", [0.4, 0.6, 0.9])
    assert liked[0] > liked[1] > liked[2] > 0
    disliked = ValueModel([at(1.0, 1)] * 4, traits).strengths("a", [1.0, 0.75])
    assert disliked[0] < disliked[1] < 0
    assert ValueModel([at(1.0, 1)], traits).strengths("b", [1.0]).tolist() == [0.0]


def test_unknown_strength_counts_as_the_usual_one():
    def liking(strength, *asked):
        seen = Observation(5, Picture(ANIME, (Applied.judged("a", 0.9, strength),)))
        return ValueModel([seen], traits).utilities(ANIME, [Applied.judged(*one) for one in asked]).shift

    asked = [(lora, 0.9, strength) for lora in ("a", "a2") for strength in (None, USUAL_STRENGTH, 0.2)]
    unknown, usual = (liking(strength, *asked) for strength in (None, USUAL_STRENGTH))
    assert (unknown == usual).all()
    assert (unknown[[0, 3]] == unknown[[1, 4]]).all()
    assert (unknown[[0, 3]] > unknown[[2, 5]] + 0.05).all()
    assert not ValueModel([Observation(5, Picture(ANIME, (Applied.judged("a", 0.9),)))], traits).strengths("a", [0.8])


STRENGTHS = (0.6, 0.8, 1.0)


def picture(rng):
    loras = [
        Applied.judged(lora, rng.random(), rng.choice((*STRENGTHS, None)), standing=rng.random())
        for lora in rng.sample(sorted(TRAITS), rng.randint(0, 3))
    ]
    prompt = rng.choice([ANIME, PHOTO, *(ANIME._replace(key=n, concepts=frozenset("abcd"[n:])) for n in range(4))])
    return Picture(prompt, tuple(loras), Settings("sdxl", rng.choice((4.0, 7.0, None)), 20, size=(1024, 768)))


def told(model):
    """All that a model says of a few LoRAs, settings and pictures."""
    rng = random.Random(3)
    asked = [Applied.judged(lora, 0.7, 0.8) for lora in TRAITS]
    return [
        *model.utilities(PHOTO, asked)[:2],
        model.strengths("a", STRENGTHS),
        *model.setting_effects("cfg", [4.0, 5.0, 7.0], "sdxl", PHOTO),
        *model.expected_stars([picture(rng) for _ in range(4)]),
        model.trust,
        model.noise,
    ]


def assert_same(model, observations):
    for one, other in zip(told(model), told(ValueModel(observations, traits)), strict=True):
        assert one == pytest.approx(other, abs=1e-8)


def test_model_made_after_another_is_the_same():
    rng = random.Random(2)
    observations = [Observation(rng.randint(1, 5), picture(rng)) for _ in range(30)]
    observations[3] = Observation(1.0, picture(rng), picture(rng), 1.2)
    changes = [
        [*observations, Observation(2, picture(rng)), Observation(1.0, picture(rng), picture(rng))],
        observations[:7] + observations[9:],
        [observations[0]._replace(stars=5), *observations[1:]],
        [Observation(1.0, picture(rng), picture(rng)), *observations[2:]],
        [observations[5], *observations, observations[5]],
        observations[::-1],
        observations[:2],
        [],
    ]
    first = ValueModel(observations, traits)
    assert first.trust.all()  # its inverse is there to be used
    for now in changes:
        assert_same(ValueModel(now, traits, before=first), now)


@pytest.mark.parametrize("newest", [MAX_OBSERVATIONS, 60])
def test_hundreds_of_updates_leave_the_model_of_all_at_once(newest, monkeypatch):
    rng, observations, model = random.Random(4), [], None
    monkeypatch.setattr(value_model, "MAX_OBSERVATIONS", newest)
    for number in range(300):
        if number % 7 == 6:
            observations.pop(rng.randrange(len(observations)))
        elif number % 11 == 10:
            place = rng.randrange(len(observations))
            observations[place] = observations[place]._replace(stars=rng.randint(1, 5))
        else:
            observations.append(Observation(rng.randint(1, 5), picture(rng)))
        model = ValueModel(observations, traits, before=model)
        assert model.trust.all()
    assert_same(model, observations)
