"""Calls that a sampler makes of the model: found by running the sampler on next to nothing, before the run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import comfy.samplers
import torch

from ...intelligence.parameters.samplers import ADAPTIVE_EVALUATIONS, evaluations

_log = logging.getLogger(__name__)

PROBE_SHAPE = (1, 4, 8, 8)


@dataclass(frozen=True)
class SamplerCalls:
    """Calls of the model for one image, in order."""

    sigmas: torch.Tensor
    """Noise level of each call, float32 on the CPU."""
    needs_negative: bool = False
    """The sampler itself needs the negative prompt in every call (CFG++)."""
    before_step: tuple[int, ...] = ()
    """Number of calls when each step is reported."""
    span: tuple[int, int] | None = None
    """(fewest, most) calls of a sampler that decides on the way; None: exactly those of `sigmas`."""

    def steps_through(self, schedule: torch.Tensor) -> bool:
        """Return whether each step is reported right after a call at its own level of `schedule`."""
        if self.span is not None or len(self.before_step) != len(schedule) - 1:
            return False
        return all(count and self.sigmas[count - 1] == schedule[step] for step, count in enumerate(self.before_step))


def sampler_calls(model: Any, sampler: str, sigmas: torch.Tensor) -> SamplerCalls:
    """Return the calls of ComfyUI's `sampler`, or another pack's, on a schedule of steps + 1 `sigmas`.

    A sampler that does not run on the stand-in is taken to call the model as often as its row says, else once a step.
    """
    if len(sigmas) < 2:
        return SamplerCalls(torch.empty(0))
    try:
        flat, rough = (_run(model, sampler, sigmas, scale) for scale in (0.0, 0.7))
    except Exception as error:  # noqa: BLE001 - other packs' samplers reach into parts that the stand-in lacks
        _log.debug("%s does not run on the stand-in: %r", sampler, error)
        return _assumed(sampler, sigmas)
    if len(flat.sigmas) == len(rough.sigmas) and torch.equal(flat.sigmas, rough.sigmas):
        return flat
    fewest, most = ADAPTIVE_EVALUATIONS
    middle = torch.logspace(float(sigmas[0].log10()), float(sigmas[-2].log10()), round((fewest * most) ** 0.5))
    return SamplerCalls(middle, flat.needs_negative, span=ADAPTIVE_EVALUATIONS)


class _Model:
    """Stands where samplers have the guider: predicts a share of its input and keeps the noise levels."""

    def __init__(self, model: Any, scale: float) -> None:
        self.model_patcher = model
        self.inner_model = SimpleNamespace(
            model_sampling=model.get_model_object("model_sampling"),
            latent_format=model.get_model_object("latent_format"),
        )
        self.cfg = 1.0
        self.conds: dict[str, list[Any]] = {"positive": [], "negative": []}
        self.scale = scale
        self.sigmas: list[torch.Tensor] = []
        self.needs_negative = False

    def __call__(self, x: Any, sigma: Any, model_options: dict[str, Any] | None = None, seed: int | None = None) -> Any:
        options = model_options or {}
        self.sigmas.append(sigma.reshape(-1)[0].detach().to(torch.float32).cpu())
        self.needs_negative |= bool(options.get("disable_cfg1_optimization"))
        predicted = x * self.scale
        given = {"cond_denoised": predicted, "uncond_denoised": predicted, "input": x, "sigma": sigma}
        for function in options.get("sampler_post_cfg_function", []):  # the sampler's own
            predicted = function({"denoised": predicted, "model_options": options, "cond_scale": 1.0, **given})
        return predicted


def _run(model: Any, sampler: str, sigmas: torch.Tensor, scale: float) -> SamplerCalls:
    stand_in, before_step = _Model(model, scale), []

    def callback(*_: Any) -> None:
        before_step.append(len(stand_in.sigmas))

    with torch.random.fork_rng(devices=[]):
        noise = torch.randn(PROBE_SHAPE, generator=torch.Generator().manual_seed(0))
        arguments = {"model_options": {"transformer_options": {"sample_sigmas": sigmas}}, "seed": 0}
        found = comfy.samplers.sampler_object(sampler)
        found.sample(stand_in, sigmas, arguments, callback, noise, torch.zeros(PROBE_SHAPE), None, True)
    return SamplerCalls(torch.stack(stand_in.sigmas), stand_in.needs_negative, tuple(before_step))


def _assumed(sampler: str, sigmas: Sequence[float] | torch.Tensor) -> SamplerCalls:
    steps = len(sigmas) - 1
    count = evaluations(sampler, steps)
    each = [sigmas[min(steps - 1, index * steps // count)] for index in range(count)]
    before = tuple(min(count, -(-(step + 1) * count // steps)) for step in range(steps))
    return SamplerCalls(torch.tensor([float(sigma) for sigma in each]), before_step=before)
