"""Settings that give way to budgets."""

import pytest

from intelligence.config import GenerationConstraints, Priority
from intelligence.parameters import ParameterOptimizer
from intelligence.units import format_duration
from tests.parameters.choices import choose, reason

LADDER = [
    (100, "QUALITY"),
    (3.5, "QUALITY, late guidance cutoff"),
    (2.5, "QUALITY, late guidance cutoff, Align Your Steps"),
    (1.35, "QUALITY, late guidance cutoff, Align Your Steps, fewer steps"),
    (1.1, "QUALITY, late guidance cutoff, Align Your Steps, fewer steps, smaller size"),
]


@pytest.mark.parametrize(("limit", "strategy"), LADDER)
def test_fit_time_gives_way_in_order(limit, strategy):
    parameters = choose(GenerationConstraints(limit, priority=Priority.QUALITY))
    assert parameters.optimization_strategy == strategy
    assert parameters.estimated_time_seconds <= parameters.time_interval_seconds[1] <= limit
    assert parameters.num_steps >= 8
    assert (parameters.sigmas is None) == (limit > 3)
    assert (parameters.improvements.cfg_cutoff_sigma == 0) == (limit == 100)


def test_fit_time_gives_up_no_more_than_needed():
    quality, cut, schedule, fewer, smaller = (
        choose(GenerationConstraints(limit, priority=Priority.QUALITY)) for limit, _ in LADDER
    )
    assert quality.num_steps == cut.num_steps
    assert quality.num_steps > schedule.num_steps >= 10 > fewer.num_steps >= smaller.num_steps == 8
    one_more = choose(GenerationConstraints(priority=Priority.SPEED), overrides={"steps": schedule.num_steps + 1})
    assert one_more.sigmas is not None
    assert one_more.time_interval_seconds[1] > 2.5
    assert smaller.width * smaller.height >= 0.8 * fewer.width * fewer.height


def test_fit_time_names_nearest_plan_of_impossible_limit():
    parameters = choose(GenerationConstraints(0.1))
    text = reason(parameters, "time").evidence
    assert "cannot be met" in text
    assert f"{parameters.num_steps} steps at {parameters.width}x{parameters.height}" in text
    assert parameters.max_time_seconds == 0.1


def test_fit_time_warns_of_limit_within_interval():
    nearest = choose(GenerationConstraints(0.1)).estimated_time_seconds
    assert "may not be held" in reason(choose(GenerationConstraints(1.001 * nearest)), "time").evidence


def test_time_reason_says_speed_is_unknown():
    optimizer = ParameterOptimizer()
    unknown = choose(optimizer=optimizer)
    assert unknown.time_interval_seconds is None
    assert "not known yet" in reason(unknown, "time").evidence
    assert "not known yet" in reason(choose(GenerationConstraints(1), optimizer), "time").evidence
    low, high = choose().time_interval_seconds
    assert f"({format_duration(low)} to {format_duration(high)})" in reason(choose(), "time").evidence


def test_fit_memory_meets_limit_by_plan():
    parameters = choose(GenerationConstraints(max_vram_gb=6.0))
    assert parameters.estimated_vram_gb <= 6.0
    assert (parameters.width, parameters.height) == (832, 1216)
    assert parameters.max_vram_gb == 6.0
    assert all(item.setting != "memory" for item in parameters.reasons)


def test_fit_memory_names_nearest_plan_of_impossible_limit():
    text = reason(choose(GenerationConstraints(max_vram_gb=0.3)), "memory").evidence
    assert text.startswith("needs more than the available 307 MiB; the nearest plan is SEQUENTIAL")


def test_fit_memory_cuts_size_last():
    whole = choose().width * choose().height
    limits = [limit / 100 for limit in range(40, 120)]
    chosen = [choose(GenerationConstraints(max_vram_gb=limit)) for limit in limits]
    smaller = [parameters for parameters in chosen if parameters.width * parameters.height < whole]
    for parameters in smaller:
        assert "smaller size" in parameters.optimization_strategy
        assert parameters.estimated_vram_gb <= parameters.max_vram_gb
        assert parameters.width * parameters.height >= 0.8 * whole
    kept = choose(GenerationConstraints(max_vram_gb=0.5), overrides={"width": 1024, "height": 1024})
    assert (kept.width, kept.height) == (1024, 1024)
