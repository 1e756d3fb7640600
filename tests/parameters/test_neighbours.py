"""Settings near a choice."""

import itertools

import pytest

from intelligence.config import GenerationConstraints, Priority
from intelligence.errors import InvalidInputError
from intelligence.models import ModelEvidence
from intelligence.parameters import ModelGuidance
from intelligence.parameters.samplers import evaluations
from intelligence.parameters.schedules import ZSNR_SCHEDULERS
from tests.parameters.choices import (
    A100,
    LIGHTNING,
    SDXL,
    VPRED,
    choose,
    reason,
)


def test_neighbours_count_the_passes_of_guidance_on_the_model():
    guidance = ModelGuidance(fewest_extra=1, most_extra=1)
    plain = A100.neighbours(choose(), 6)
    for one, other in zip(plain, A100.neighbours(choose(guidance=guidance), 6, guidance), strict=True):
        passes = evaluations(one.sampler_name, one.num_steps)
        assert (other.num_steps, other.forward_items) == (one.num_steps, one.forward_items + passes)


@pytest.mark.parametrize("model", [SDXL, VPRED, ModelEvidence(), ModelEvidence(name="v1-5-pruned")])
def test_neighbours_start_with_choice_and_differ(model):
    parameters = choose(GenerationConstraints(priority=Priority.SPEED), model=model)
    found = A100.neighbours(parameters, 8)
    assert found[0] is parameters
    keys = [(p.num_steps, p.guidance_scale, p.sampler_name, p.scheduler, p.sigmas) for p in found]
    assert len(set(keys)) == len(keys) == 8
    assert found == A100.neighbours(parameters, 8)
    for one, other in itertools.pairwise(found):
        assert one != other
        other.check()
        assert other.sigmas is None or len(other.sigmas) == other.num_steps + 1
        changed = {item.setting for item in other.reasons if item.message == "parameters.variation"}
        assert changed
        assert all(item.setting != "time" for item in other.reasons), "it would be the time of the first"
        values = {"steps": other.num_steps, "cfg": other.guidance_scale}
        assert all(reason(other, setting).value == values[setting] for setting in values.keys() & changed)
        if model is VPRED:
            assert other.scheduler in ZSNR_SCHEDULERS
            assert other.rescale_cfg == 0.7


def test_neighbours_keep_needs_of_distilled_model():
    assert A100.neighbours(choose(model=LIGHTNING), 5) == [choose(model=LIGHTNING)]
    lcm = A100.neighbours(choose(model=ModelEvidence(name="lcm_sdxl")), 9)
    assert len(lcm) > 1
    assert all(6 <= p.num_steps <= 8 and 1 <= p.guidance_scale <= 1.8 and p.sampler_name == "lcm" for p in lcm)


def test_neighbours_keep_user_settings():
    found = A100.neighbours(choose(overrides={"cfg": 6.5, "sampler": "euler"}), 9)
    assert {(p.guidance_scale, p.sampler_name) for p in found} == {(6.5, "euler")}
    assert len(found) == 9


def test_neighbours_vary_steps_that_follow_from_users_scheduler():
    parameters = choose(GenerationConstraints(priority=Priority.SPEED), overrides={"scheduler": "normal"})
    assert len({p.num_steps for p in A100.neighbours(parameters, 9)}) > 1


def test_neighbours_hold_time_limit():
    free = A100.neighbours(choose(), 9)
    limit = choose().estimated_time_seconds * 1.1
    parameters = choose(GenerationConstraints(max_time_seconds=limit))
    assert parameters.num_steps == choose().num_steps
    found = A100.neighbours(parameters, 9)
    assert len(found) == 9
    assert any(p.estimated_time_seconds > limit for p in free)
    assert all(p.time_interval_seconds[1] <= limit for p in found)


def test_neighbours_beyond_limit_take_no_longer():
    parameters = choose(GenerationConstraints(max_time_seconds=0.01))
    found = A100.neighbours(parameters, 6)
    assert len(found) > 1
    assert all(p.estimated_time_seconds <= parameters.estimated_time_seconds for p in found)


def test_neighbours_double_steps_without_align_your_steps():
    parameters = choose(GenerationConstraints(priority=Priority.SPEED))
    other = next(p for p in A100.neighbours(parameters, 9) if p.sigmas is None)
    assert other.num_steps == 2 * parameters.num_steps
    assert "instead of Align Your Steps" in reason(other, "scheduler").evidence


def test_neighbours_with_more_steps_take_longer():
    parameters = choose()
    longer = next(p for p in A100.neighbours(parameters, 9) if p.num_steps > parameters.num_steps)
    assert longer.estimated_time_seconds > parameters.estimated_time_seconds
    assert longer.forward_items > parameters.forward_items


@pytest.mark.parametrize("count", [0, -1, True, 2.0])
def test_neighbours_refuse_wrong_count(count):
    with pytest.raises(InvalidInputError, match="count"):
        A100.neighbours(choose(), count)
