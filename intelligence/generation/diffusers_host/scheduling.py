"""The plan's sampler, scheduler and explicit sigmas as a diffusers scheduler."""

from __future__ import annotations

from typing import Any

from ...parameters import OptimizedParameters
from ...parameters.samplers import diffusers_scheduler
from ..standalone import quiet


def make_scheduler(config: Any, parameters: OptimizedParameters) -> tuple[Any, tuple[str, ...]]:
    """(diffusers scheduler, notes) for `parameters`; `config` is the loaded model's own scheduler configuration.

    The notes say where the method only stands in for ComfyUI's. Raises InvalidInputError for unknown names.
    """
    import diffusers

    sigmas = parameters.sigmas
    row = diffusers_scheduler(parameters.sampler_name, parameters.scheduler if sigmas is None else "normal")
    notes = []
    if sigmas is not None and not row.takes_sigmas:
        sigmas, row = None, diffusers_scheduler(parameters.sampler_name, parameters.scheduler)
        notes.append(f"{row.class_name} takes no explicit schedule; {parameters.scheduler} was used instead")
    if parameters.improvements.easycache:
        notes.append("diffusers has no EasyCache; every step is computed")
    if row.stands_for and sigmas is None:
        notes.append(f"diffusers has no equal of {row.stands_for}")
    with quiet():
        scheduler = getattr(diffusers, row.class_name).from_config(config, **row.arguments)
    if sigmas is not None:
        _fix_sigmas(scheduler, sigmas)
    return scheduler, tuple(notes)


def _fix_sigmas(scheduler: Any, sigmas: tuple[float, ...]) -> None:
    """Let `scheduler` run through `sigmas` (steps + 1 values, the last 0), whatever number of steps is asked for.

    Most diffusers schedulers take no sigmas of one's own, though all that step from one sigma to the next keep them in
    the same two fields. The timestep of a sigma is that of the nearest one in training, as in ComfyUI.
    """
    import numpy as np
    import torch

    set_timesteps = scheduler.set_timesteps

    def with_these_sigmas(_steps: int | None = None, device: Any = None, **_: Any) -> None:
        set_timesteps(len(sigmas) - 1, device=device)
        cumulative = scheduler.alphas_cumprod.cpu().numpy().astype(np.float64)
        trained = np.log(((1 - cumulative) / cumulative) ** 0.5)
        nearest = [int(np.abs(trained - np.log(sigma)).argmin()) for sigma in sigmas[:-1]]
        scheduler.timesteps = torch.tensor(nearest, device=device).to(scheduler.timesteps.dtype)
        scheduler.sigmas = torch.tensor(sigmas, dtype=scheduler.sigmas.dtype, device=scheduler.sigmas.device)
        scheduler.set_begin_index(0)

    scheduler.set_timesteps = with_these_sigmas
