"""The plan's sampler and scheduler as a diffusers scheduler that steps through the same noise levels as ComfyUI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...parameters import OptimizedParameters
from ...parameters.samplers import SigmaInput, check_names, find_sampler
from ..run_timer import sigmas_of
from ..standalone import quiet

_MODEL_OPTIONS = (
    *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"),
    *("prediction_type", "rescale_betas_zero_snr"),
)
"""Entries of a loaded model's scheduler configuration that describe the model; its author's sampling is left out."""

_MIN_ALPHA = 2.0**-24
"""Stands for zero in a schedule with zero terminal SNR, as in diffusers' EulerDiscreteScheduler."""


def make_scheduler(config: Any, parameters: OptimizedParameters) -> tuple[Any, tuple[str, ...]]:
    """Return (diffusers scheduler, notes) for `parameters`; `config` is the loaded model's own scheduler configuration.

    It steps through the plan's sigmas, or those of ComfyUI's scheduler, whatever number of steps it is asked for. The
    notes say where the method only stands in for ComfyUI's. Raises InvalidInputError for unknown names.
    """
    import diffusers

    check_names(parameters.sampler_name, parameters.scheduler)
    sampler = find_sampler(parameters.sampler_name)
    assert sampler.diffusers is not None
    notes = []
    if parameters.improvements.easycache:
        notes.append("diffusers has no EasyCache; every step is computed")
    if sampler.differs:
        notes.append(f"diffusers has no equal of {sampler.name}: {sampler.differs}")
    model = {name: config[name] for name in _MODEL_OPTIONS if name in config}
    name, sigma_input, options = sampler.diffusers
    with quiet():
        scheduler = getattr(diffusers, name).from_config(model, **options)
    trained = _trained_sigmas(scheduler)
    sigmas = sigmas_of(parameters, trained)
    # ComfyUI's noise at the start is scaled by √(1 + σ²) where all is noise, else by σ.
    scheduler.register_to_config(timestep_spacing="leading" if sigmas[0] >= trained[-1] * (1 - 1e-5) else "linspace")
    _SET_SIGMAS[sigma_input](scheduler, sigmas, trained)
    return scheduler, tuple(notes)


def run_sigmas(config: Any, parameters: OptimizedParameters) -> tuple[float, ...]:
    """Return the steps + 1 sigmas that the scheduler of `make_scheduler` steps through."""
    return sigmas_of(parameters, trained_sigmas(config))


def trained_sigmas(config: Any) -> tuple[float, ...]:
    """Return the noise levels of the model's training steps, rising; `config` as for `make_scheduler`."""
    import diffusers

    model = {name: config[name] for name in _MODEL_OPTIONS if name in config}
    with quiet():
        return _trained_sigmas(diffusers.EulerDiscreteScheduler.from_config(model))


def _trained_sigmas(scheduler: Any) -> tuple[float, ...]:
    """Return the sigmas of the training steps, rising."""
    alphas = scheduler.alphas_cumprod.double().clamp(min=_MIN_ALPHA)
    return tuple((((1 - alphas) / alphas) ** 0.5).tolist())


def _training_steps(sigmas: tuple[float, ...], trained: tuple[float, ...]) -> list[int]:
    """Return the training step nearest to each sigma but the last, by logarithm as in ComfyUI."""
    import numpy as np

    logs = np.log(trained)
    return [int(np.abs(logs - np.log(sigma)).argmin()) for sigma in sigmas[:-1]]


def _set_each_step(scheduler: Any, sigmas: tuple[float, ...], trained: tuple[float, ...]) -> None:
    """Overwrite the sigmas, and a timestep for each: most such schedulers take none from outside."""
    import torch

    set_timesteps = scheduler.set_timesteps

    def set_own_sigmas(_steps: int | None = None, device: Any = None, **_: Any) -> None:
        set_timesteps(len(sigmas) - 1, device=device)
        timesteps = torch.tensor(_training_steps(sigmas, trained), device=device)
        scheduler.timesteps = timesteps.to(scheduler.timesteps.dtype)
        scheduler.sigmas = torch.tensor(sigmas, dtype=scheduler.sigmas.dtype, device=scheduler.sigmas.device)
        scheduler.set_begin_index(0)

    scheduler.set_timesteps = set_own_sigmas


def _set_above_zero(scheduler: Any, sigmas: tuple[float, ...], trained: tuple[float, ...]) -> None:
    _set_each_step(scheduler, (*sigmas[:-1], min(trained[0], sigmas[-2])), trained)


def _set_outer_steps(scheduler: Any, sigmas: tuple[float, ...], _trained: tuple[float, ...]) -> None:
    """Pass the sigmas for Karras' sigmas, around which the scheduler then lays out its inner steps."""
    import numpy as np

    set_timesteps = scheduler.set_timesteps
    scheduler._convert_to_karras = lambda in_sigmas, num_inference_steps: np.array(sigmas[:-1])

    def set_own_sigmas(_steps: int | None = None, device: Any = None, **_: Any) -> None:
        set_timesteps(len(sigmas) - 1, device=device)
        scheduler.set_begin_index(0)

    scheduler.set_timesteps = set_own_sigmas


def _set_training_steps(scheduler: Any, sigmas: tuple[float, ...], trained: tuple[float, ...]) -> None:
    timesteps = list(dict.fromkeys(_training_steps(sigmas, trained)))
    set_timesteps = scheduler.set_timesteps

    def set_own_timesteps(_steps: int | None = None, device: Any = None, **_: Any) -> None:
        set_timesteps(timesteps=timesteps, device=device)

    scheduler.set_timesteps = set_own_timesteps


_SET_SIGMAS: dict[SigmaInput, Callable[[Any, tuple[float, ...], tuple[float, ...]], None]] = {
    SigmaInput.EACH_STEP: _set_each_step,
    SigmaInput.ABOVE_ZERO: _set_above_zero,
    SigmaInput.OUTER_STEPS: _set_outer_steps,
    SigmaInput.TRAINING_STEPS: _set_training_steps,
}
