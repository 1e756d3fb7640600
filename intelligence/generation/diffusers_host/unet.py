"""Hooks into the UNet: count forward items, skip guidance where the plan says so, record and replay scouted seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...parameters import OptimizedParameters
from ...parameters.samplers import find_sampler
from ..scouting import Player, Recording


@dataclass
class UNetCalls:
    """Count of one run's forward items, and where its calls are recorded or replayed."""

    items: int = 0
    recording: Recording | None = None
    replay: Player | None = None
    """Predicts in the UNet's place as long as it can."""


@contextmanager
def hooked_unet(pipe: Any, parameters: OptimizedParameters, calls: UNetCalls) -> Iterator[None]:
    """Count, record and replay the UNet's calls during one call of the pipeline, and skip the negative prompt where the
    plan wants no guidance.

    The pipeline receives the prompt's prediction for both halves then: with equal predictions its guidance changes
    nothing. CFG++ is ordinary guidance here, but keeps it in every step, as in ComfyUI.
    """
    import torch

    unet, inner = pipe.unet, pipe.unet.forward
    before = vars(unet).get("forward")
    improvements = parameters.improvements
    limited = improvements.limits_guidance and not find_sampler(parameters.sampler_name).cfg_pp

    def computed(sample: Any, timestep: Any, *args: Any, **kwargs: Any) -> Any:
        guided = not limited or improvements.guides(sigma_at(pipe.scheduler, timestep))
        if guided or not pipe.do_classifier_free_guidance:
            calls.items += sample.shape[0]
            return inner(sample, timestep, *args, **kwargs)
        calls.items += sample.shape[0] // 2
        kwargs["encoder_hidden_states"] = _prompt_half(kwargs["encoder_hidden_states"])
        if added := kwargs.get("added_cond_kwargs"):
            kwargs["added_cond_kwargs"] = {name: _prompt_half(value) for name, value in added.items()}
        output = inner(_prompt_half(sample), timestep, *args, **kwargs)
        return (torch.cat([output[0], output[0]]), *output[1:])

    def hooked(sample: Any, timestep: Any, *args: Any, **kwargs: Any) -> Any:
        if calls.replay is not None and (predictions := calls.replay(sample, timestep)) is not None:
            return tuple(each.to(sample.device, copy=True) for each in predictions)
        output = computed(sample, timestep, *args, **kwargs)
        if calls.recording is not None:
            calls.recording.add((sample, timestep), output)
        return output

    unet.forward = hooked
    try:
        yield
    finally:
        # At its end the pipeline installs the hooks of CPU_OFFLOAD anew, in place of this one.
        if vars(unet).get("forward") is hooked:
            if before is None:
                del unet.forward
            else:
                unet.forward = before


def sigma_at(scheduler: Any, timestep: Any) -> float:
    """Return the noise level of a training step, or between two of them (log-linear)."""
    position = float(timestep)
    low = min(int(position), len(scheduler.alphas_cumprod) - 2)
    alphas = scheduler.alphas_cumprod[low : low + 2].tolist()
    logs = [0.5 * math.log((1 - alpha) / alpha) if alpha > 0 else math.inf for alpha in alphas]
    share = position - low
    return math.exp(logs[0] * (1 - share) + logs[1] * share) if share else math.exp(logs[0])


def _prompt_half(rows: Any) -> Any:
    """Return the second half: diffusers puts the negative prompt's rows first."""
    return rows[rows.shape[0] // 2 :]
