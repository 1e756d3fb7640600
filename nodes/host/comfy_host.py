"""Runs plans with ComfyUI's own samplers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ...intelligence.config import MemorySettings, require
from ...intelligence.generation.generation_messages import GenerationMessage
from ...intelligence.generation.image_identity import image_digest
from ...intelligence.generation.problem_messages import ProblemMessage
from ...intelligence.generation.run import Execution, OnStep
from ...intelligence.generation.sampling_request import (
    ModelFacts,
    SamplingRequest,
    SamplingRun,
    Task,
    sampling_run,
)
from ...intelligence.generation.scouting import steps_to_scout
from ...intelligence.generation.stages import GenerationPlan
from ...intelligence.memory import MemoryPlan, MemoryRequest, device_name, track_usage
from ...intelligence.parameters import OptimizedParameters
from ...intelligence.parameters.schedules import FLUX2
from . import scout_hooks
from .device_memory import fit
from .forward_passes import Foreteller
from .images import eight_bit
from .model_guidance import model_guidance, replays
from .model_settings import has_easycache
from .out_of_memory import Attempts
from .sampler_calls import sampler_calls
from .sampler_run import SamplerInputs, SamplerRun, flux2_sigmas, sigmas
from .start_latents import EMPTY_LATENT_KEYS, empty_latent, fitted_samples, start_latent
from .vae_decode import decode


def fitted_run(plan: GenerationPlan, request: SamplingRequest, inputs: SamplerInputs) -> SamplingRun:
    """Return the run that `request` means, with a new memory plan where `plan` has one for another size or batch.

    Raises InvalidInputError, StorageError.
    """
    model, vae, parameters = inputs.model, inputs.vae, plan.parameters
    if parameters.schedule == FLUX2:
        size = start_latent(model, vae, inputs.latent)[1:] if inputs.latent else (parameters.width, parameters.height)
        plan = plan.changed(sigmas=flux2_sigmas(parameters.num_steps, *size))
        parameters = plan.parameters
    latent = inputs.latent or empty_latent(model, vae, parameters.width, parameters.height, 1)
    schedule = sigmas(model, parameters, inputs.denoise)
    foreteller = Foreteller(model, inputs.positive, inputs.negative, fitted_samples(model, latent))
    calls = sampler_calls(model, parameters.sampler_name, schedule)
    facts = ModelFacts(
        lambda switched: foreteller.items(switched, calls),
        has_easycache(model),
        model_guidance(model),
        None if inputs.latent is None else start_latent(model, vae, latent),
    )
    run = sampling_run(plan, request, facts)
    if not run.needs_fit:
        return run
    memory = MemoryRequest(
        images=run.images,
        max_batch=run.max_batch,
        settings=MemorySettings(plan.memory.requested_strategy),
        tile_size=plan.memory.requested_tile,
    )
    return replace(run, plan=fit(run.plan.recommendations, inputs.model, inputs.vae, memory))


@dataclass(frozen=True)
class ComfyHost:
    """The inputs of one IntelligentSampler, ready to run a plan."""

    run: SamplingRun
    inputs: SamplerInputs
    notify: Callable[[str], None]
    """Shows a text to the user during the run."""
    recording: scout_hooks.Recording | None = None
    """Steps of the one image that were sampled while scouting."""
    notes: tuple[str, ...] = ()
    """Kept with the run."""

    name = "comfyui"

    @classmethod
    def of_run(cls, run: SamplingRun, inputs: SamplerInputs, notify: Callable[[str], None]) -> ComfyHost:
        """Return the host for `run`; one that resumes a scouted seed starts where that was left, if it is kept."""
        host = cls(run, inputs, notify, notes=run.notes)
        if run.task is not Task.RESUME:
            return host
        scouted = scout_hooks.kept(inputs.model, *host._start())
        recording = scouted.recordings.get(run.seeds[0]) if scouted else None
        if scouted is None or recording is None:
            return replace(host, notes=(*run.notes, GenerationMessage.NOT_SCOUTED.value))
        note = GenerationMessage.RESUMED.format(
            seeds=len(scouted.recordings), spent=scouted.forward_items, step=scouted.steps, kept=recording.items
        )
        return replace(host, recording=recording, notes=(*run.notes, note))

    def execute(self, plan: GenerationPlan, seeds: Sequence[int], on_step: OnStep | None = None) -> Execution:
        """See `Host`. `extra["latent"]` is the LATENT of all images; `images` is an IMAGE tensor.

        Raises InvalidInputError, BrokenImageError, OutOfMemoryError.
        """
        attempts = self._attempts(plan, len(seeds))
        with track_usage() as usage:
            recorded = self.recording.items if self.recording else 0
            run = SamplerRun(self.inputs, plan.parameters, seeds, self.run.batch_seed, self.notify, recorded)
            sampled: list[torch.Tensor] = []

            def sample_rest(memory: MemoryPlan) -> None:
                size = self._batch_size(memory)
                while (first := sum(map(len, sampled))) < len(seeds):
                    recording = self.recording.copy() if self.recording else None
                    sampled.append(run.sample(slice(first, first + size), memory, on_step, recording))

            attempts.run(sample_rest, run.failed_stage)
            latent = {key: value for key, value in run.latent.items() if key not in EMPTY_LATENT_KEYS}
            latent["samples"] = torch.cat(sampled)
            size = self._batch_size(attempts.plan.memory)
            vae, samples = self.inputs.vae, latent["samples"]
            images, decoding_notes = attempts.run(lambda memory: decode(vae, samples, memory, size))
        timer = run.timer
        is_split = self.run.batch_seed is not None and size < self.run.max_batch
        split = GenerationMessage.BATCH_SPLIT.format(size=size) if is_split else None
        notes = (*self.notes, split, *attempts.notes, *run.keeper.notes, timer.verdict(), *decoding_notes)
        return Execution(
            images=images,
            seconds=timer.seconds,
            # Steps that are replayed take next to no time: nothing is learned from them.
            seconds_per_step=None if self.recording else timer.seconds_per_step,
            peak_vram_gb=usage.peak_vram_gb,
            notes=tuple(note for note in notes if note),
            forward_items=run.forward.items,
            seconds_per_item=timer.seconds_per_item,
            memory=attempts.plan.memory if attempts.notes else None,
            denoise=self.inputs.denoise,
            ran=run.ran,
            digests=tuple(image_digest(pixels) for pixels in eight_bit(images)),
            extra={"latent": latent},
            device=device_name(plan.memory.device),
        )

    def scout(self) -> tuple[torch.Tensor, scout_hooks.Scouted]:
        """Sample a quarter of the steps with each seed. Returns the predicted images as IMAGE, and what is kept.

        Raises InvalidInputError, BrokenImageError, OutOfMemoryError.
        """
        plan, seeds = self.run.plan, self.run.seeds
        attempts = self._attempts(plan, 1)
        require(replays(self.inputs.model), GenerationMessage.NOT_RESUMABLE.value)
        run = SamplerRun(self.inputs, replace(plan.parameters, max_time_seconds=None), seeds, None, self.notify)
        steps = steps_to_scout(len(run.sigmas) - 1)
        recordings: dict[int, scout_hooks.Recording] = {}
        predicted: list[torch.Tensor] = []

        def sample_rest(memory: MemoryPlan) -> None:
            for index, seed in enumerate(seeds[len(predicted) :], len(predicted)):
                before, recording = run.forward.items, scout_hooks.Recording()
                predicted.append(run.sample(slice(index, index + 1), memory, None, recording, steps))
                recording.items = run.forward.items - before
                recordings[seed] = recording

        attempts.run(sample_rest, run.failed_stage)
        images, _ = attempts.run(lambda memory: decode(self.inputs.vae, torch.cat(predicted), memory, 1))
        scouted = scout_hooks.Scouted(*self._start(), recordings, steps)
        scout_hooks.keep(self.inputs.model, scouted)
        return images, scouted

    def _start(self) -> tuple[tuple[Any, ...], tuple[OptimizedParameters, float]]:
        """Return all that the first steps depend on, except the seed."""
        inputs = self.inputs
        return (inputs.positive, inputs.negative, inputs.latent), (self.run.plan.parameters, inputs.denoise)

    def _attempts(self, plan: GenerationPlan, images: int) -> Attempts:
        planned, actual = plan.memory.device, self.inputs.model.load_device.type
        require(
            planned == actual,
            ProblemMessage.OTHER_DEVICE.format(planned=planned, actual=actual),
        )
        return Attempts(plan, self.inputs.model, self.inputs.vae, images, self.notify)

    def _batch_size(self, memory: MemoryPlan) -> int:
        return min(self.run.max_batch, max(1, memory.batch_size))
