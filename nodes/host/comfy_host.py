"""Runs plans with ComfyUI's own samplers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ...intelligence.config import MemorySettings, require
from ...intelligence.generation.best_of import Candidate, Tried, ranked
from ...intelligence.generation.generation_messages import GenerationMessage
from ...intelligence.generation.image_identity import image_digest
from ...intelligence.generation.postprocess.passes import joined_settings, steps_of_passes
from ...intelligence.generation.postprocess.steps import StepKind
from ...intelligence.generation.problem_messages import ProblemMessage
from ...intelligence.generation.run import Execution, OnStep
from ...intelligence.generation.run_timer import items_after
from ...intelligence.generation.sampling_request import (
    ModelFacts,
    SamplingRequest,
    SamplingRun,
    Task,
    sampling_run,
)
from ...intelligence.generation.scouting import scouted_settings, steps_to_scout
from ...intelligence.generation.stages import BestOf, GenerationPlan
from ...intelligence.learning.value_model import ValueModel
from ...intelligence.memory import MemoryPlan, MemoryRequest, device_name, track_usage
from ...intelligence.parameters import OptimizedParameters
from ...intelligence.parameters.parameters import LATENT_UPSCALER
from ...intelligence.parameters.schedules import FLUX2
from ...intelligence.parameters.second_pass import first_run, second_run
from ...intelligence.pictures.look import Look, look_of
from . import scout_hooks
from .device_memory import fit, is_shared_out
from .enlarging import enlarge, with_upscale_cost
from .forward_passes import Foreteller
from .images import eight_bit
from .model_guidance import model_guidance, replays
from .model_settings import has_easycache
from .out_of_memory import Attempts
from .sampler_calls import sampler_calls
from .sampler_run import SamplerInputs, SamplerRun, flux2_sigmas, sigmas
from .server_planner import planner
from .start_latents import EMPTY_LATENT_KEYS, empty_latent, fitted_samples, start_latent
from .vae_decode import decode


def fitted_run(plan: GenerationPlan, request: SamplingRequest, inputs: SamplerInputs) -> SamplingRun:
    """Return the run that `request` means, with a new memory plan where `plan` has one for another size or batch.

    Raises InvalidInputError, StorageError.
    """
    model, vae, parameters = inputs.model, inputs.vae, plan.parameters
    if parameters.schedule == FLUX2:
        first = first_run(parameters)
        size = start_latent(model, vae, inputs.latent)[1:] if inputs.latent else (first.width, first.height)
        plan = plan.changed(sigmas=flux2_sigmas(parameters.num_steps, *size))
    facts = ModelFacts(
        lambda settings: _items(inputs, settings),
        lambda settings, denoise: _items(replace(inputs, latent=None, denoise=denoise), settings),
        has_easycache(model),
        model_guidance(model),
        None if inputs.latent is None else start_latent(model, vae, inputs.latent),
    )
    run = sampling_run(plan, request, facts)
    if (costed := with_upscale_cost(run.plan)) is not run.plan:
        run = replace(run, plan=costed, needs_fit=True)
    if run.plan.parameters.second_pass != plan.parameters.second_pass:
        settings = run.plan.parameters
        told = planner().optimizer.predicted(settings, settings.forward_items or 0)
        run = replace(run, plan=run.plan.with_parameters(told))
    if not run.needs_fit:
        return run
    memory = MemoryRequest(
        images=run.images,
        max_batch=run.max_batch,
        settings=MemorySettings(plan.memory.requested_strategy),
        tile_size=plan.memory.requested_tile,
    )
    return replace(run, plan=fit(run.plan.recommendations, inputs.model, inputs.vae, memory))


def _items(inputs: SamplerInputs, parameters: OptimizedParameters) -> tuple[int, int]:
    """The fewest and the most forward items of one image in a pass from these inputs."""
    model = inputs.model
    latent = inputs.latent or empty_latent(model, inputs.vae, parameters.width, parameters.height, 1)
    calls = sampler_calls(model, parameters.sampler_name, sigmas(model, parameters, inputs.denoise))
    return Foreteller(model, inputs.positive, inputs.negative, fitted_samples(model, latent)).items(parameters, calls)


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
    best_of: BestOf | None = None
    """The choice of the one image among several."""
    scouted_looks: tuple[Look | None, ...] = ()
    """Of the previews that the recording was picked from."""

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
        return replace(host, recording=recording, notes=(*run.notes, note), scouted_looks=scouted.looks)

    def execute(self, plan: GenerationPlan, seeds: Sequence[int], on_step: OnStep | None = None) -> Execution:
        """See `Host`. `extra["latent"]` is the LATENT of all images; `images` is an IMAGE tensor.

        Raises InvalidInputError, BrokenImageError, OutOfMemoryError.
        """
        attempts, first = self._attempts(plan, len(seeds)), first_run(plan.parameters)
        second, enlarging = None, None
        with track_usage() as usage:
            recorded = self.recording.items if self.recording else 0
            run = SamplerRun(
                *(self.inputs, first, seeds, self.run.batch_seed, self.notify),
                done_items=recorded,
                after=items_after(plan.parameters, len(seeds)),
            )
            first_step, second_step = steps_of_passes(plan.parameters, on_step)
            latent = self._sampled(run, attempts, first_step, self.recording)
            took = run.timer.time(run.forward.items)
            if planned := plan.parameters.second_pass:
                model, vae = self.inputs.model, self.inputs.vae
                enlarged = attempts.run(lambda memory: enlarge(latent, plan.parameters, model, vae, memory))
                enlarging = run.timer.seconds - took.seconds if planned.upscaler != LATENT_UPSCALER else None
                inputs = replace(self.inputs, latent=enlarged, denoise=planned.denoise)
                parameters = second_run(plan.parameters)
                second = SamplerRun(inputs, parameters, seeds, self.run.batch_seed, self.notify, earlier=run)
                latent = self._sampled(second, attempts, second_step)
            size = self._batch_size(attempts.plan.memory)
            vae, samples = self.inputs.vae, latent["samples"]
            checks = {"repair": plan.takes(StepKind.REPAIR), "seam_check": plan.takes(StepKind.SEAM_CHECK)}
            images, decoding_notes = attempts.run(lambda memory: decode(vae, samples, memory, size, **checks))
        last = second or run
        timer = last.timer
        # Nothing is learned of a device from steps that are replayed or that several devices share.
        untold = self.recording is not None or is_shared_out(self.inputs.model)
        marks = [(image_digest(pixels), look_of(pixels)) for pixels in eight_bit(images)]
        is_split = self.run.batch_seed is not None and size < self.run.max_batch
        split = GenerationMessage.BATCH_SPLIT.format(size=size) if is_split else None
        changes = (*run.keeper.notes, *(second.keeper.notes if second else ()))
        notes = (*self.notes, split, *attempts.notes, *changes, timer.verdict(), *decoding_notes)
        return Execution(
            images=images,
            seconds=timer.seconds,
            seconds_per_step=None if untold else timer.seconds_per_step,
            peak_vram_gb=usage.peak_vram_gb,
            notes=tuple(note for note in notes if note),
            forward_items=run.forward.items + (second.forward.items if second else 0),
            seconds_per_item=timer.seconds_per_item,
            memory=attempts.plan.memory if attempts.notes else None,
            denoise=self.inputs.denoise,
            ran=run.ran if second is None else joined_settings(plan.parameters, run.ran, second.ran),
            digests=tuple(digest for digest, _ in marks),
            looks=tuple(look for _, look in marks) if len(marks) == len(seeds) else (),
            best_of=self.best_of,
            first_pass=took._replace(seconds_per_step=None if untold else took.seconds_per_step) if second else None,
            enlarging_seconds=enlarging,
            extra={"latent": latent},
            device=device_name(plan.memory.device),
        )

    def _sampled(
        self,
        run: SamplerRun,
        attempts: Attempts,
        on_step: OnStep | None,
        recording: scout_hooks.Recording | None = None,
    ) -> dict[str, Any]:
        """The LATENT of all images after one pass, forward batch by forward batch."""
        sampled: list[torch.Tensor] = []

        def sample_rest(memory: MemoryPlan) -> None:
            size = self._batch_size(memory)
            while (first := sum(map(len, sampled))) < len(run.seeds):
                copied = recording.copy() if recording else None
                sampled.append(run.sample(slice(first, first + size), memory, on_step, copied))

        attempts.run(sample_rest, run.failed_stage)
        latent = {key: value for key, value in run.latent.items() if key not in EMPTY_LATENT_KEYS}
        return {**latent, "samples": torch.cat(sampled)}

    def scout(self) -> tuple[torch.Tensor, scout_hooks.Scouted]:
        """Sample a quarter of the steps with each seed. Returns the predicted images as IMAGE, and what is kept.

        Raises InvalidInputError, BrokenImageError, OutOfMemoryError.
        """
        plan, seeds = self.run.plan, self.run.seeds
        attempts = self._attempts(plan, 1)
        require(replays(self.inputs.model), GenerationMessage.NOT_RESUMABLE.value)
        first = replace(first_run(plan.parameters), max_time_seconds=None)
        run = SamplerRun(self.inputs, first, seeds, None, self.notify)
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
        marks = [look_of(pixels) for pixels in eight_bit(images)]
        looks = tuple(marks) if len(marks) == len(seeds) else (None,) * len(seeds)
        scouted = scout_hooks.Scouted(*self._start(), recordings, steps, run.timer.seconds, looks)
        scout_hooks.keep(self.inputs.model, scouted)
        return images, scouted

    def with_best(self, asked: int, taste: ValueModel | None) -> ComfyHost:
        """Return the host that finishes, of the run's seeds, the one that the user will like best.

        Args:
            asked: seeds that the user wanted to be tried.

        Raises like `scout`.
        """
        _, scouted = self.scout()
        plan, seeds = self.run.plan, self.run.seeds
        ranking = ranked([Candidate(plan, *each) for each in zip(seeds, scouted.looks, strict=True)], taste)
        recordings = [scouted.recordings[seed] for seed in seeds]
        tried = Tried(seeds, scouted.steps, tuple(each.items for each in recordings), scouted.seconds)
        best_of = tried.best(ranking, asked, plan.parameters.max_time_seconds)
        run = replace(self.run, seeds=(seeds[best_of.finished],))
        return replace(self, run=run, recording=recordings[best_of.finished], best_of=best_of)

    def _start(self) -> tuple[tuple[Any, ...], tuple[OptimizedParameters, float]]:
        """Return all that the first steps depend on, except the seed."""
        inputs, settings = self.inputs, scouted_settings(self.run.plan.parameters)
        return (inputs.positive, inputs.negative, inputs.latent), (settings, inputs.denoise)

    def _attempts(self, plan: GenerationPlan, images: int) -> Attempts:
        planned, actual = plan.memory.device, self.inputs.model.load_device.type
        require(
            planned == actual,
            ProblemMessage.OTHER_DEVICE.format(planned=planned, actual=actual),
        )
        return Attempts(plan, self.inputs.model, self.inputs.vae, images, self.notify)

    def _batch_size(self, memory: MemoryPlan) -> int:
        return min(self.run.max_batch, max(1, memory.batch_size))
