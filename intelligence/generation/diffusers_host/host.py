"""The host that carries out a plan with diffusers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import RLock
from typing import Any

from ...config import OffloadStrategy, check_seed, require
from ...memory import ModelOffloader, carries, detect_resources, release_pipeline, track_usage
from ...models import ModelEvidence
from ...units import BYTES_PER_GIB
from ...validation import checked
from ..execution import Execution, Host, OnStep
from ..run_timer import RunTimer, decoding_items
from ..scouting import Recording, Scouting, resume_note, steps_to_scout
from ..stages import GenerationPlan
from ..standalone import quiet
from .adapters import adapter_name, apply_loras, needs_loading
from .denoising import Progress, Promise, call_arguments, items_of_one, sample
from .loader import ResolvedModel, component_configs, load_pipeline, parameter_counts, resolve_base_model
from .scheduling import make_scheduler
from .unet import Forward
from .vae import decode


class DiffusersHost:
    """Samples with one base model. Nothing is looked up or loaded before it is needed; weights load with the first
    `execute` and stay. Safe for threads, one at a time: LoRAs and scheduler belong to the one loaded pipeline."""

    name = "diffusers"

    def __init__(self, base_model: str, *, allow_downloads: bool = False) -> None:
        self.base_model = base_model
        self.allow_downloads = allow_downloads
        self._turn = RLock()
        self._model: ResolvedModel | None = None
        self._pipe: Any = None
        self._scheduler_config: Any = None
        self._placed: tuple[object, ...] | None = None

    @property
    def model(self) -> ResolvedModel:
        """Which model `base_model` is. Raises what `resolve_base_model` raises."""
        with self._turn:
            if self._model is None:
                self._model = resolve_base_model(self.base_model, self.allow_downloads)
            return self._model

    def evidence(self) -> ModelEvidence:
        """What is known of the base model from its name, configuration and header; loads no weights."""
        return self.model.evidence

    def weights_gb(self) -> dict[str, float]:
        """GiB of the stages `text`, `unet` and `vae` in the precision that this machine runs them in."""
        width = 4 if detect_resources().device == "cpu" else 2
        return {stage: count * width / BYTES_PER_GIB for stage, count in parameter_counts(self.model).items()}

    def configs(self) -> dict[str, dict[str, Any]] | None:
        """The networks' `config.json` by component; None for a single file, which is loaded as SDXL."""
        return component_configs(self.model)

    def execute(
        self,
        plan: GenerationPlan,
        seeds: Sequence[int],
        on_step: OnStep | None = None,
        recording: Recording | None = None,
    ) -> Execution:
        """Sample and decode `len(seeds)` images; see `Host.execute`. An interrupt or error leaves the host usable.

        With a `recording` of the first steps the one image goes on from there.

        Raises InvalidInputError, ModelNotFoundError, UnsupportedModelError, BrokenImageError, HubError,
        MissingDependencyError.
        """
        seeds = _checked(plan, seeds)
        size = max(1, plan.memory.batch_size)
        parameters = plan.parameters
        batches = [seeds[first : first + size] for first in range(0, len(seeds), size)]
        with self._turn:
            pipe, notes = self._ready(plan)
            with quiet(), track_usage() as usage:
                arguments = call_arguments(pipe, plan)
                forward = Forward(known=recording.player() if recording else None)
                items = len(seeds) * items_of_one(pipe.scheduler, parameters) - (recording.items if recording else 0)
                timer = RunTimer(items, decoding_items(parameters, len(seeds)), parameters.max_time_seconds)
                progress = Progress(parameters.num_steps, len(batches), forward, timer, on_step)
                latents = [sample(pipe, arguments, parameters, batch, forward, progress) for batch in batches]
                images, seen = decode(pipe, latents)
        return Execution(
            images,
            timer.seconds,
            timer.seconds_per_step,
            usage.peak_vram_gb,
            (*notes, *((timer.warning,) if timer.warning else ()), *seen),
            forward_items=forward.items,
            seconds_per_item=timer.seconds_per_item,
        )

    def scout(self, plan: GenerationPlan, seeds: Sequence[int], on_step: OnStep | None = None) -> Scouting:
        """Sample a quarter of the steps with each seed, one after the other, and decode what each promises.

        Raises like `execute`.
        """
        seeds = _checked(plan, seeds)
        parameters = plan.parameters
        steps = steps_to_scout(parameters.num_steps)
        promised, recordings = [], []
        with self._turn:
            pipe, notes = self._ready(plan)
            promise, forward = Promise(pipe.scheduler), Forward()
            progress = Progress(parameters.num_steps, len(seeds), forward, RunTimer(0), on_step, steps)
            with quiet():
                arguments = call_arguments(pipe, plan)
                for seed in seeds:
                    forward.recording, before = Recording(), forward.items
                    sample(pipe, arguments, parameters, [seed], forward, progress)
                    forward.recording.items = forward.items - before
                    recordings.append(forward.recording)
                    promised.append(promise.latents)
                previews, seen = decode(pipe, promised)
        return Scouting(
            plan,
            tuple(seeds),
            tuple(previews),
            steps,
            (*notes, *seen),
            tuple(recordings),
            self._start(plan),
        )

    def resume(self, scouting: Scouting, pick: int) -> Host:
        """A host that carries out the plan of `scouting` with its picked seed (counted from 0) from where it was
        scouted.

        Raises InvalidInputError where there is no such seed, or what was scouted would begin otherwise by now.
        """
        count = len(scouting.seeds)
        checked("pick", pick, int, ge=0, le=count - 1)
        require(
            scouting.start == self._start(scouting.plan),
            "what was scouted holds no longer: its settings, prompts, LoRAs or their files have changed; scout again",
        )
        return _ResumedHost(self, scouting, pick)

    def _start(self, plan: GenerationPlan) -> tuple[Any, ...]:
        """What the UNet's answers depend on, but for the seed."""
        prompts = plan.recommendations
        return (
            self.model.path,
            (prompts.prompt, prompts.negative_prompt),
            replace(plan.parameters),
            [(adapter_name(lora), lora.suggested_alpha, lora.alpha_clip) for lora in plan.loras],
            plan.memory.weight_dtype,
        )

    def _ready(self, plan: GenerationPlan) -> tuple[Any, tuple[str, ...]]:
        """(pipeline, notes): loaded, with the plan's LoRAs and sampler, where the plan's strategy wants it."""
        memory = plan.memory
        if self._pipe is not None and not carries(self._pipe, memory, new_loras=needs_loading(self._pipe, plan.loras)):
            self._pipe = self._placed = None
        if self._pipe is None:
            pipe = load_pipeline(self.model, memory.device)
            pipe.vae.enable_slicing()
            self._scheduler_config = pipe.scheduler.config
            self._pipe = pipe
        pipe = self._pipe
        if self._placed and OffloadStrategy.CPU_OFFLOAD in self._placed:
            release_pipeline(pipe)  # while it loads LoRAs diffusers would set these hooks anew, for its own device
            self._placed = None
        apply_loras(pipe, plan.loras)
        if self._placed != memory.setup:
            self._placed = None
            ModelOffloader(memory.strategy).distribute_pipeline(pipe, memory)
            self._placed = memory.setup
        pipe.scheduler, notes = make_scheduler(self._scheduler_config, plan.parameters)
        return pipe, notes


@dataclass(frozen=True)
class _ResumedHost:
    """The host for one picked seed; see `DiffusersHost.resume`."""

    host: DiffusersHost
    scouting: Scouting
    pick: int
    name = DiffusersHost.name

    def execute(self, plan: GenerationPlan, seeds: Sequence[int], on_step: OnStep | None = None) -> Execution:
        """See `Host`."""
        scouting = self.scouting
        recording = scouting.recordings[self.pick]
        execution = self.host.execute(plan, seeds, on_step, recording)
        note = resume_note(len(scouting.seeds), scouting.forward_items, scouting.steps, recording.items)
        # Steps that are played back take next to no time: nothing is learned from them.
        return replace(execution, notes=(note, *execution.notes), seconds_per_step=None, seconds_per_item=None)


def _checked(plan: GenerationPlan, seeds: Sequence[int]) -> list[int]:
    """The seeds. Raises InvalidInputError for what cannot be sampled."""
    require(len(seeds) > 0, "at least one seed is needed")
    plan.parameters.check()
    return [check_seed(seed) for seed in seeds]
