"""Samples one forward batch with the pipeline: counts steps and forward items, and hooks into the UNet."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

from ...parameters import OptimizedParameters
from ...parameters.samplers import find_sampler
from ...parameters.second_pass import first_run
from ..run import OnStep
from ..run_timer import RunTimer, planned_items, sigmas_of
from ..scouting import Recording
from ..stages import GenerationPlan
from ..time_keeper import TimeKeeper
from .conditioning import encode, same_length

_log = logging.getLogger(__name__)


@dataclass
class UNetCalls:
    """Count of one run's forward items, and where its calls are recorded or replayed."""

    items: int = 0
    recording: Recording | None = None
    """Predicts in the UNet's place as long as it can, then keeps the UNet's predictions."""


@dataclass
class Progress:
    """Counts and times the steps of a run over its forward batches, and changes the rest of one that will be late."""

    keeper: TimeKeeper
    batches: int
    calls: UNetCalls
    timer: RunTimer
    on_step: OnStep | None
    scouted: int | None = None
    """Last step of each forward batch; None: all are taken."""
    changed: bool = False
    """The batch has to begin anew, with the keeper's settings."""
    _before: int = 0
    _shown: int = 0

    @property
    def until(self) -> int:
        """Last step of a forward batch."""
        return self.scouted or len(self.keeper.sigmas) - 1

    def tick(self, evaluation: int, evaluations: int) -> bool:
        """Count model evaluation `evaluation` of `evaluations` (second-order methods have about two a step). Returns
        whether the forward batch ends here."""
        import torch

        step = evaluation * (len(self.keeper.sigmas) - 1) // evaluations
        if min(step, self.until) > self._shown:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self._shown = min(step, self.until)
            before = self.keeper.parameters, self.keeper.sigmas
            if warning := self._time(self._shown - 1):
                _log.warning(warning)
            self.changed = (self.keeper.parameters, self.keeper.sigmas) != before
            if self.on_step is not None:
                self.on_step(self._before + self._shown, self.batches * self.until)
        return self.changed or step >= self.until

    def _time(self, step: int) -> str | None:
        keeper, items = self.keeper, self.calls.items
        if not keeper.watches:
            return self.timer.step(items)

        def change(affordable: float, expected: float) -> float:
            if keeper.change(step, affordable, expected):
                _log.warning(keeper.notes[-1])
            return keeper.rest(step)

        return self.timer.step(items, keeper.rest(step), change)

    def begin_anew(self) -> None:
        """Begin the forward batch again, after its settings changed."""
        self.changed = False
        self.timer.pause()

    def end_batch(self) -> None:
        self._before += self.until
        self._shown = 0
        self.timer.pause()


def call_arguments(pipe: Any, plan: GenerationPlan) -> dict[str, Any]:
    """Return the pipeline's arguments of the first pass for any seed, with embeddings for one image."""
    parameters, prompts = first_run(plan.parameters), plan.recommendations
    positive, negative = same_length(
        encode(pipe, prompts.prompt, parameters.clip_skip), encode(pipe, prompts.negative_prompt, parameters.clip_skip)
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
    return planned_items(parameters, sigmas_of(parameters), calls=len(scheduler.timesteps))


def sample(
    pipe: Any,
    arguments: dict[str, Any],
    parameters: OptimizedParameters,
    seeds: Sequence[int],
    progress: Progress,
    start: Any = None,
) -> Any:
    """Return latents, one per seed, from one forward batch. Each has noise of its own, whatever the batch.

    `start`: clean latents, one per seed, that noise of the schedule's first level is added to; None: noise alone.
    """
    import torch

    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    if start is not None:
        arguments = {**arguments, "latents": _noised(pipe, start, arguments["num_inference_steps"], generators)}

    sigmas, done = progress.keeper.sigmas, 0

    def after_step(pipe: Any, index: int, _timestep: Any, _tensors: dict[str, Any]) -> dict[str, Any]:
        nonlocal done
        done = index + 1
        if progress.tick(done, pipe.num_timesteps):
            pipe._interrupt = True
        return {}

    def level(timestep: Any) -> float:
        # The schedule's own level, which forward items are foretold by: the training step only lies near it.
        is_step = len(pipe.scheduler.timesteps) == len(sigmas) - 1
        return sigmas[done] if is_step else sigma_at(pipe.scheduler, timestep)

    with hooked_unet(pipe, parameters, progress.calls, level):
        result = pipe(
            **arguments,
            num_images_per_prompt=len(seeds),
            generator=generators,
            callback_on_step_end=after_step,
            output_type="latent",
        )
    return result.images


def _noised(pipe: Any, start: Any, steps: int, generators: Sequence[Any]) -> Any:
    """The latents that the pipeline starts from: clean ones with noise, less the factor that it multiplies by."""
    import torch

    scheduler = pipe.scheduler
    scheduler.set_timesteps(steps, device=pipe._execution_device)
    shape = (1, *start.shape[1:])
    noise = torch.cat([torch.randn(shape, generator=each) for each in generators])
    clean = start.to(pipe._execution_device, torch.float32)
    first = scheduler.timesteps[:1].repeat(len(start))
    noisy = scheduler.add_noise(clean, noise.to(clean), first) / scheduler.init_noise_sigma
    return noisy.to(start.dtype)


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


@contextmanager
def hooked_unet(
    pipe: Any, parameters: OptimizedParameters, calls: UNetCalls, level: Callable[[Any], float]
) -> Iterator[None]:
    """Count, record and replay the UNet's calls during one call of the pipeline, and skip the negative prompt where the
    plan wants no guidance: `level` returns the noise level of a call at a timestep.

    The pipeline receives the prompt's prediction for both halves then: with equal predictions its guidance changes
    nothing. CFG++ is ordinary guidance here, but keeps it in every step, as in ComfyUI.
    """
    import torch

    unet, inner = pipe.unet, pipe.unet.forward
    before = vars(unet).get("forward")
    improvements = parameters.improvements
    limited = improvements.limits_guidance and not find_sampler(parameters.sampler_name).cfg_pp

    def computed(sample: Any, timestep: Any, *args: Any, **kwargs: Any) -> Any:
        guided = not limited or improvements.guides(level(timestep))
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
        recording = calls.recording
        if recording is not None and (predictions := recording.play(sample, timestep)) is not None:
            return tuple(each.to(sample.device, copy=True) for each in predictions)
        output = computed(sample, timestep, *args, **kwargs)
        if recording is not None:
            recording.add((sample, timestep), output)
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
