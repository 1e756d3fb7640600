"""What happens at the UNet: forward items are counted, guidance is left out where the plan says so, and a scouted
seed's first answers are recorded or given again."""

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
class Forward:
    """The counter of one run, and the tape it is recorded on or played from."""

    items: int = 0
    """Images × conditionings that went through the UNet."""
    recording: Recording | None = None
    """Takes down what the UNet answers."""
    known: Player | None = None
    """Answers in the UNet's place as long as it can."""


@contextmanager
def watched(pipe: Any, parameters: OptimizedParameters, forward: Forward) -> Iterator[None]:
    """Watch over the UNet during one call of the pipeline, and give it the prompt's half alone where the plan wants no
    guidance.

    The pipeline goes on as if both halves had been computed: with equal predictions its guidance changes nothing.
    CFG++ stands for ordinary guidance here, but keeps it in every step, as in ComfyUI.
    """
    import torch

    unet = pipe.unet
    inner = unet.forward
    before = vars(unet).get("forward")
    improvements = parameters.improvements
    limited = improvements.limits_guidance and not find_sampler(parameters.sampler_name).cfg_pp

    def computed(sample: Any, timestep: Any, *args: Any, **kwargs: Any) -> Any:
        guided = not limited or improvements.guides(sigma_at(pipe.scheduler, timestep))
        if guided or not pipe.do_classifier_free_guidance:
            forward.items += sample.shape[0]
            return inner(sample, timestep, *args, **kwargs)
        forward.items += sample.shape[0] // 2
        kwargs["encoder_hidden_states"] = _prompt_half(kwargs["encoder_hidden_states"])
        if kwargs.get("added_cond_kwargs"):
            kwargs["added_cond_kwargs"] = {
                name: _prompt_half(value) for name, value in kwargs["added_cond_kwargs"].items()
            }
        output = inner(_prompt_half(sample), timestep, *args, **kwargs)
        return (torch.cat([output[0], output[0]]), *output[1:])

    def watching(sample: Any, timestep: Any, *args: Any, **kwargs: Any) -> Any:
        question = (sample, timestep)
        if forward.known is not None and (answer := forward.known(*question)) is not None:
            return tuple(each.to(sample.device, copy=True) for each in answer)
        output = computed(sample, timestep, *args, **kwargs)
        if forward.recording is not None:
            forward.recording.keep(question, output)
        return output

    unet.forward = watching
    try:
        yield
    finally:
        # At its end the pipeline sets the hooks of CPU_OFFLOAD anew, in place of this.
        if vars(unet).get("forward") is watching:
            if before is None:
                del unet.forward
            else:
                unet.forward = before


def sigma_at(scheduler: Any, timestep: Any) -> float:
    """The noise level of a training step, or of one between two (log-linearly)."""
    position = float(timestep)
    cumulative = scheduler.alphas_cumprod
    low = min(int(position), len(cumulative) - 2)
    logs = [
        0.5 * math.log((1 - alpha) / alpha) if alpha > 0 else math.inf for alpha in cumulative[low : low + 2].tolist()
    ]
    share = position - low
    return math.exp(logs[0] * (1 - share) + logs[1] * share) if share else math.exp(logs[0])


def _prompt_half(rows: Any) -> Any:
    """diffusers puts the negative prompt's rows first."""
    return rows[rows.shape[0] // 2 :]
