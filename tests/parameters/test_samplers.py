"""The table of samplers: names in, names out."""

from __future__ import annotations

import pytest

from intelligence.errors import InvalidInputError
from intelligence.parameters.samplers import (
    SAMPLER_NAMES,
    SCHEDULER_NAMES,
    a1111_name,
    evaluations,
    from_a1111,
    schedule_row,
)

COMFYUI_SAMPLERS = """
euler euler_cfg_pp euler_ancestral euler_ancestral_cfg_pp heun heunpp2 exp_heun_2_x0 exp_heun_2_x0_sde dpm_2
dpm_2_ancestral lms dpm_fast dpm_adaptive dpmpp_2s_ancestral dpmpp_2s_ancestral_cfg_pp dpmpp_sde dpmpp_sde_gpu
dpmpp_2m dpmpp_2m_cfg_pp dpmpp_2m_sde dpmpp_2m_sde_gpu dpmpp_2m_sde_heun dpmpp_2m_sde_heun_gpu dpmpp_3m_sde
dpmpp_3m_sde_gpu ddpm lcm ipndm ipndm_v deis res_multistep res_multistep_cfg_pp res_multistep_ancestral
res_multistep_ancestral_cfg_pp gradient_estimation gradient_estimation_cfg_pp er_sde seeds_2 seeds_3 sa_solver
sa_solver_pece ddim uni_pc uni_pc_bh2
"""


def test_every_comfyui_sampler_has_a_row() -> None:
    assert set(SAMPLER_NAMES) == set(COMFYUI_SAMPLERS.split())


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
@pytest.mark.parametrize("scheduler", SCHEDULER_NAMES)
def test_names_survive_the_way_to_a1111_and_back(sampler: str, scheduler: str) -> None:
    assert from_a1111(*a1111_name(sampler, scheduler)) == (sampler, scheduler)


@pytest.mark.parametrize(
    ("name", "schedule", "expected"),
    [
        ("DPM++ 2M Karras", None, ("dpmpp_2m", "karras")),
        ("DPM++ 2M SDE Exponential", None, ("dpmpp_2m_sde", "exponential")),
        ("DPM++ 2M SDE Heun Karras", None, ("dpmpp_2m_sde_heun", "karras")),
        ("DPM++ 2M", "Automatic", ("dpmpp_2m", "karras")),
        ("Euler a", "Automatic", ("euler_ancestral", "normal")),
        ("Euler a", None, ("euler_ancestral", "normal")),
        ("euler A", "sgm uniform", ("euler_ancestral", "sgm_uniform")),
        ("DPM2 a Karras", None, ("dpm_2_ancestral", "karras")),
        ("DDIM", None, ("ddim", "normal")),
        ("dpmpp_2m", "karras", ("dpmpp_2m", "karras")),
    ],
)
def test_names_as_people_have_them(name: str, schedule: str | None, expected: tuple[str, str]) -> None:
    assert from_a1111(name, schedule) == expected


def test_a1111_writes_sampler_and_schedule_apart() -> None:
    assert a1111_name("dpmpp_2m", "karras") == ("DPM++ 2M", "Karras")


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: a1111_name("dpmpp_2n", "karras"), "dpmpp_2m"),
        (lambda: schedule_row("karas"), "karras"),
        (lambda: from_a1111("DPM++ 2N"), "DPM\\+\\+ 2M"),
        (lambda: from_a1111("Euler", "Karas"), "Karras"),
        (lambda: evaluations("???", 20), "euler"),
    ],
)
def test_unknown_names_are_refused_with_what_comes_close(call: object, hint: str) -> None:
    with pytest.raises(InvalidInputError, match=hint):
        call()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [("euler", 20), ("heun", 39), ("dpm_2", 39), ("dpmpp_sde", 39), ("heunpp2", 57), ("seeds_3", 58), ("dpmpp_2m", 20)],
)
def test_evaluations_of_twenty_steps(sampler: str, expected: int) -> None:
    assert evaluations(sampler, 20) == expected
