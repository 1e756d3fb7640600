"""Strengths at which LoRAs are applied."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelligence.lora.search import ranker
from intelligence.lora.search.tokens import prompt_query, query
from intelligence.lora.search.traits import MAX_CHOSEN_STRENGTH, is_slider
from intelligence.lora.strength import (
    ENOUGH_EXAMPLES,
    KIND_STRENGTH,
    Strengths,
    WeightedStrength,
    clip_strength,
    counts_towards_total,
    max_total,
    weighted_median,
)
from intelligence.models import ExamplePrompt, LoRAKind, ModelMetadata
from intelligence.prompt import PromptAnalyzer
from intelligence.records import Source
from tests.lora.library import lora

STYLE = LoRAKind.STYLE


def strengths(models):
    return Strengths(models, ranker.build_index(models).loras)


NOBODY = strengths([])


def text_of(strength):
    return "; ".join(reason.evidence for reason in strength.reasons)


def used(*weights, stacked=None, version=None):
    return tuple(ExamplePrompt(f"prompt {n}", weight, stacked, version) for n, weight in enumerate(weights))


def alone(model, *others, prompt=None):
    return strengths([model, *others]).alone(model, query([prompt]) if prompt else None)


@pytest.mark.parametrize(
    "weights, value",
    [((2.0,), 0.9), ((2.0, 0.7), 0.7), ((2.0, 1.8), 1.8), ((-0.5,), 0.9), ((1.2,), 1.2)],
)
def test_alone_takes_no_strength_from_one_odd_picture(weights, value):
    assert alone(lora("x", kind=STYLE, example_prompts=used(*weights))).value == value


def test_alone_takes_no_negative_strength_from_description():
    described = {"strength": -0.5, "strength_range": (-2.0, 1.0), "strength_from_text": True}
    strength = alone(lora("x", kind=STYLE, **described))
    assert (strength.value, strength.limits) == (0.9, None)


@pytest.mark.parametrize(
    "known, share, expected",
    [
        ([(1.0, 1.0)], 0.5, 1.0),
        ([(0.2, 1.0), (0.4, 1.0), (0.9, 1.0)], 0.5, 0.4),
        ([(0.2, 1.0), (0.9, 1.0)], 0.5, 0.2),
        ([(0.2, 1.0), (0.9, 1.1)], 0.5, 0.9),
        ([(0.1, 1.0), (0.5, 8.0), (0.9, 1.0)], 0.1, 0.1),
        ([(0.1, 1.0), (0.5, 8.0), (0.9, 1.0)], 0.9, 0.5),
    ],
)
def test_weighted_median(known, share, expected):
    assert weighted_median([WeightedStrength(*item) for item in known], share) == expected


@pytest.mark.parametrize(
    "more, value, limits, said",
    [
        ({}, 0.9, None, "usual for style LoRAs"),
        ({"strength": 0.55}, 0.55, None, "set for this LoRA"),
        ({"strength_range": (0.4, 0.8)}, 0.6, (0.4, 0.8), "set for this LoRA"),
        ({"strength": 0.55, "example_prompts": used(1, 1, 1, 1)}, 0.55, (1, 1), "set for this LoRA"),
        ({"strength": 40.0}, MAX_CHOSEN_STRENGTH, None, "set for this LoRA"),
        ({"strength": 0.55, "strength_from_text": True}, 0.55, None, "its description says 0.55"),
        (
            {"strength": 0.55, "strength_from_text": True, "example_prompts": used(1, 1)},
            1.0,
            None,
            "2 example prompts use 1.00; its description says 0.55",
        ),
        ({"example_prompts": used(0.3, 0.5, 0.9)}, 0.5, (0.3, 0.9), "3 example prompts use 0.30 to 0.90"),
        ({"example_prompts": used(0.3)}, 0.3, None, "1 example prompt uses 0.30"),
        ({"example_prompts": used(None, 0, 0.3)}, 0.3, None, "1 example prompt uses 0.30"),
        ({"lora_kind": LoRAKind.SPEED}, 1.0, None, "makers of speed LoRAs"),
        ({"lora_kind": LoRAKind.SPEED, "strength": 0.7}, 0.7, None, "set for this LoRA"),
    ],
)
def test_alone_strength_by_evidence(more, value, limits, said):
    found = alone(replace(lora("x", kind=STYLE), **more))
    assert (found.value, found.limits) == (value, limits)
    assert said in text_of(found)
    assert found.reasons[0].setting == "strength"


def test_alone_weights_same_state_and_version():
    model = lora("x", kind=STYLE, example_prompts=(*used(1, 1, stacked=True), *used(0.5, stacked=False)))
    assert alone(model).value == 0.5
    (beside,) = strengths([model]).together([model], [(lora("y"), 0.5)])
    assert beside.value == 1.0
    model = lora("x", kind=STYLE, source_id="7:2", example_prompts=(*used(1, version=1), *used(0.5, version=2)))
    assert alone(model).value == 0.5


def test_alone_uses_creators_strength_with_few_examples():
    mine = [lora(f"other{n}", kind=STYLE, creator="ann", example_prompts=used(0.4, 0.4)) for n in range(3)]
    model = lora("x", kind=STYLE, creator="ann")
    assert alone(model, *mine).value == 0.4
    assert "its creator's other LoRAs are used at 0.4" in text_of(alone(model, *mine))
    assert alone(replace(model, creator="bob"), *mine).value == KIND_STRENGTH[STYLE][0]
    assert alone(model).value == KIND_STRENGTH[STYLE][0]
    several = replace(model, example_prompts=used(*[1.2] * ENOUGH_EXAMPLES))
    assert "creator" not in text_of(alone(several, *mine))


def test_alone_weights_creators_nearer_loras():
    early = lora("early", kind=STYLE, creator="ann", source_id="100:1", example_prompts=used(1.0, 1.0))
    late = lora("late", kind=STYLE, creator="ann", source_id="50000:1", example_prompts=used(0.5, 0.5))
    assert alone(lora("x", kind=STYLE, creator="ann", source_id="200:9"), early, late).value == 1.0
    assert alone(lora("x", kind=STYLE, creator="ann", source_id="49000:9"), early, late).value == 0.5


@pytest.mark.parametrize(
    "model, slider",
    [
        (lora("age_slider"), True),
        (lora("AgeSliderXL"), True),
        (lora("x", title="Zoom Slider v2"), True),
        (lora("x", tags={"slider": 1}), True),
        (lora("x", strength_range=(-3.0, 3.0)), True),
        (lora("x", strength_range=(-3.0, 3.0), strength_from_text=True), False),
        (lora("x", example_prompts=used(-1, 1, 1, 1)), True),
        (lora("x", example_prompts=used(-1, 1, 1, 1, 1, 1)), False),
        (lora("x", example_prompts=used(-0.5)), False),
        (lora("slide_and_swing"), False),
        (lora("x"), False),
    ],
)
def test_is_slider(model, slider):
    assert is_slider(model) is slider
    assert counts_towards_total(model) is not slider


AGE = lora(
    "age_slider",
    description="Changes the age. Negative values make them younger, childlike. Positive values: older, wrinkled",
    strength_range=(-4.0, 3.0),
)


@pytest.mark.parametrize(
    "model, prompt, value, limits, said",
    [
        (AGE, "an older man", 1.5, (-4.0, 3.0), "upwards, where its description has “older”"),
        (AGE, "a younger man", -2.0, (-4.0, 3.0), "downwards, where its description has “younger”"),
        (AGE, "a man", 1.5, (-4.0, 3.0), "upwards, as it is called"),
        (AGE, None, 1.5, (-4.0, 3.0), "upwards, as it is called"),
        (replace(AGE, strength_range=(-12.0, 12.0)), "a younger man", -6.0, (-12.0, 12.0), "downwards"),
        (lora("detail_slider"), "less detail", -1.0, None, "downwards, for “less detail”"),
        (lora("detail_slider"), "more detail", 1.0, None, "upwards"),
        (lora("detail_slider", example_prompts=used(-2, -2.5, -3, 1)), "a cat", -2.5, None, "as in most of its"),
        (lora("x_slider", example_prompts=used(2, 3, 4)), "a cat", 3.0, None, "the median of 3 example prompts"),
        (lora("x_slider", strength=-1.5), "a cat", -1.5, None, "set for this LoRA"),
        (lora("x", strength_range=(3.0, -3.0)), "a cat", 1.5, (-3.0, 3.0), "half of what its range allows"),
    ],
)  # fmt: skip
def test_alone_strength_of_sliders(model, prompt, value, limits, said):
    found = alone(model, prompt=prompt)
    assert (found.value, found.limits) == (value, limits)
    assert said in text_of(found)


def test_together_lowers_stacked_strengths():
    strong = [lora(name, kind=STYLE, strength=2.0) for name in "abc"]
    found = NOBODY.together(strong)
    assert sum(item.value for item in found) == pytest.approx(max_total(3), abs=0.01)
    assert all("3 LoRAs share the picture" in text_of(item) for item in found)
    assert found[0].reasons[0].otherwise == "2.00"
    assert [item.value for item in NOBODY.together(strong[:1])] == [2.0]
    assert NOBODY.together([]) == []


def test_together_uses_usual_stacked_strength():
    one, two = (lora(name, kind=STYLE) for name in "ab")
    assert [item.value for item in NOBODY.together([one, two])] == [KIND_STRENGTH[STYLE][1]] * 2
    assert "beside others" in text_of(NOBODY.together([one, two])[0])


def test_together_leaves_sliders_and_speed_loras():
    speed, slider = lora("lcm", kind=LoRAKind.SPEED), lora("age_slider", strength_range=(-8.0, 8.0))
    plain = lora("x", kind=STYLE)
    values = [item.value for item in NOBODY.together([plain, slider, speed])]
    assert values == [KIND_STRENGTH[STYLE][0], 4.0, 1.0]
    assert [item.value for item in NOBODY.together([plain], [(slider, 8.0), (speed, 1.0)])] == values[:1]


KINDS = st.sampled_from(LoRAKind)
WEIGHTS = st.lists(st.none() | st.floats(-10, 10), max_size=5)
MODELS = st.lists(
    st.builds(
        lambda kind, weights, strength, text, creator: lora(
            "x", kind=kind, example_prompts=used(*weights), strength=strength, strength_from_text=text, creator=creator
        ),
        KINDS,
        WEIGHTS,
        st.none() | st.floats(-10, 10),
        st.booleans(),
        st.sampled_from((None, "ann")),
    ),
    max_size=5,
)


@settings(deadline=None)
@given(MODELS, st.lists(st.floats(-10, 10), max_size=3))
def test_together_bounds_total(models, named):
    models = [replace(model, model_id=f"lora:{n}") for n, model in enumerate(models)]
    given_ones = [(lora(f"named{n}"), strength) for n, strength in enumerate(named)]
    found = strengths(models).together(models, given_ones)
    sharing = [item.value for item, model in zip(found, models, strict=True) if counts_towards_total(model)]
    count = len(sharing) + len(named)
    if count > 1:
        assert sum(map(abs, sharing)) <= max(0.0, max_total(count) - sum(map(abs, named))) + 0.001 * len(sharing)
    assert all(abs(value) <= MAX_CHOSEN_STRENGTH for value in sharing)
    assert found == strengths(models).together(models, given_ones)


def test_clip_strength_follows_a_lowered_strength() -> None:
    model = ModelMetadata("lora:a", "a", strength=0.8, strength_clip=0.4)
    assert (clip_strength(model, 0.8), clip_strength(model, 0.4)) == (0.4, 0.2)
    assert clip_strength(replace(model, strength=None), 0.7) == 0.4
    assert clip_strength(replace(model, strength_clip=None), 0.7) is None


def test_example_strengths_of_ones_own_prompts_like_the_present_one() -> None:
    own = [ExamplePrompt(prompt, weight, False, own=True) for prompt, weight in OWN]
    model = lora("x", example_prompts=tuple(own))
    values = [NOBODY.alone(model, prompt_query(PromptAnalyzer().analyze(prompt))).value for prompt, _ in OWN[::3]]
    assert values == [0.4, 0.9]
    assert NOBODY.alone(model).reasons[1].source is Source.LEARNED


OWN = [
    *((f"a stone lighthouse on a cliff, {weather}", 0.4) for weather in ("rain", "fog", "snow")),
    *((f"portrait of an old sailor, {place}", 0.9) for place in ("harbour", "tavern", "deck")),
]
"""Prompts and strengths: one motif is used lightly, the other strongly."""
