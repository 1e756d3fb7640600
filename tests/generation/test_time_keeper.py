"""The rest of a run that will be late: what gives way, in which order, and how far."""

from __future__ import annotations

from typing import Any

import pytest

from intelligence.generation.run_timer import step_items
from intelligence.generation.time_keeper import TimeKeeper, as_run
from intelligence.parameters import Improvements, OptimizedParameters
from intelligence.parameters.parameters import Lever

SIGMAS = (14.0, 10.0, 7.0, 5.0, 4.0, 3.0, 2.0, 1.5, 1.0, 0.7, 0.4, 0.1, 0.0)
"""Twelve steps of two forward items each."""

BOTH = frozenset(Lever)


def keeper(images: int = 1, levers: frozenset[Lever] = BOTH, **settings: Any) -> TimeKeeper:
    usual = {"num_steps": 12, "guidance_scale": 6.0, "width": 64, "height": 64, "sampler_name": "euler"}
    parameters = OptimizedParameters(**{**usual, "scheduler": "normal", "max_time_seconds": 60.0, **settings})
    return TimeKeeper(parameters, SIGMAS, images, step_items, levers)


@pytest.mark.parametrize(
    ("affordable", "cutoff_at", "steps"),
    [
        (18.0, 10, 12),
        (15.3, 7, 12),
        (13.1, 5, 11),
        (9.0, 4, 9),
        (0.0, 4, 8),
    ],
)
def test_change_ends_guidance_then_takes_fewer_steps(affordable: float, cutoff_at: int, steps: int) -> None:
    kept = keeper()
    assert kept.rest(1) == 20
    assert kept.change(1, affordable, 100.0)
    assert len(kept.sigmas) - 1 == steps
    assert kept.sigmas[:2] == SIGMAS[:2]
    assert kept.sigmas[-2:] == SIGMAS[-2:]
    assert kept.parameters.improvements.cfg_cutoff_sigma == pytest.approx(kept.sigmas[cutoff_at], rel=1e-3)
    assert kept.parameters.improvements.guides(kept.sigmas[cutoff_at - 1])
    assert affordable < 8 or kept.rest(1) <= affordable


def test_change_keeps_what_was_sampled() -> None:
    kept = keeper()
    assert kept.change(9, 0.0, 100.0)
    assert kept.sigmas == (*SIGMAS[:10], 0.1, 0.0)
    assert not any(kept.parameters.improvements.guides(sigma) for sigma in kept.sigmas[10:])
    assert all(kept.parameters.improvements.guides(sigma) for sigma in kept.sigmas[:10])


@pytest.mark.parametrize(
    ("levers", "cutoff", "steps"),
    [
        (frozenset({Lever.GUIDANCE}), True, 12),
        (frozenset({Lever.STEPS}), False, 8),
        (frozenset(), False, 12),
    ],
)
def test_change_leaves_alone_what_is_not_free(levers: frozenset[Lever], cutoff: bool, steps: int) -> None:
    kept = keeper(levers=levers)
    assert kept.change(1, 0.0, 100.0) == bool(levers)
    assert (kept.parameters.improvements.cfg_cutoff_sigma > 0, len(kept.sigmas) - 1) == (cutoff, steps)
    assert len(kept.notes) == bool(levers)


def test_change_counts_the_images_that_follow() -> None:
    kept = keeper(images=3)
    assert kept.rest(1) == 20 + 2 * 24
    kept.change(1, 50.0, 100.0)
    assert kept.rest(1) <= 50
    sigmas = kept.sigmas
    kept.start(1, 1)
    assert kept.rest(1) == sum(step_items(kept.parameters, sigmas)[2:]) + sum(step_items(kept.parameters, sigmas))


def test_change_waits_for_two_steps_and_keeps_a_start_of_guidance() -> None:
    assert not keeper().change(0, 0.0, 100.0)
    kept = keeper(improvements=Improvements(0.05, 3.5))
    kept.change(1, 0.0, 100.0)
    assert kept.parameters.improvements.cfg_start_sigma == 3.5


def test_change_again_goes_on_from_the_changed_run() -> None:
    kept = keeper()
    kept.change(1, 17.0, 100.0)
    first = kept.sigmas
    kept.change(4, 3.0, 100.0)
    assert kept.sigmas[:5] == first[:5]
    assert len(kept.sigmas) < len(first)
    assert len(kept.notes) == 2


@pytest.mark.parametrize("denoise", [1.0, 0.6, 0.35])
def test_as_run_repeats_without_a_clock(denoise: float) -> None:
    ran = as_run(keeper(gives_way=("steps",)).parameters, (*SIGMAS[:4], 0.0), denoise)
    assert ran.gives_way == ()
    assert round(ran.num_steps * denoise) == 4
    assert ran.sigmas is not None
    assert ran.sigmas[-5:] == (*SIGMAS[:4], 0.0)
    assert list(ran.sigmas) == sorted(ran.sigmas, reverse=True)
    ran.check()
    assert OptimizedParameters.from_dict(ran.to_dict()) == ran
