"""Samples one forward batch with the pipeline, and counts the steps of a run."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

from ...parameters import OptimizedParameters
from ...parameters.workload import evaluation_items
from ..run import OnStep
from ..run_timer import RunTimer, sigmas_of
from ..stages import GenerationPlan
from .conditioning import encode, same_length
from .unet import UNetCalls, hooked_unet, sigma_at

_log = logging.getLogger(__name__)


@dataclass
class Progress:
    """Counts and times the steps of a run over its forward batches."""

    steps: int
    batches: int
    calls: UNetCalls
    timer: RunTimer
    on_step: OnStep | None
    until: int
    """Last step of each forward batch."""
    _before: int = 0
    _reported: int = 0

    def tick(self, evaluation: int, evaluations: int) -> bool:
        """Count model evaluation `evaluation` of `evaluations` (second-order methods have about two a step). Returns
        whether the forward batch ends here."""
        import torch

        step = evaluation * self.steps // evaluations
        done = self._before + min(step, self.until)
        if done > self._reported:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if warning := self.timer.step(self.calls.items):
                _log.warning(warning)
            self._reported = done
            if self.on_step is not None:
                self.on_step(done, self.batches * self.until)
        return step >= self.until

    def end_batch(self) -> None:
        self._before += self.until
        self.timer.pause()


def call_arguments(pipe: Any, plan: GenerationPlan) -> dict[str, Any]:
    """Return the pipeline's arguments for any seed, with embeddings for one image."""
    parameters, prompts = plan.parameters, plan.recommendations
    positive, negative = same_length(
        encode(pipe, prompts.prompt, parameters.clip_skip),
        encode(pipe, prompts.negative_prompt, parameters.clip_skip),
    )
    arguments = {
        "prompt_embeds": positive.embeds,
        "negative_prompt_embeds": negative.embeds,
        "num_inference_steps": parameters.num_steps,
        "guidance_scale": parameters.guidance_scale,
        "guidance_rescale": parameters.rescale_cfg,
        "width": parameters.width,
        "height": parameters.height,
    }
    if positive.pooled is not None:
        arguments |= {"pooled_prompt_embeds": positive.pooled, "negative_pooled_prompt_embeds": negative.pooled}
    return arguments


def items_of_one(scheduler: Any, parameters: OptimizedParameters) -> int:
    """Return one image's forward items with `scheduler`, which may call the model less often than ComfyUI's sampler."""
    scheduler.set_timesteps(parameters.num_steps)
    evaluations, sigmas = len(scheduler.timesteps), sigmas_of(parameters)[:-1]
    return evaluation_items(
        evaluations, parameters.sampler_name, sigmas, parameters.guidance_scale, parameters.improvements
    )


def sample(
    pipe: Any,
    arguments: dict[str, Any],
    parameters: OptimizedParameters,
    seeds: Sequence[int],
    progress: Progress,
) -> Any:
    """Return latents, one per seed, from one forward batch. Each has noise of its own, whatever the batch."""
    import torch

    def after_step(pipe: Any, index: int, _timestep: Any, _tensors: dict[str, Any]) -> dict[str, Any]:
        if progress.tick(index + 1, pipe.num_timesteps):
            pipe._interrupt = True
        return {}

    with hooked_unet(pipe, parameters, progress.calls):
        result = pipe(
            **arguments,
            num_images_per_prompt=len(seeds),
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            callback_on_step_end=after_step,
            output_type="latent",
        )
    progress.end_batch()
    return result.images


class PredictedImage:
    """Clean latents as the model predicts them at the last step of `scheduler`."""

    def __init__(self, scheduler: Any) -> None:
        self.latents: Any = None
        step = scheduler.step

        @wraps(step)  # the pipeline inspects its signature for random generators
        def hooked(output: Any, timestep: Any, noisy: Any, *args: Any, **kwargs: Any) -> Any:
            seen = scheduler.scale_model_input(noisy, timestep)
            kind = scheduler.config.prediction_type
            self.latents = predict_clean(kind, sigma_at(scheduler, timestep), seen, output)
            return step(output, timestep, noisy, *args, **kwargs)

        scheduler.step = hooked


def predict_clean(prediction_type: str, sigma: float, seen: Any, output: Any) -> Any:
    """Return the clean latents of the model's `output` for its input `seen` = √ᾱ·clean + √(1 − ᾱ)·noise at
    σ = √((1 − ᾱ)/ᾱ); v-prediction as in arXiv 2202.00512, appendix D."""
    signal = 1 / math.sqrt(1 + sigma**2)
    noise = math.sqrt(1 - signal**2)
    if prediction_type == "v_prediction":
        return signal * seen - noise * output
    return output if prediction_type == "sample" else (seen - noise * output) / signal
