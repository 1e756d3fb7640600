"""Carries a plan out with ComfyUI's own samplers: what KSampler would do at the same settings, bit for bit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch

from ...intelligence.config import require
from ...intelligence.generation.execution import Execution, OnStep
from ...intelligence.generation.run_timer import RunTimer, decoding_items, planned_items
from ...intelligence.generation.scouting import steps_to_scout
from ...intelligence.generation.stages import GenerationPlan
from ...intelligence.memory import MemoryManager, MemoryPlan
from ...intelligence.parameters import OptimizedParameters
from ...intelligence.parameters.samplers import find_sampler
from . import scout_hooks
from .core_nodes import core_nodes
from .device_memory import fit
from .guider import Forward, Guider, has_easycache, improved
from .out_of_memory import Attempts
from .plan_hooks import apply_plan
from .vae_decode import decode

RATIOS = ("downscale_ratio_spacial", "downscale_ratio_temporal")
"""Keys of an empty LATENT that say what it was made for; not of a sampled one."""


def sigmas(model: Any, parameters: OptimizedParameters, denoise: float = 1.0) -> torch.Tensor:
    """The schedule that will be sampled: float32 on the CPU, descending to 0; empty where nothing is to be done.

    Less denoise: of a core scheduler the last `num_steps` of a longer schedule, as in KSampler; of an explicit schedule
    its last `num_steps` × denoise, as in the core node AlignYourStepsScheduler.
    """
    if parameters.sigmas is None:
        return _sampler(model, parameters, denoise).sigmas.cpu()
    steps = round(parameters.num_steps * denoise)
    return torch.tensor(parameters.sigmas, dtype=torch.float32)[-(steps + 1) :] if steps else torch.empty(0)


def forward_items(model: Any, parameters: OptimizedParameters, denoise: float, images: int) -> int:
    """Forward items that a run will take, predicted from its true schedule."""
    return planned_items(parameters, sigmas(model, parameters, denoise).tolist(), images)


def _sampler(model: Any, parameters: OptimizedParameters, denoise: float) -> Any:
    return comfy.samplers.KSampler(
        model,
        steps=parameters.num_steps,
        device=model.load_device,
        sampler=parameters.sampler_name,
        scheduler=parameters.scheduler,
        denoise=denoise,
        model_options=model.model_options,
    )


@dataclass(frozen=True)
class ComfyHost:
    """One IntelligentSampler's inputs, ready to carry a plan out."""

    model: Any
    positive: Any
    negative: Any
    vae: Any
    latent: dict[str, Any] | None = None
    """LATENT to start from; None: an empty one of the plan's size."""
    denoise: float = 1.0
    batch_seed: int | None = None
    """Draw the whole batch's noise from this one seed, in one pass, as KSampler does; None: from each image's own."""
    one_pass: bool = False
    """Images with seeds of their own share forward batches of the plan's size, where the sampler draws no noise."""
    recording: scout_hooks.Recording | None = None
    """Go on with the one image from where it was scouted."""
    notes: tuple[str, ...] = ()
    """What the caller wants kept with the run."""
    tell: Callable[[str], None] = logging.warning
    """Shows a text to the user while it runs."""

    name = "comfyui"

    def execute(self, plan: GenerationPlan, seeds: Sequence[int], on_step: OnStep | None = None) -> Execution:
        """See `Host`. `extra["latent"]` is the LATENT of all images; `images` is an IMAGE tensor.

        Raises InvalidInputError, BrokenImageError, OutOfMemoryError.
        """
        attempts = self._attempts(plan, len(seeds))
        with MemoryManager().track_usage() as usage:
            run = _Run(self, plan.parameters, seeds, self.recording.items if self.recording else 0)
            sampled: list[torch.Tensor] = []

            def sample(memory: MemoryPlan) -> None:
                """What is not sampled yet."""
                size = self._pass_size(attempts.plan, len(seeds))
                while (first := sum(map(len, sampled))) < len(seeds):
                    wrapper = self.recording.replay() if self.recording else None
                    sampled.append(run.sample(slice(first, first + size), memory, on_step, wrapper))

            attempts.carry_out(sample, run.stage)
            latent = {key: value for key, value in run.latent.items() if key not in RATIOS}
            latent["samples"] = torch.cat(sampled)
            size = self._pass_size(attempts.plan, len(seeds))
            images, seen = attempts.carry_out(lambda memory: decode(self.vae, latent["samples"], memory, size))
        timer = run.timer
        told = (*self.notes, *self._split(attempts.plan, len(seeds)), *attempts.notes)
        return Execution(
            images=images,
            seconds=timer.seconds,
            # Steps that are played back take next to no time: nothing is learned from them.
            seconds_per_step=None if self.recording else timer.seconds_per_step,
            peak_vram_gb=usage.peak_vram_gb,
            notes=(*told, *((timer.warning,) if timer.warning else ()), *seen),
            forward_items=run.forward.items,
            seconds_per_item=timer.seconds_per_item,
            memory=attempts.plan.memory if attempts.notes else None,
            extra={"latent": latent},
        )

    def scout(self, plan: GenerationPlan, seeds: Sequence[int]) -> tuple[torch.Tensor, scout_hooks.Scouted]:
        """Sample a quarter of the steps with each seed: what each promises, as IMAGE, and what to go on from.

        Raises InvalidInputError, BrokenImageError, OutOfMemoryError.
        """
        cached = plan.parameters.improvements.easycache or has_easycache(self.model)
        require(not cached, "a scouted seed cannot go on beside EasyCache: switch one of them off")
        attempts = self._attempts(plan, 1)
        run = _Run(self, replace(plan.parameters, max_time_seconds=None), seeds)
        steps = steps_to_scout(len(run.sigmas) - 1)
        recordings: dict[int, scout_hooks.Recording] = {}
        promised: list[torch.Tensor] = []

        def sample(memory: MemoryPlan) -> None:
            """The seeds that are not scouted yet."""
            for index, seed in enumerate(seeds[len(promised) :], len(promised)):
                before, recording = run.forward.items, scout_hooks.Recording()
                promised.append(run.sample(slice(index, index + 1), memory, None, recording.record, steps))
                recording.items = run.forward.items - before
                recordings[seed] = recording

        attempts.carry_out(sample, run.stage)
        images, _ = attempts.carry_out(lambda memory: decode(self.vae, torch.cat(promised), memory, 1))
        scouted = scout_hooks.Scouted(*self._start(plan), recordings, steps)
        scout_hooks.keep(self.model, scouted)
        return images, scouted

    def scouted(self, plan: GenerationPlan) -> scout_hooks.Scouted | None:
        """What was scouted last with this MODEL, if this plan goes on from it."""
        return scout_hooks.kept(self.model, *self._start(plan))

    def _start(self, plan: GenerationPlan) -> tuple[tuple[Any, ...], tuple[OptimizedParameters, float]]:
        """All that the first steps depend on, but for the seed."""
        return (self.positive, self.negative, self.latent), (plan.parameters, self.denoise)

    def fitted(self, plan: GenerationPlan, images: int, resized: bool = False) -> GenerationPlan:
        """The plan for what will be run: made anew where it was made for another size or other forward batches."""
        together = self._share_passes(plan, images)
        asked = plan.memory
        if not resized and asked.together == (images if together else 1):
            return plan
        return fit(
            plan.recommendations,
            self.model,
            self.vae,
            images=images,
            together=together,
            strategy=asked.asked_strategy,
            tile_size=asked.asked_tile,
        )

    def _attempts(self, plan: GenerationPlan, images: int) -> Attempts:
        planned, here = plan.memory.device, self.model.load_device.type
        require(
            planned == here,
            f"the memory plan was made for {planned}, but this model samples on {here}: "
            "connect Memory Plan to the same model as the sampler",
        )
        return Attempts(plan, self.model, self.vae, images, self.tell)

    def _share_passes(self, plan: GenerationPlan, images: int) -> bool:
        """Whether images are to share forward batches."""
        separable = self.one_pass and not find_sampler(plan.parameters.sampler_name).batch_dependent
        return images > 1 and (self.batch_seed is not None or separable)

    def _pass_size(self, plan: GenerationPlan, images: int) -> int:
        """Images per forward batch."""
        return min(images, max(1, plan.memory.batch_size)) if self._share_passes(plan, images) else 1

    def _split(self, plan: GenerationPlan, images: int) -> tuple[str, ...]:
        """What to tell of forward batches that are not as was asked for."""
        size, sampler = self._pass_size(plan, images), plan.parameters.sampler_name
        if self.batch_seed is not None and size < images:
            return (
                f"sampled {size} at a time to fit into memory: not what KSampler gives for the whole batch at once",
            )
        if self.batch_seed is None and self.one_pass and images > 1 and find_sampler(sampler).batch_dependent:
            return (f"sampled one by one: {sampler} draws noise on the way, which would differ in one pass",)
        return ()


class _Run:
    """One run of the sampler, forward batch by forward batch."""

    def __init__(self, host: ComfyHost, parameters: OptimizedParameters, seeds: Sequence[int], done: int = 0) -> None:
        """`done` forward items need not be computed again."""
        parameters.check()
        self.host = host
        self.parameters = parameters
        self.seeds = seeds
        self.latent = host.latent or _empty(parameters, len(seeds))
        samples = comfy.sample.fix_empty_latent_channels(
            host.model, self.latent["samples"], *(self.latent[key] for key in RATIOS if key in self.latent)
        )
        self.samples = comfy.utils.repeat_to_batch_size(samples, len(seeds))
        self.noise = self._noise()
        self.sigmas = sigmas(host.model, parameters, host.denoise)
        self.model, self.forward = improved(host.model, parameters), Forward()
        self._computed = 0
        self.timer = RunTimer(
            planned_items(parameters, self.sigmas.tolist(), len(seeds)) - done,
            decoding_items(parameters, len(seeds)),
            parameters.max_time_seconds,
        )

    def _noise(self) -> torch.Tensor:
        drawn = self.latent.get("batch_index")
        if self.host.batch_seed is not None:
            return comfy.sample.prepare_noise(self.samples, self.host.batch_seed, drawn)
        rows = zip(self.samples.split(1), self.seeds, strict=True)
        return torch.cat([comfy.sample.prepare_noise(row, seed, drawn) for row, seed in rows])

    def stage(self) -> str:
        """Where the last call of `sample` stopped: LoRAs are patched in before anything is computed."""
        computed = self.forward.items > self._computed
        return "unet" if computed or not self.model.patches else "lora"

    def sample(
        self,
        rows: slice,
        memory: MemoryPlan,
        on_step: OnStep | None,
        wrapper: Any = None,
        steps: int | None = None,
    ) -> torch.Tensor:
        """Latents of a forward batch by `memory`; after `steps` steps, when given, as the model expects them to become.

        `wrapper` goes around the model's predictions.
        """
        model = self.model
        if wrapper is not None:
            model = model.clone()
            scout_hooks.attach(model, wrapper)
        guider = Guider(apply_plan(model, memory), self.parameters, self.forward)
        guider.set_conds(self.host.positive, self.host.negative)
        self._computed = self.forward.items
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
            samples = model.model.process_latent_out(paused.promise.to(torch.float32))
        return _handed_on(samples)

    def _mask(self, rows: slice) -> torch.Tensor | None:
        mask, count = self.latent.get("noise_mask"), len(self.seeds)
        if mask is None or rows.stop - rows.start >= count:
            return mask
        return comfy.utils.repeat_to_batch_size(mask.reshape(-1, 1, *mask.shape[-2:]), count)[rows]

    def _callback(self, rows: slice, on_step: OnStep | None, steps: int | None) -> Any:
        preview = latent_preview.prepare_callback(self.model, self.parameters.num_steps)
        size = rows.stop - rows.start
        before, batches = -(-rows.start // size), -(-len(self.seeds) // size)

        def callback(step: int, x0: Any, x: Any, total_steps: int) -> None:
            if warning := self.timer.step(self.forward.items):
                self.host.tell(warning)
            preview(step, x0, x, total_steps)
            if on_step:
                on_step(before * total_steps + step + 1, batches * total_steps)
            if step + 1 == steps:
                raise scout_hooks.Paused(x0)

        return callback


def _handed_on(samples: torch.Tensor) -> torch.Tensor:
    """Where and in which precision KSampler hands latents on (0.8.0: in their own)."""
    dtype = getattr(comfy.model_management, "intermediate_dtype", lambda: samples.dtype)()
    return samples.to(device=comfy.model_management.intermediate_device(), dtype=dtype)


def _empty(parameters: OptimizedParameters, count: int) -> dict[str, Any]:
    return core_nodes().EmptyLatentImage().generate(parameters.width, parameters.height, count)[0]
