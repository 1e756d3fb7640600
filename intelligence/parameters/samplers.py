"""Samplers and schedulers: ComfyUI's names, A1111's display names, and the diffusers class that does the same.

The rows follow ComfyUI (`comfy/k_diffusion/sampling.py`, `comfy/samplers.py`), A1111 (`sd_samplers_kdiffusion.py`,
`sd_schedulers.py`) and diffusers. What diffusers has no equivalent for gets its nearest relative, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from ..errors import InvalidInputError


@dataclass(frozen=True)
class Sampler:
    """One sampler under its three names."""

    name: str
    """ComfyUI's."""
    display: str
    """A1111's (Forge's where A1111 has none)."""
    diffusers: str
    """Scheduler class in diffusers, which is then made to step through ComfyUI's noise levels."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """For `Class.from_config(config, **arguments)`."""
    evaluations: tuple[int, int] = (1, 0)
    """(a, b): ComfyUI evaluates the model a·steps + b times [measured on ComfyUI 0.33]."""
    instead_of: str | None = None
    """Where the class is only a relative: what it differs in."""


@dataclass(frozen=True)
class Schedule:
    """One scheduler (spacing of the noise levels) under its three names."""

    name: str
    """ComfyUI's."""
    display: str
    """A1111's schedule type."""


_EULER = "EulerDiscreteScheduler"
_EULER_A = "EulerAncestralDiscreteScheduler"
_HEUN = "HeunDiscreteScheduler"
_MULTI = "DPMSolverMultistepScheduler"
_SINGLE = "DPMSolverSinglestepScheduler"
_LMS = "LMSDiscreteScheduler"
_UNIPC = "UniPCMultistepScheduler"
_SDE2 = {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}
_SDE3 = {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}
_BH2 = {"solver_order": 3, "solver_type": "bh2"}
_TWICE = (2, -1)
_NO_CFG_PP = "diffusers has no CFG++; this is the same method with ordinary guidance"
_ONE_EVALUATION = "diffusers' single-step DPM-Solver++ evaluates the model once per step, ComfyUI's twice"
_ENDS_EARLY = "diffusers' ends at the lowest noise level instead of at none"

SAMPLERS: tuple[Sampler, ...] = (
    Sampler("euler", "Euler", _EULER),
    Sampler("euler_cfg_pp", "Euler CFG++", _EULER, instead_of=_NO_CFG_PP),
    Sampler("euler_ancestral", "Euler a", _EULER_A),
    Sampler("euler_ancestral_cfg_pp", "Euler a CFG++", _EULER_A, instead_of=_NO_CFG_PP),
    Sampler("heun", "Heun", _HEUN, evaluations=_TWICE),
    Sampler("heunpp2", "HeunPP2", _HEUN, evaluations=(3, -3), instead_of="Heun without its third evaluation"),
    Sampler("exp_heun_2_x0", "Exp Heun 2 x0", _HEUN, evaluations=_TWICE, instead_of="Heun without the exponential"),
    Sampler("exp_heun_2_x0_sde", "Exp Heun 2 x0 SDE", _SINGLE, _SDE2, _TWICE, _ONE_EVALUATION),
    Sampler("dpm_2", "DPM2", "KDPM2DiscreteScheduler", evaluations=_TWICE),
    Sampler("dpm_2_ancestral", "DPM2 a", "KDPM2AncestralDiscreteScheduler", evaluations=_TWICE),
    Sampler("lms", "LMS", _LMS),
    Sampler("dpm_fast", "DPM fast", _SINGLE, {"solver_order": 3}, instead_of="DPM-Solver++ of third order"),
    Sampler("dpm_adaptive", "DPM adaptive", _SINGLE, {"solver_order": 3}, instead_of="fixed steps of third order"),
    Sampler("dpmpp_2s_ancestral", "DPM++ 2S a", _SINGLE, _SDE2, _TWICE, _ONE_EVALUATION),
    Sampler("dpmpp_2s_ancestral_cfg_pp", "DPM++ 2S a CFG++", _SINGLE, _SDE2, _TWICE, _NO_CFG_PP),
    Sampler("dpmpp_sde", "DPM++ SDE", _SINGLE, _SDE2, _TWICE, _ONE_EVALUATION),
    Sampler("dpmpp_sde_gpu", "DPM++ SDE GPU", _SINGLE, _SDE2, _TWICE, _ONE_EVALUATION),
    Sampler("dpmpp_2m", "DPM++ 2M", _MULTI, {"solver_order": 2}),
    Sampler("dpmpp_2m_cfg_pp", "DPM++ 2M CFG++", _MULTI, {"solver_order": 2}, instead_of=_NO_CFG_PP),
    Sampler("dpmpp_2m_sde", "DPM++ 2M SDE", _MULTI, _SDE2),
    Sampler("dpmpp_2m_sde_gpu", "DPM++ 2M SDE GPU", _MULTI, _SDE2),
    Sampler("dpmpp_2m_sde_heun", "DPM++ 2M SDE Heun", _MULTI, {**_SDE2, "solver_type": "heun"}),
    Sampler("dpmpp_2m_sde_heun_gpu", "DPM++ 2M SDE Heun GPU", _MULTI, {**_SDE2, "solver_type": "heun"}),
    Sampler("dpmpp_3m_sde", "DPM++ 3M SDE", _MULTI, _SDE3),
    Sampler("dpmpp_3m_sde_gpu", "DPM++ 3M SDE GPU", _MULTI, _SDE3),
    Sampler("ddpm", "DDPM", "DDPMScheduler", {"clip_sample": False}),
    Sampler("lcm", "LCM", "LCMScheduler"),
    Sampler("ipndm", "IPNDM", _LMS, instead_of="linear multistep with variable steps"),
    Sampler("ipndm_v", "IPNDM_V", _LMS, instead_of="linear multistep with variable steps"),
    Sampler("deis", "DEIS", "DEISMultistepScheduler", {"solver_order": 3}, instead_of=_ENDS_EARLY),
    Sampler("res_multistep", "Res Multistep", _MULTI, {"solver_order": 2}, instead_of="DPM-Solver++ 2M"),
    Sampler("res_multistep_cfg_pp", "Res Multistep CFG++", _MULTI, {"solver_order": 2}, instead_of=_NO_CFG_PP),
    Sampler("res_multistep_ancestral", "Res Multistep a", _MULTI, _SDE2, instead_of="DPM-Solver++ 2M SDE"),
    Sampler("res_multistep_ancestral_cfg_pp", "Res Multistep a CFG++", _MULTI, _SDE2, instead_of=_NO_CFG_PP),
    Sampler("gradient_estimation", "Gradient Estimation", _EULER, instead_of="Euler without the correction"),
    Sampler("gradient_estimation_cfg_pp", "Gradient Estimation CFG++", _EULER, instead_of=_NO_CFG_PP),
    Sampler("er_sde", "ER SDE", _MULTI, _SDE3, instead_of="DPM-Solver++ 3M SDE"),
    Sampler("seeds_2", "SEEDS 2", _SINGLE, _SDE2, _TWICE, _ONE_EVALUATION),
    Sampler("seeds_3", "SEEDS 3", _SINGLE, _SDE2, (3, -2), _ONE_EVALUATION),
    Sampler("sa_solver", "SA-Solver", "SASolverScheduler", instead_of=_ENDS_EARLY),
    Sampler(
        "sa_solver_pece", "SA-Solver PECE", "SASolverScheduler", {}, _TWICE, f"SA-Solver in its PEC form; {_ENDS_EARLY}"
    ),
    # ComfyUI's ddim is its euler: the same deterministic step, and it takes every schedule.
    Sampler("ddim", "DDIM", _EULER),
    Sampler("uni_pc", "UniPC", _UNIPC, _BH2, instead_of="UniPC B2: diffusers' B1 is not a number at zero noise"),
    Sampler("uni_pc_bh2", "UniPC BH2", _UNIPC, _BH2),
)

SCHEDULES: tuple[Schedule, ...] = (
    Schedule("simple", "Simple"),
    Schedule("sgm_uniform", "SGM Uniform"),
    Schedule("karras", "Karras"),
    Schedule("exponential", "Exponential"),
    Schedule("ddim_uniform", "DDIM"),
    Schedule("beta", "Beta"),
    Schedule("normal", "Normal"),
    Schedule("linear_quadratic", "Linear Quadratic"),
    Schedule("kl_optimal", "KL Optimal"),
)

_OTHER_SCHEDULE_NAMES = {"automatic": "karras", "uniform": "normal", "polyexponential": "exponential"}
"""A1111's schedule types without an equal in ComfyUI. Automatic is Karras for its DPM samplers, Uniform for others."""

_BY_NAME = {row.name: row for row in SAMPLERS}
_BY_DISPLAY = {row.display.casefold(): row for row in SAMPLERS}
_SCHEDULE_BY_NAME = {row.name: row for row in SCHEDULES}
_SCHEDULE_BY_DISPLAY = {row.display.casefold(): row for row in SCHEDULES}

SAMPLER_NAMES = tuple(_BY_NAME)
SCHEDULER_NAMES = tuple(_SCHEDULE_BY_NAME)


def evaluations(sampler: str, steps: int) -> int:
    """How often ComfyUI evaluates the model for `steps` steps of `sampler` (`dpm_adaptive` ignores steps: a guess).

    Raises InvalidInputError for an unknown sampler.
    """
    a, b = sampler_row(sampler).evaluations
    return max(1, a * steps + b)


def a1111_name(sampler: str, scheduler: str) -> tuple[str, str]:
    """A1111's (sampler, schedule type), as in `Sampler: DPM++ 2M, Schedule type: Karras`. Raises InvalidInputError."""
    return sampler_row(sampler).display, schedule_row(scheduler).display


def from_a1111(name: str, schedule: str | None = None) -> tuple[str, str]:
    """ComfyUI's (sampler, scheduler) for A1111's names; `DPM++ 2M Karras` is understood too.

    Without a schedule type A1111 spaced the steps evenly, which is ComfyUI's `normal`. Raises InvalidInputError.
    """
    label = name.strip()
    row = _BY_DISPLAY.get(label.casefold()) or _BY_NAME.get(label.casefold())
    if row is None and " " in label:
        head, tail = label.rsplit(" ", 1)
        row = _BY_DISPLAY.get(head.casefold())
        if row is not None and tail.casefold() in _SCHEDULE_BY_DISPLAY:
            return row.name, _from_schedule_type(schedule or tail, row)
        row = None
    if row is None:
        raise _unknown("sampler", name, [entry.display for entry in SAMPLERS])
    return row.name, _from_schedule_type(schedule or "Uniform", row)


def sampler_row(name: str) -> Sampler:
    """The row of ComfyUI's sampler. Raises InvalidInputError."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise _unknown("sampler", name, SAMPLER_NAMES) from None


def schedule_row(name: str) -> Schedule:
    """The row of ComfyUI's scheduler. Raises InvalidInputError."""
    try:
        return _SCHEDULE_BY_NAME[name]
    except KeyError:
        raise _unknown("scheduler", name, SCHEDULER_NAMES) from None


def _from_schedule_type(schedule: str, sampler: Sampler) -> str:
    key = schedule.strip().casefold()
    if key == "automatic" and not sampler.display.startswith("DPM"):
        return "normal"
    row = _SCHEDULE_BY_DISPLAY.get(key) or _SCHEDULE_BY_NAME.get(key)
    if row is not None:
        return row.name
    if key in _OTHER_SCHEDULE_NAMES:
        return _OTHER_SCHEDULE_NAMES[key]
    raise _unknown("schedule type", schedule, [entry.display for entry in SCHEDULES])


def _unknown(kind: str, name: str, known: Sequence[str]) -> InvalidInputError:
    close = get_close_matches(str(name), known, n=3, cutoff=0.4)
    return InvalidInputError(
        f"unknown {kind} {name!r}; " + (f"did you mean {', '.join(close)}?" if close else "known: " + ", ".join(known))
    )
