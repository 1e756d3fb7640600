"""What happens at the UNet: forward items are counted, guidance is left out where the plan says so."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...parameters import OptimizedParameters
from ...parameters.timing import UNSAVED


@dataclass
class Forward:
    """The counter of one run."""

    items: int = 0
    """Images × conditionings that went through the UNet."""


@contextmanager
def watched(pipe: Any, parameters: OptimizedParameters) -> Iterator[Forward]:
    """Count what the pipeline's UNet computes, and give it the prompt's half alone where the plan wants no guidance.

    The pipeline goes on as if both halves had been computed: with equal predictions its guidance changes nothing.
    CFG++ stands for ordinary guidance here, but keeps it in every step, as in ComfyUI.
    """
    import torch

    forward = Forward()
    improvements = parameters.improvements
    limited = improvements.limits_guidance and not parameters.sampler_name.endswith(UNSAVED)
    halved = False

    def before(_unet: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        nonlocal halved
        sample, timestep, *others = args
        halved = limited and pipe.do_classifier_free_guidance and not improvements.guides(_sigma(pipe, timestep))
        if not halved:
            forward.items += sample.shape[0]
            return None
        forward.items += sample.shape[0] // 2
        kwargs = kwargs | {"encoder_hidden_states": _prompt_half(kwargs["encoder_hidden_states"])}
        if kwargs.get("added_cond_kwargs"):
            kwargs["added_cond_kwargs"] = {
                name: _prompt_half(value) for name, value in kwargs["added_cond_kwargs"].items()
            }
        return (_prompt_half(sample), timestep, *others), kwargs

    def after(_unet: Any, _args: Any, output: tuple[Any, ...]) -> Any:
        return (torch.cat([output[0], output[0]]), *output[1:]) if halved else None

    hooks = (pipe.unet.register_forward_pre_hook(before, with_kwargs=True), pipe.unet.register_forward_hook(after))
    try:
        yield forward
    finally:
        for hook in hooks:
            hook.remove()


def _prompt_half(rows: Any) -> Any:
    """diffusers puts the negative prompt's rows first."""
    return rows[rows.shape[0] // 2 :]


def _sigma(pipe: Any, timestep: Any) -> float:
    """The noise level of a training step, or of one between two (log-linearly)."""
    position = float(timestep)
    cumulative = pipe.scheduler.alphas_cumprod
    low = min(int(position), len(cumulative) - 2)
    logs = [
        0.5 * math.log((1 - alpha) / alpha) if alpha > 0 else math.inf for alpha in cumulative[low : low + 2].tolist()
    ]
    share = position - low
    return math.exp(logs[0] * (1 - share) + logs[1] * share) if share else math.exp(logs[0])
