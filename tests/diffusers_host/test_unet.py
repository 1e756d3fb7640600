"""Guidance left out for a part of the steps, counted at the UNet; time and broken pictures told while it runs."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from intelligence.config import OffloadStrategy
from intelligence.errors import BrokenImageError
from intelligence.generation.diffusers_host import DiffusersHost
from intelligence.generation.diffusers_host.denoising import items_of_one
from intelligence.generation.run_timer import sigmas_of
from intelligence.generation.stages import GenerationPlan, Recommendations
from intelligence.generation.time_keeper import ROUNDING
from intelligence.memory import MemoryPlan
from intelligence.parameters import Improvements, OptimizedParameters
from intelligence.prompt import PromptAnalysis


def plan(**settings: Any) -> GenerationPlan:
    common = {"num_steps": 6, "guidance_scale": 6.0, "width": 64, "height": 64, "sampler_name": "euler"}
    parameters = OptimizedParameters(**{**common, "scheduler": "normal", **settings})
    recommendations = Recommendations(
        PromptAnalysis("a red cat"), [], parameters, prompt="a red cat", negative_prompt="dog"
    )
    return GenerationPlan(recommendations, MemoryPlan(OffloadStrategy.FULL_GPU, "cpu", 0, 1))


@pytest.mark.parametrize(
    ("sampler", "improvements", "items"),
    [
        ("euler", Improvements(), 12),
        ("euler", Improvements(cfg_cutoff_sigma=1.0), 10),
        ("dpmpp_2m", Improvements(cfg_cutoff_sigma=1.0), 10),
        ("euler", Improvements(cfg_cutoff_sigma=1.0, cfg_start_sigma=7.0), 9),
        ("euler_cfg_pp", Improvements(cfg_cutoff_sigma=1.0), 12),
        ("heun", Improvements(), 22),
    ],
)
def test_execute_counts_forward_items(
    host: DiffusersHost, sampler: str, improvements: Improvements, items: int
) -> None:
    """Six steps of normal lie at sigmas 14.6, 5.09, 2.28, 1.16, 0.57 and 0.03."""
    done = host.execute(plan(sampler_name=sampler, improvements=improvements), [1])
    assert done.forward_items == items


@pytest.mark.parametrize("sampler", ["euler", "heun", "heunpp2", "dpm_2", "dpmpp_sde", "seeds_3", "lcm", "uni_pc"])
@pytest.mark.parametrize("scheduler", ["normal", "ddim_uniform"])
def test_items_of_one_equals_counted_items(host: DiffusersHost, sampler: str, scheduler: str) -> None:
    wanted = plan(sampler_name=sampler, scheduler=scheduler, num_steps=7)
    done = host.execute(wanted, [1])
    assert done.forward_items == items_of_one(host._pipe.scheduler, wanted.parameters)


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "deis", "lcm"])
def test_guidance_ends_at_the_step_whose_level_is_the_cutoff(host: DiffusersHost, sampler: str) -> None:
    """Levels lie between those of training steps, several of the last ones about the same."""
    settings = {"sampler_name": sampler, "scheduler": "karras", "num_steps": 12}
    sigmas = sigmas_of(plan(**settings).parameters)
    for at in range(6, 12):
        cutoff = Improvements(cfg_cutoff_sigma=sigmas[at] * (1 + ROUNDING))
        assert host.execute(plan(improvements=cutoff, **settings), [1]).forward_items == 12 + at


def test_execute_without_guidance_equals_cfg_1(host: DiffusersHost) -> None:
    (none,) = host.execute(plan(improvements=Improvements(cfg_cutoff_sigma=1000.0)), [1]).images
    (one,) = host.execute(plan(guidance_scale=1.0), [1]).images
    (all_along,) = host.execute(plan(), [1]).images
    assert none.tobytes() == one.tobytes()
    assert none.tobytes() != all_along.tobytes()


def test_execute_warns_of_missed_time_limit(host: DiffusersHost, caplog: pytest.LogCaptureFixture) -> None:
    told: list[int] = []
    with caplog.at_level(logging.WARNING):
        done = host.execute(
            plan(max_time_seconds=0.01, forward_items=12), [1], lambda step, _: told.append(len(caplog.records))
        )
    assert told[0] == 0
    assert told[1] == 1
    assert any("will be exceeded" in note for note in done.notes)
    assert host.execute(plan(max_time_seconds=1000.0, forward_items=12), [1]).notes == ()


def test_execute_raises_for_not_a_number(host: DiffusersHost) -> None:
    host.execute(plan(), [1])
    calls = iter(range(1000))

    def breaks(_unet: Any, _args: Any, output: tuple[Any, ...]) -> Any:
        return (output[0] * np.nan,) if next(calls) < 6 else None

    hook = host._pipe.unet.register_forward_hook(breaks)
    try:
        done = host.execute(plan(), [1, 2])
        assert done.notes == ("image 1: sampling gave not-a-number; not a picture",)
        assert np.asarray(done.images[0]).max() == 0
        assert np.asarray(done.images[1]).std() > 5
        calls = iter(range(1000))
        with pytest.raises(BrokenImageError):
            host.execute(plan(), [1])
    finally:
        hook.remove()
