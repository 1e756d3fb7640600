"""One forward batch through the pipeline, and how far a run is."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from functools import wraps
from typing import Any

from ...parameters import OptimizedParameters
from ...parameters.timing import evaluation_items
from ..execution import OnStep
from ..run_timer import RunTimer, sigmas_of
from ..stages import GenerationPlan
from .conditioning import encode, same_length
from .unet import Forward, sigma_at, watched

_log = logging.getLogger(__name__)


class Progress:
    """Counts the steps of a run over its forward batches, and holds them against its time.

    Args:
        steps: of the plan.
        batches: how many forward batches there will be.
        until: the step that each of them ends with; None: the last.
    """

    def __init__(
        self,
        steps: int,
        batches: int,
        forward: Forward,
        timer: RunTimer,
        on_step: OnStep | None,
        until: int | None = None,
    ) -> None:
        self.timer = timer
        self._steps = steps
        self._until = until or steps
        self._total = batches * self._until
        self._forward = forward
        self._on_step = on_step
        self._before = 0
        self._reported = 0

    def tick(self, evaluation: int, evaluations: int) -> bool:
        """After model evaluation `evaluation` of `evaluations` (second-order methods have about two a step): whether
        the forward batch ends here."""
        step = evaluation * self._steps // evaluations
        done = self._before + min(step, self._until)
        if done > self._reported:
            _synchronize()
            if warning := self.timer.step(self._forward.items):
                _log.warning(warning)
            self._reported = done
            if self._on_step is not None:
                self._on_step(done, self._total)
        return step >= self._until

    def end_batch(self) -> None:
        """Another forward batch comes."""
        self._before += self._until
        self.timer.pause()


def call_arguments(pipe: Any, plan: GenerationPlan) -> dict[str, Any]:
    """What the pipeline is called with, whatever the seed. Embeddings for one image."""
    parameters: OptimizedParameters = plan.parameters
    prompts = plan.recommendations
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
    """Forward items of one image as `scheduler` steps, which may ask the model less often than ComfyUI's sampler."""
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
    forward: Forward,
    progress: Progress,
) -> Any:
    """Latents, one per seed, from one forward batch; each has its own noise, so the batch does not matter."""
    import torch

    def after_step(pipe: Any, index: int, _timestep: Any, _tensors: dict[str, Any]) -> dict[str, Any]:
        if progress.tick(index + 1, pipe.num_timesteps):
            pipe._interrupt = True
        return {}

    with watched(pipe, parameters, forward):
        result = pipe(
            **arguments,
            num_images_per_prompt=len(seeds),
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            callback_on_step_end=after_step,
            output_type="latent",
        )
    progress.end_batch()
    return result.images


class Promise:
    """What the model expects the image to become, at the last step that `scheduler` made."""

    def __init__(self, scheduler: Any) -> None:
        self.latents: Any = None
        step = scheduler.step

        @wraps(step)  # by its signature the pipeline tells whether it takes random generators
        def looked_at(output: Any, timestep: Any, noisy: Any, *args: Any, **kwargs: Any) -> Any:
            seen = scheduler.scale_model_input(noisy, timestep)
            kind = scheduler.config.prediction_type
            self.latents = expected(kind, sigma_at(scheduler, timestep), seen, output)
            return step(output, timestep, noisy, *args, **kwargs)

        scheduler.step = looked_at


def expected(prediction_type: str, sigma: float, seen: Any, output: Any) -> Any:
    """The clean latents that the model's `output` means, where it was shown √ᾱ·clean + √(1 − ᾱ)·noise at
    σ = √((1 − ᾱ)/ᾱ); arXiv 2202.00512, appendix D, for v-prediction."""
    signal = 1 / math.sqrt(1 + sigma**2)
    noise = math.sqrt(1 - signal**2)
    if prediction_type == "v_prediction":
        return signal * seen - noise * output
    return output if prediction_type == "sample" else (seen - noise * output) / signal


def _synchronize() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
