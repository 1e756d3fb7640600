"""Samples with ComfyUI's samplers, forward batch by forward batch: equal to KSampler at equal settings, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch
from comfy.patcher_extension import WrappersMP, add_wrapper_with_key

from ...intelligence.generation.run import OnStep
from ...intelligence.generation.run_timer import RunTimer, decoding_items, planned_items
from ...intelligence.generation.stages import Recommendations
from ...intelligence.generation.time_keeper import TimeKeeper, as_run
from ...intelligence.memory import MemoryPlan
from ...intelligence.parameters import OptimizedParameters
from ...intelligence.parameters.parameters import Lever
from ...intelligence.parameters.samplers import check_names
from ...intelligence.parameters.schedules import FLUX2
from ...intelligence.parameters.second_pass import first_run
from . import scout_hooks
from .forward_passes import Foreteller, ForwardCounter
from .guidance_progress import tell_guidance
from .model_guidance import model_guidance, replays
from .model_settings import has_easycache, with_guidance, with_improvements
from .plan_hooks import apply_plan
from .sampler_calls import SamplerCalls, sampler_calls
from .start_latents import empty_latent, fitted_samples

KEY = "intelligent_generation"

GUIDANCE_OPTIONS = ("sampler_cfg_function", "sampler_pre_cfg_function")
"""Model options that combine cond and uncond: without uncond, ComfyUI passes them zeros."""


def flux2_sigmas(steps: int, width: int, height: int) -> tuple[float, ...]:
    """Return the sigmas of core's Flux2Scheduler for an image of this size in pixels, to the last bit."""
    from comfy_extras.nodes_flux import Flux2Scheduler

    return tuple(Flux2Scheduler.execute(steps, width, height)[0].tolist())


def with_core_sigmas(recommendations: Recommendations) -> Recommendations:
    """Return the recommendations with core's own sigmas, where a schedule of core's made theirs."""
    settings = recommendations.suggested_params
    if settings.schedule != FLUX2:
        return recommendations
    first = first_run(settings)
    sigmas = flux2_sigmas(settings.num_steps, first.width, first.height)
    return replace(recommendations, suggested_params=replace(settings, sigmas=sigmas))


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

    def __init__(
        self,
        model: Any,
        parameters: OptimizedParameters,
        forward: ForwardCounter,
        recording: scout_hooks.Recording | None = None,
    ) -> None:
        super().__init__(model)
        self.cfg = parameters.guidance_scale
        self.improvements = parameters.improvements
        self.forward = forward
        self.recording = recording

    def outer_sample(self, *args: Any, **kwargs: Any) -> Any:
        """See `CFGGuider`. MODEL's own hooks are in the options by now."""
        self.forward.attach(self.model_options)
        if self.recording is not None:
            kind, wrap = WrappersMP.CALC_COND_BATCH, self.recording.wrap
            add_wrapper_with_key(kind, KEY, wrap, self.model_options, is_model_options=True)
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
    after: float | None = None
    """Time after the last step, in forward items that take as long; None: that of decoding."""
    earlier: SamplerRun | None = None
    """The pass before, of the same images; None: this is the first."""

    def __post_init__(self) -> None:
        inputs, parameters, count = self.inputs, self.parameters, len(self.seeds)
        parameters.check()
        size = parameters.width, parameters.height
        self.latent = inputs.latent or empty_latent(inputs.model, inputs.vae, *size, count)
        self.samples = comfy.utils.repeat_to_batch_size(fitted_samples(inputs.model, self.latent), count)
        self.noise = self._noise()
        self.sigmas = sigmas(inputs.model, parameters, inputs.denoise)
        # Another clone would be another model to ComfyUI, which loads its weights again.
        self.model: Any = self.earlier.model if self.earlier else with_improvements(inputs.model, parameters)
        self.forward = ForwardCounter()
        self.keeper = self._keeper()
        self._ran: list[tuple[OptimizedParameters, tuple[float, ...]]] = []
        self._items_before_sample = self._shown_steps = self._recorded = 0
        planned = parameters.forward_items or planned_items(parameters, self.sigmas.tolist(), count)
        after = decoding_items(parameters, count) if self.after is None else self.after
        earlier = self.earlier.timer if self.earlier else None
        self.timer: RunTimer = RunTimer(planned - self.done_items, after, parameters.max_time_seconds, earlier)

    def _keeper(self) -> TimeKeeper:
        """Return the keeper of the time limit, which changes nothing that cannot be repeated without a clock."""
        inputs, parameters = self.inputs, self.parameters
        levers = set(parameters.gives_way) if parameters.max_time_seconds and len(self.sigmas) > 1 else set()
        calls = (
            sampler_calls(inputs.model, parameters.sampler_name, self.sigmas) if levers else SamplerCalls(self.sigmas)
        )
        if calls.span is not None or has_easycache(self.model):
            levers.clear()
        if model_guidance(self.model).keeps_every_step:
            levers.discard(Lever.GUIDANCE)
        if not (levers and calls.steps_through(self.sigmas) and replays(self.model)):
            levers.clear()
        foreteller = Foreteller(inputs.model, inputs.positive, inputs.negative, self.samples)
        return TimeKeeper(
            parameters,
            tuple(self.sigmas.tolist()),
            len(self.seeds),
            lambda changed, sigmas: foreteller.each_step(changed, sigmas, calls),
            frozenset(levers),
        )

    def _noise(self) -> torch.Tensor:
        batch_index = self.latent.get("batch_index")
        if self.batch_seed is not None:
            return comfy.sample.prepare_noise(self.samples, self.batch_seed, batch_index)
        rows = zip(self.samples.split(1), self.seeds, strict=True)
        return torch.cat([comfy.sample.prepare_noise(row, seed, batch_index) for row, seed in rows])

    @property
    def ran(self) -> tuple[OptimizedParameters, ...]:
        """Settings of each image where the time limit changed them; else empty."""
        if not self.keeper.changed:
            return ()
        items = round(sum(sum(self.keeper.step_items(*each)) for each in self._ran))
        settled = (as_run(*each, self.inputs.denoise) for each in self._ran)
        return tuple(replace(each, forward_items=items, forward_items_interval=None) for each in settled)

    def failed_stage(self) -> str:
        """Return the stage in which the last call of `sample` stopped: LoRAs are patched in before the first step."""
        computed = self.forward.items > self._items_before_sample
        return "unet" if computed or not self.model.patches else "lora"

    def sample(
        self,
        rows: slice,
        memory: MemoryPlan,
        on_step: OnStep | None,
        recording: scout_hooks.Recording | None = None,
        steps: int | None = None,
    ) -> torch.Tensor:
        """Return the latents of one forward batch, sampled by `memory`.

        A batch that will be too late begins anew with other settings, and gets the predictions of its first steps back.

        Args:
            rows: the images in this batch.
            recording: first steps of it that were computed already, and where the others are recorded.
            steps: stop after so many, with the latents that the model predicts for the end; None: sample to the end.
        """
        keeper, noise = self.keeper, self.noise[rows]
        keeper.start(rows.start, len(noise))
        if recording is None and keeper.watches:
            recording = scout_hooks.Recording()
        self._items_before_sample, self._shown_steps = self.forward.items, 0
        self._recorded = recording.items if recording else 0
        model, samples = apply_plan(self.model, memory), None
        while samples is None:
            guider = Guider(model, keeper.parameters, self.forward, recording)
            positive = with_guidance(self.inputs.positive, self.parameters.guidance)
            guider.set_conds(positive, self.inputs.negative)
            self.timer.pause()
            tell_guidance(keeper.parameters, keeper.sigmas)
            try:
                samples = guider.sample(
                    noise,
                    self.samples[rows],
                    comfy.samplers.sampler_object(self.parameters.sampler_name),
                    torch.tensor(keeper.sigmas, dtype=torch.float32),
                    denoise_mask=self._mask(rows),
                    callback=self._callback(rows, on_step, steps),
                    disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
                    seed=self.seeds[rows.start],
                )
            except scout_hooks.Changed:
                assert recording is not None
                recording.rewind()
            except scout_hooks.Paused as paused:
                samples = model.model.process_latent_out(paused.predicted.to(torch.float32))
        self._ran += [(keeper.parameters, keeper.sigmas)] * len(noise)
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
            if step < self._shown_steps:  # of a batch that began anew
                return
            self._shown_steps = step + 1
            settings = self.keeper.parameters, self.keeper.sigmas
            if warning := self._time(step):
                self.notify(warning)
            preview(step, x0, x, total_steps)
            if on_step:
                on_step(batch * total_steps + step + 1, batches * total_steps)
            if step + 1 == steps:
                raise scout_hooks.Paused(x0)
            if (self.keeper.parameters, self.keeper.sigmas) != settings:
                self.notify(self.keeper.notes[-1])
                raise scout_hooks.Changed

        return callback

    def _time(self, step: int) -> str | None:
        """Time a step of the current batch; the rest may be changed. Returns a warning where that is not enough."""
        keeper, items = self.keeper, self.forward.items
        if not keeper.watches:
            return self.timer.step(items)
        computed = items - self._items_before_sample + self._recorded
        scale = computed / max(1.0, keeper.done(step)) or 1.0

        def change(affordable: float, expected: float) -> float:
            keeper.change(step, affordable / scale, expected)
            return keeper.rest(step) * scale

        return self.timer.step(items, keeper.rest(step) * scale, change)


def _to_intermediate(samples: torch.Tensor) -> torch.Tensor:
    """Return latents on the device and in the precision that KSampler returns (0.8.0: in their own precision)."""
    dtype = getattr(comfy.model_management, "intermediate_dtype", lambda: samples.dtype)()
    return samples.to(device=comfy.model_management.intermediate_device(), dtype=dtype)
