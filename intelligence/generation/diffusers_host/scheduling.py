"""The plan's sampler and scheduler as a diffusers scheduler that steps through the same noise levels as ComfyUI."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ...parameters import OptimizedParameters
from ...parameters.samplers import sampler_row, schedule_row
from ..run_timer import sigmas_of
from ..standalone import quiet

_OF_THE_MODEL = (
    *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"),
    *("prediction_type", "rescale_betas_zero_snr"),
)
"""What a loaded model's scheduler configuration says of the model; the rest is how its author sampled."""

_LEAST_ALPHA = 2.0**-24
"""What diffusers' Euler takes for zero in a schedule with zero terminal SNR."""


def make_scheduler(config: Any, parameters: OptimizedParameters) -> tuple[Any, tuple[str, ...]]:
    """(diffusers scheduler, notes) for `parameters`; `config` is the loaded model's own scheduler configuration.

    It steps through the plan's sigmas, or those of ComfyUI's scheduler, whatever number of steps it is asked for. The
    notes say where the method only stands in for ComfyUI's. Raises InvalidInputError for unknown names.
    """
    import diffusers

    row = sampler_row(parameters.sampler_name)
    schedule_row(parameters.scheduler)
    notes = []
    if parameters.improvements.easycache:
        notes.append("diffusers has no EasyCache; every step is computed")
    if row.instead_of:
        notes.append(f"diffusers has no equal of {row.name}: {row.instead_of}")
    model = {name: config[name] for name in _OF_THE_MODEL if name in config}
    put, arguments = _WAYS.get(row.diffusers, (_one_by_one, {}))
    with quiet():
        scheduler = getattr(diffusers, row.diffusers).from_config(model, **row.arguments, **arguments)
    trained = _trained(scheduler)
    sigmas = sigmas_of(parameters, trained)
    # ComfyUI's noise at the start is scaled by √(1 + σ²) where all is noise, else by σ.
    scheduler.register_to_config(timestep_spacing="leading" if sigmas[0] >= trained[-1] * (1 - 1e-5) else "linspace")
    put(scheduler, sigmas, trained)
    return scheduler, tuple(notes)


def _trained(scheduler: Any) -> tuple[float, ...]:
    """The sigmas of the training steps, rising."""
    alphas = scheduler.alphas_cumprod.double().clamp(min=_LEAST_ALPHA)
    return tuple((((1 - alphas) / alphas) ** 0.5).tolist())


def _nearest(sigmas: tuple[float, ...], trained: tuple[float, ...]) -> list[int]:
    """The training step of each sigma but the last, as ComfyUI takes it."""
    import numpy as np

    logs = np.log(trained)
    return [int(np.abs(logs - np.log(sigma)).argmin()) for sigma in sigmas[:-1]]


def _one_by_one(scheduler: Any, sigmas: tuple[float, ...], trained: tuple[float, ...]) -> None:
    """For schedulers that step from one sigma to the next: they keep them, and a timestep for each, in the same two
    fields, though most take none of one's own."""
    import torch

    set_timesteps = scheduler.set_timesteps

    def with_these_sigmas(_steps: int | None = None, device: Any = None, **_: Any) -> None:
        set_timesteps(len(sigmas) - 1, device=device)
        timesteps = torch.tensor(_nearest(sigmas, trained), device=device)
        scheduler.timesteps = timesteps.to(scheduler.timesteps.dtype)
        scheduler.sigmas = torch.tensor(sigmas, dtype=scheduler.sigmas.dtype, device=scheduler.sigmas.device)
        scheduler.set_begin_index(0)

    scheduler.set_timesteps = with_these_sigmas


def _not_to_zero(scheduler: Any, sigmas: tuple[float, ...], trained: tuple[float, ...]) -> None:
    """For those that are not a number at sigma 0."""
    _one_by_one(scheduler, (*sigmas[:-1], min(trained[0], sigmas[-2])), trained)


def _between(scheduler: Any, sigmas: tuple[float, ...], _trained: tuple[float, ...]) -> None:
    """For second-order methods, which lay out their inner steps themselves, around what should be Karras' sigmas."""
    import numpy as np

    set_timesteps = scheduler.set_timesteps
    scheduler._convert_to_karras = lambda in_sigmas, num_inference_steps: np.array(sigmas[:-1])

    def with_these_sigmas(_steps: int | None = None, device: Any = None, **_: Any) -> None:
        set_timesteps(len(sigmas) - 1, device=device)
        scheduler.set_begin_index(0)

    scheduler.set_timesteps = with_these_sigmas


def _by_training_steps(scheduler: Any, sigmas: tuple[float, ...], trained: tuple[float, ...]) -> None:
    """For those that know training steps only."""
    scheduler.set_timesteps = partial(_set_training_steps, scheduler.set_timesteps, _nearest(sigmas, trained))


def _set_training_steps(
    set_timesteps: Callable[..., None], timesteps: list[int], _steps: int | None = None, device: Any = None, **_: Any
) -> None:
    set_timesteps(timesteps=list(dict.fromkeys(timesteps)), device=device)


_KARRAS = {"use_karras_sigmas": True}
_WAYS: dict[str, tuple[Callable[[Any, tuple[float, ...], tuple[float, ...]], None], dict[str, Any]]] = {
    "HeunDiscreteScheduler": (_between, _KARRAS),
    "KDPM2DiscreteScheduler": (_between, _KARRAS),
    "KDPM2AncestralDiscreteScheduler": (_between, _KARRAS),
    "DEISMultistepScheduler": (_not_to_zero, {}),
    "SASolverScheduler": (_not_to_zero, {}),
    "DDPMScheduler": (_by_training_steps, {}),
    "LCMScheduler": (_by_training_steps, {}),
}
"""How sigmas are put into a scheduler, and what it is made with for that; all others: one by one."""
