"""Table of samplers: names, cost, and the diffusers class that does the same.

The rows follow ComfyUI (`comfy/k_diffusion/sampling.py`, `comfy/samplers.py`), A1111 (`sd_samplers_kdiffusion.py`,
`sd_schedulers.py`) and diffusers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, NamedTuple

from .schedules import SCHEDULER_NAMES, scheduler_title, unknown_name


class SigmaInput(Enum):
    """Form in which a diffusers scheduler takes the sigmas to step through."""

    EACH_STEP = auto()
    """A sigma for each step, down to 0."""
    ABOVE_ZERO = auto()
    """A sigma for each step, the last above 0, as the class is not a number at 0."""
    OUTER_STEPS = auto()
    """A sigma for each step, around which the class lays out the inner steps of its second-order method."""
    TRAINING_STEPS = auto()
    """The nearest training step of each sigma."""


class DiffusersScheduler(NamedTuple):
    """Scheduler class of diffusers, and how to make it."""

    name: str
    sigmas: SigmaInput = SigmaInput.EACH_STEP
    options: Mapping[str, Any] = MappingProxyType({})
    """Keywords for `Class.from_config(config, **options)`."""


_KARRAS = {"use_karras_sigmas": True}
_SDE2 = {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}
_MULTI = "DPMSolverMultistepScheduler"
_SINGLE = "DPMSolverSinglestepScheduler"

_EULER = DiffusersScheduler("EulerDiscreteScheduler")
_EULER_A = DiffusersScheduler("EulerAncestralDiscreteScheduler")
_HEUN = DiffusersScheduler("HeunDiscreteScheduler", SigmaInput.OUTER_STEPS, _KARRAS)
_DPM2 = DiffusersScheduler("KDPM2DiscreteScheduler", SigmaInput.OUTER_STEPS, _KARRAS)
_DPM2_A = DiffusersScheduler("KDPM2AncestralDiscreteScheduler", SigmaInput.OUTER_STEPS, _KARRAS)
_2M = DiffusersScheduler(_MULTI, options={"solver_order": 2})
_2M_SDE = DiffusersScheduler(_MULTI, options=_SDE2)
_2M_SDE_HEUN = DiffusersScheduler(_MULTI, options={**_SDE2, "solver_type": "heun"})
_3M_SDE = DiffusersScheduler(_MULTI, options={"algorithm_type": "sde-dpmsolver++", "solver_order": 3})
_2S_SDE = DiffusersScheduler(_SINGLE, options=_SDE2)
_3S = DiffusersScheduler(_SINGLE, options={"solver_order": 3})
_LMS = DiffusersScheduler("LMSDiscreteScheduler")
_DDPM = DiffusersScheduler("DDPMScheduler", SigmaInput.TRAINING_STEPS, {"clip_sample": False})
_LCM = DiffusersScheduler("LCMScheduler", SigmaInput.TRAINING_STEPS)
_DEIS = DiffusersScheduler("DEISMultistepScheduler", SigmaInput.ABOVE_ZERO, {"solver_order": 3})
_SA = DiffusersScheduler("SASolverScheduler", SigmaInput.ABOVE_ZERO)
_UNIPC = DiffusersScheduler("UniPCMultistepScheduler", options={"solver_order": 3, "solver_type": "bh2"})

_NO_CFG_PP = "diffusers has no CFG++; this is the same method with ordinary guidance"
_ONE_EVALUATION = "diffusers' single-step DPM-Solver++ evaluates the model once per step, ComfyUI's twice"
_ENDS_EARLY = "diffusers' ends at the lowest noise level instead of at none"
_VARIABLE_LMS = "linear multistep with variable steps"
_NO_B1 = "UniPC B2: diffusers' B1 is not a number at zero noise"


@dataclass(frozen=True)
class Sampler:
    """A sampler of ComfyUI's."""

    name: str
    display: str
    """A1111's name (Forge's where A1111 has none)."""
    diffusers: DiffusersScheduler | None = None
    """The same method in diffusers, or its nearest relative there; None: a sampler that another pack registered."""
    evaluations: tuple[int, int] = (1, 0)
    """(a, b): the model is evaluated a·steps + b times [measured on ComfyUI 0.33]."""
    differs: str | None = None
    """Difference of the diffusers class, where it is only a relative."""
    batch_dependent: bool = False
    """An image comes out differently in one forward batch with others than alone: noise is drawn on the way, or
    (`dpm_adaptive`) the whole batch decides the step sizes."""
    cfg_pp: bool = False
    """CFG++: needs the negative prompt in every step, so that leaving guidance out saves nothing."""
    drops_penultimate: bool = False
    """ComfyUI makes the schedule one step longer, then drops its last noise level above 0."""
    adaptive: bool = False
    """The picture decides how often the model is evaluated; see `ADAPTIVE_EVALUATIONS`."""


_TWICE = (2, -1)
_NOISE: Any = {"batch_dependent": True}
_CFG_PP: Any = {"differs": _NO_CFG_PP, "cfg_pp": True}

SAMPLERS: tuple[Sampler, ...] = (
    Sampler("euler", "Euler", _EULER),
    Sampler("euler_cfg_pp", "Euler CFG++", _EULER, **_CFG_PP),
    Sampler("euler_ancestral", "Euler a", _EULER_A, **_NOISE),
    Sampler("euler_ancestral_cfg_pp", "Euler a CFG++", _EULER_A, **_CFG_PP, **_NOISE),
    Sampler("heun", "Heun", _HEUN, _TWICE),
    Sampler("heunpp2", "HeunPP2", _HEUN, (3, -3), "Heun without its third evaluation"),
    Sampler("exp_heun_2_x0", "Exp Heun 2 x0", _HEUN, _TWICE, "Heun without the exponential"),
    Sampler("exp_heun_2_x0_sde", "Exp Heun 2 x0 SDE", _2S_SDE, _TWICE, _ONE_EVALUATION, **_NOISE),
    Sampler("dpm_2", "DPM2", _DPM2, _TWICE, drops_penultimate=True),
    Sampler("dpm_2_ancestral", "DPM2 a", _DPM2_A, _TWICE, drops_penultimate=True, **_NOISE),
    Sampler("lms", "LMS", _LMS),
    Sampler("dpm_fast", "DPM fast", _3S, differs="DPM-Solver++ of third order"),
    Sampler("dpm_adaptive", "DPM adaptive", _3S, (0, 66), "fixed steps of third order", True, adaptive=True),
    Sampler("dpmpp_2s_ancestral", "DPM++ 2S a", _2S_SDE, _TWICE, _ONE_EVALUATION, **_NOISE),
    Sampler("dpmpp_2s_ancestral_cfg_pp", "DPM++ 2S a CFG++", _2S_SDE, _TWICE, **_CFG_PP, **_NOISE),
    Sampler("dpmpp_sde", "DPM++ SDE", _2S_SDE, _TWICE, _ONE_EVALUATION, **_NOISE),
    Sampler("dpmpp_sde_gpu", "DPM++ SDE GPU", _2S_SDE, _TWICE, _ONE_EVALUATION, **_NOISE),
    Sampler("dpmpp_2m", "DPM++ 2M", _2M),
    Sampler("dpmpp_2m_cfg_pp", "DPM++ 2M CFG++", _2M, **_CFG_PP),
    Sampler("dpmpp_2m_sde", "DPM++ 2M SDE", _2M_SDE, **_NOISE),
    Sampler("dpmpp_2m_sde_gpu", "DPM++ 2M SDE GPU", _2M_SDE, **_NOISE),
    Sampler("dpmpp_2m_sde_heun", "DPM++ 2M SDE Heun", _2M_SDE_HEUN, **_NOISE),
    Sampler("dpmpp_2m_sde_heun_gpu", "DPM++ 2M SDE Heun GPU", _2M_SDE_HEUN, **_NOISE),
    Sampler("dpmpp_3m_sde", "DPM++ 3M SDE", _3M_SDE, **_NOISE),
    Sampler("dpmpp_3m_sde_gpu", "DPM++ 3M SDE GPU", _3M_SDE, **_NOISE),
    Sampler("ddpm", "DDPM", _DDPM, **_NOISE),
    Sampler("lcm", "LCM", _LCM, **_NOISE),
    Sampler("ipndm", "IPNDM", _LMS, differs=_VARIABLE_LMS),
    Sampler("ipndm_v", "IPNDM_V", _LMS, differs=_VARIABLE_LMS),
    Sampler("deis", "DEIS", _DEIS, differs=_ENDS_EARLY),
    Sampler("res_multistep", "Res Multistep", _2M, differs="DPM-Solver++ 2M"),
    Sampler("res_multistep_cfg_pp", "Res Multistep CFG++", _2M, **_CFG_PP),
    Sampler("res_multistep_ancestral", "Res Multistep a", _2M_SDE, differs="DPM-Solver++ 2M SDE", **_NOISE),
    Sampler("res_multistep_ancestral_cfg_pp", "Res Multistep a CFG++", _2M_SDE, **_CFG_PP, **_NOISE),
    Sampler("gradient_estimation", "Gradient Estimation", _EULER, differs="Euler without the correction"),
    Sampler("gradient_estimation_cfg_pp", "Gradient Estimation CFG++", _EULER, **_CFG_PP),
    Sampler("er_sde", "ER SDE", _3M_SDE, differs="DPM-Solver++ 3M SDE", **_NOISE),
    Sampler("seeds_2", "SEEDS 2", _2S_SDE, _TWICE, _ONE_EVALUATION, **_NOISE),
    Sampler("seeds_3", "SEEDS 3", _2S_SDE, (3, -2), _ONE_EVALUATION, **_NOISE),
    Sampler("sa_solver", "SA-Solver", _SA, differs=_ENDS_EARLY, **_NOISE),
    Sampler("sa_solver_pece", "SA-Solver PECE", _SA, _TWICE, f"SA-Solver in its PEC form; {_ENDS_EARLY}", **_NOISE),
    # ComfyUI's ddim is its euler: the same deterministic step, and it takes every schedule.
    Sampler("ddim", "DDIM", _EULER),
    Sampler("uni_pc", "UniPC", _UNIPC, differs=_NO_B1, drops_penultimate=True),
    Sampler("uni_pc_bh2", "UniPC BH2", _UNIPC, drops_penultimate=True),
)

ADAPTIVE_EVALUATIONS = (18, 240)
"""Fewest and most evaluations of `dpm_adaptive` at its default tolerances: six steps of three at the largest growth of
a step from 0.05 over the usual noise levels; pictures take 60 to 200. Its row has the geometric mean."""

_BY_NAME = {sampler.name: sampler for sampler in SAMPLERS}

SAMPLER_NAMES = tuple(_BY_NAME)


def find_sampler(name: str) -> Sampler:
    """Return the row of ComfyUI's sampler `name`.

    One that another pack registered is taken to evaluate the model once a step, and to draw noise.
    """
    return _BY_NAME.get(name) or Sampler(name, name, batch_dependent=True)


def check_names(
    sampler: str,
    scheduler: str,
    samplers: Collection[str] = SAMPLER_NAMES,
    schedulers: Collection[str] = SCHEDULER_NAMES,
) -> None:
    """Raise InvalidInputError for a name that a host with these samplers and schedulers lacks; default: ComfyUI's."""
    for kind, name, known in (("sampler", sampler, samplers), ("scheduler", scheduler, schedulers)):
        if name not in known:
            raise unknown_name(kind, name, tuple(known))


def evaluations(sampler: str, steps: int) -> int:
    """Return how often ComfyUI evaluates the model for `steps` steps of `sampler`; see `find_sampler`."""
    a, b = find_sampler(sampler).evaluations
    return max(1, a * steps + b)


def a1111_name(sampler: str, scheduler: str) -> tuple[str, str]:
    """Return A1111's names, as in `Sampler: DPM++ 2M, Schedule type: Karras`; those of other packs as they are."""
    return find_sampler(sampler).display, scheduler_title(scheduler)
