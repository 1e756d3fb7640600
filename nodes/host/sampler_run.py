"""Samples with ComfyUI's samplers, forward batch by forward batch: equal to KSampler at equal settings, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch
from comfy.patcher_extension import WrappersMP

from ...intelligence.generation.run import OnStep
from ...intelligence.generation.run_timer import RunTimer, decoding_items, planned_items
from ...intelligence.memory import MemoryPlan
from ...intelligence.parameters import OptimizedParameters
from ...intelligence.parameters.samplers import check_names
from . import scout_hooks
from .forward_passes import ForwardCounter
from .model_settings import with_improvements
from .plan_hooks import apply_plan
from .start_latents import empty_latent, fitted_samples

KEY = "intelligent_generation"

GUIDANCE_OPTIONS = ("sampler_cfg_function", "sampler_pre_cfg_function")
"""Model options that combine cond and uncond: without uncond, ComfyUI passes them zeros."""


@dataclass(frozen=True)
class SamplerInputs:
    """Linked inputs of an IntelligentSampler."""

    model: Any
    positive: Any
    negative: Any
    vae: Any
    latent: dict[str, Any] | None = None
    """LATENT to start from; None: an empty one of the plan's size."""
    denoise: float = 1.0


def sigmas(model: Any, parameters: OptimizedParameters, denoise: float = 1.0) -> torch.Tensor:
    """Return the schedule to sample: float32 on the CPU, descending to 0; empty where `denoise` leaves no step.

    Below a denoise of 1, this is the last `num_steps` of a longer core schedule, as in KSampler, or the last
    `num_steps` × denoise of an explicit schedule, as in the core node AlignYourStepsScheduler.

    Raises InvalidInputError for a sampler or scheduler that this ComfyUI lacks.
    """
    known = comfy.samplers.KSampler
    check_names(parameters.sampler_name, parameters.scheduler, known.SAMPLERS, known.SCHEDULERS)
    if parameters.sigmas is not None:
        steps = round(parameters.num_steps * denoise)
        return torch.tensor(parameters.sigmas, dtype=torch.float32)[-(steps + 1) :] if steps else torch.empty(0)
    sampler = comfy.samplers.KSampler(
        model,
        steps=parameters.num_steps,
        device=model.load_device,
        sampler=parameters.sampler_name,
        scheduler=parameters.scheduler,
        denoise=denoise,
        model_options=model.model_options,
    )
    return sampler.sigmas.cpu()


class Guider(comfy.samplers.CFGGuider):
    """KSampler's guider, which counts forward items and skips the negative conditioning where the plan has no guidance.

    Its hooks are in its own copy of MODEL's options, inside those of other nodes. ComfyUI would take a clone of MODEL
    for every run for a new model, load its weights again and keep a trace of each.
    """

    def __init__(self, model: Any, parameters: OptimizedParameters, forward: ForwardCounter) -> None:
        super().__init__(model)
        self.cfg = parameters.guidance_scale
        self.improvements = parameters.improvements
        self.forward = forward

    def outer_sample(self, *args: Any, **kwargs: Any) -> Any:
        """See `CFGGuider`. MODEL's own hooks are in the options by now."""
        self.forward.attach(self.model_options)
        return super().outer_sample(*args, **kwargs)

    def predict_noise(self, x: Any, timestep: Any, model_options: dict[str, Any], seed: int | None = None) -> Any:
        """See `CFGGuider`."""
        limits = self.improvements.limits_guidance
        # Samplers that need uncond themselves (CFG++) would compute it anyway.
        if not limits or model_options.get("disable_cfg1_optimization") or self.improvements.guides(float(timestep[0])):
            return super().predict_noise(x, timestep, model_options, seed)
        unguided = {name: value for name, value in model_options.items() if name not in GUIDANCE_OPTIONS}
        cfg, self.cfg = self.cfg, 1.0
        try:
            return super().predict_noise(x, timestep, unguided, seed)
        finally:
            self.cfg = cfg


@dataclass
class SamplerRun:
    """Noise, schedule and counters of one run, which `sample` takes part by part.

    Raises InvalidInputError for parameters that cannot be used.
    """

    inputs: SamplerInputs
    parameters: OptimizedParameters
    seeds: Sequence[int]
    """An entry per image."""
    batch_seed: int | None
    """Draws the whole batch's noise, as in KSampler; None: each image's noise comes from its own seed."""
    notify: Callable[[str], None]
    """Shows a text to the user."""
    done_items: int = 0
    """Forward items that need not be computed again."""

    def __post_init__(self) -> None:
        inputs, parameters, count = self.inputs, self.parameters, len(self.seeds)
        parameters.check()
        size = parameters.width, parameters.height
        self.latent = inputs.latent or empty_latent(inputs.model, inputs.vae, *size, count)
        self.samples = comfy.utils.repeat_to_batch_size(fitted_samples(inputs.model, self.latent), count)
        self.noise = self._noise()
        self.sigmas = sigmas(inputs.model, parameters, inputs.denoise)
        self.model, self.forward = with_improvements(inputs.model, parameters), ForwardCounter()
        self._items_before_sample = 0
        planned = parameters.forward_items or planned_items(parameters, self.sigmas.tolist(), count)
        after, limit = decoding_items(parameters, count), parameters.max_time_seconds
        self.timer = RunTimer(planned - self.done_items, after, limit)

    def _noise(self) -> torch.Tensor:
        batch_index = self.latent.get("batch_index")
        if self.batch_seed is not None:
            return comfy.sample.prepare_noise(self.samples, self.batch_seed, batch_index)
        rows = zip(self.samples.split(1), self.seeds, strict=True)
        return torch.cat([comfy.sample.prepare_noise(row, seed, batch_index) for row, seed in rows])

    def failed_stage(self) -> str:
        """Return the stage in which the last call of `sample` stopped: LoRAs are patched in before the first step."""
        computed = self.forward.items > self._items_before_sample
        return "unet" if computed or not self.model.patches else "lora"

    def sample(
        self,
        rows: slice,
        memory: MemoryPlan,
        on_step: OnStep | None,
        wrapper: Any = None,
        steps: int | None = None,
    ) -> torch.Tensor:
        """Return the latents of one forward batch, sampled by `memory`.

        Args:
            rows: the images in this batch.
            wrapper: goes around the model's predictions.
            steps: stop after so many, with the latents that the model predicts for the end; None: sample to the end.
        """
        model = self.model
        if wrapper is not None:
            model = model.clone()
            model.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, KEY, wrapper)
        guider = Guider(apply_plan(model, memory), self.parameters, self.forward)
        guider.set_conds(self.inputs.positive, self.inputs.negative)
        self._items_before_sample = self.forward.items
        self.timer.pause()
        try:
            samples = guider.sample(
                self.noise[rows],
                self.samples[rows],
                comfy.samplers.sampler_object(self.parameters.sampler_name),
                self.sigmas,
                denoise_mask=self._mask(rows),
                callback=self._callback(rows, on_step, steps),
                disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
                seed=self.seeds[rows.start],
            )
        except scout_hooks.Paused as paused:
            samples = model.model.process_latent_out(paused.predicted.to(torch.float32))
        return _to_intermediate(samples)

    def _mask(self, rows: slice) -> torch.Tensor | None:
        mask, count = self.latent.get("noise_mask"), len(self.seeds)
        if mask is None or rows.stop - rows.start >= count:
            return mask
        return comfy.utils.repeat_to_batch_size(mask.reshape(-1, 1, *mask.shape[-2:]), count)[rows]

    def _callback(self, rows: slice, on_step: OnStep | None, steps: int | None) -> Any:
        preview = latent_preview.prepare_callback(self.model, self.parameters.num_steps)
        size = rows.stop - rows.start
        batch, batches = -(-rows.start // size), -(-len(self.seeds) // size)

        def callback(step: int, x0: Any, x: Any, total_steps: int) -> None:
            if warning := self.timer.step(self.forward.items):
                self.notify(warning)
            preview(step, x0, x, total_steps)
            if on_step:
                on_step(batch * total_steps + step + 1, batches * total_steps)
            if step + 1 == steps:
                raise scout_hooks.Paused(x0)

        return callback


def _to_intermediate(samples: torch.Tensor) -> torch.Tensor:
    """Return latents on the device and in the precision that KSampler returns (0.8.0: in their own precision)."""
    dtype = getattr(comfy.model_management, "intermediate_dtype", lambda: samples.dtype)()
    return samples.to(device=comfy.model_management.intermediate_device(), dtype=dtype)
