"""The host that runs plans with diffusers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from threading import RLock
from typing import Any

from ...config import OffloadStrategy, check_seed, require
from ...errors import InvalidInputError, ModelNotFoundError
from ...memory import (
    ModelOffloader,
    carries,
    detect_resources,
    device_name,
    release_pipeline,
    track_usage,
    weight_bytes,
)
from ...models import ModelEvidence, ModelKind
from ...models.lora_fit import LoRAFit
from ...parameters import OptimizedParameters
from ...parameters.parameters import LATENT_UPSCALER, Lever
from ...parameters.samplers import check_names
from ...parameters.second_pass import first_run, second_run, second_sigmas
from ...registry import ModelRegistry
from ...units import BYTES_PER_GIB
from ...validation import checked
from ..best_of import look_of_image
from ..generation_messages import GenerationMessage
from ..postprocess.passes import joined_settings, steps_of_passes
from ..postprocess.steps import StepKind
from ..postprocess.upscale_models import load
from ..problem_messages import ProblemMessage
from ..run import Execution, Host, OnStep
from ..run_timer import RunTimer, decoding_items, items_after, step_items
from ..scouting import Recording, Scouting, scouted_settings, steps_to_scout
from ..stages import BestOf, GenerationPlan
from ..standalone import quiet
from ..time_keeper import TimeKeeper, as_run
from .adapters import adapter_name, apply_loras, needs_loading
from .denoising import PredictedImage, Progress, UNetCalls, call_arguments, items_of_one, sample
from .latent_enlarging import enlarge, enlarge_by_model
from .loader import ResolvedModel, component_configs, load_pipeline, parameter_counts, resolve_base_model
from .pipeline_targets import lora_fit
from .scheduling import make_scheduler, run_sigmas, trained_sigmas
from .vae import decode


class DiffusersHost:
    """Samples with one base model. Nothing is searched or loaded before it is needed; weights stay loaded. Threads take
    turns: LoRAs and scheduler belong to the one loaded pipeline."""

    name = "diffusers"

    def __init__(
        self, base_model: str, *, allow_downloads: bool = False, registry: ModelRegistry | None = None
    ) -> None:
        """`registry`: where upscale models are looked up; None: that of the data folder."""
        self.base_model = base_model
        self.allow_downloads = allow_downloads
        self.registry = registry
        self._turn = RLock()
        self._model: ResolvedModel | None = None
        self._fit: LoRAFit | None = None
        self._pipe: Any = None
        self._scheduler_config: Any = None
        self._placed: tuple[object, ...] | None = None

    @property
    def model(self) -> ResolvedModel:
        """The model that `base_model` names. Raises like `resolve_base_model`."""
        with self._turn:
            if self._model is None:
                self._model = resolve_base_model(self.base_model, self.allow_downloads)
            return self._model

    def evidence(self) -> ModelEvidence:
        """Return what the base model's name, configuration and header say of it; loads no weights."""
        return self.model.evidence

    def lora_fit(self) -> LoRAFit:
        """Return what measures LoRAs against the base model; loads no weights. Raises MissingDependencyError."""
        with self._turn:
            if self._fit is None:
                self._fit = lora_fit(self.model)
            return self._fit

    def weights_gb(self) -> dict[str, float]:
        """Return GiB of the stages `text`, `unet` and `vae` in the precision that this machine runs them in."""
        width = weight_bytes(detect_resources().device)
        return {stage: count * width / BYTES_PER_GIB for stage, count in parameter_counts(self.model).items()}

    def configs(self) -> dict[str, dict[str, Any]] | None:
        """Return the networks' `config.json` by component; None for a single file, which is loaded as SDXL."""
        return component_configs(self.model)

    def execute(
        self,
        plan: GenerationPlan,
        seeds: Sequence[int],
        on_step: OnStep | None = None,
        recording: Recording | None = None,
    ) -> Execution:
        """Sample and decode `len(seeds)` images; see `Host.execute`. An interrupt or error leaves the host usable.

        With a `recording` of its first steps the one image is resumed from there.

        Raises InvalidInputError, ModelNotFoundError, UnsupportedModelError, BrokenImageError, HubError,
        MissingDependencyError.
        """
        seeds = _checked(plan, seeds)
        parameters, count = plan.parameters, len(seeds)
        size, limit = max(1, plan.memory.batch_size), parameters.max_time_seconds
        batches = [seeds[first : first + size] for first in range(0, count, size)]
        first_step, second_step = steps_of_passes(parameters, on_step)
        first, second, first_pass = first_run(parameters), parameters.second_pass, None
        with self._turn:
            upscaler, enlarging = self._upscaler(plan), None
            pipe, notes = self._ready(plan)
            with quiet(), track_usage() as usage:
                arguments = call_arguments(pipe, plan)
                calls = UNetCalls(recording=recording.copy() if recording else None)
                items = count * items_of_one(pipe.scheduler, first) - (recording.items if recording else 0)
                timer = RunTimer(items, items_after(parameters, count), limit)
                progress = Progress(self._keeper(first, count), len(batches), calls, timer, first_step)
                run = _Run(pipe, arguments, self._scheduler_config, progress)
                latents, changes = run.sample_all(batches), progress.keeper.notes
                ran = run.ran
                if second is not None:
                    first_pass, settings = timer.time(calls.items), self._second_settings(parameters)
                    pipe.scheduler, _ = make_scheduler(self._scheduler_config, settings)
                    timer = RunTimer(
                        count * items_of_one(pipe.scheduler, settings), decoding_items(parameters, count), limit, timer
                    )
                    calls = UNetCalls(first_pass.forward_items)
                    progress = Progress(self._keeper(settings, count), len(batches), calls, timer, second_step)
                    run = _Run(pipe, arguments, self._scheduler_config, progress, second.denoise)
                    started = time.perf_counter()
                    if upscaler is None:
                        enlarged = enlarge(latents, parameters)
                    else:
                        enlarged = enlarge_by_model(pipe, latents, parameters, plan.memory, upscaler)
                        enlarging = time.perf_counter() - started
                    latents = run.sample_all(batches, enlarged)
                    changes += progress.keeper.notes
                    ran = joined_settings(parameters, ran, run.ran)
                tile = plan.memory.tile_size if plan.takes(StepKind.SEAM_CHECK) else 0
                images, decoding_notes = decode(pipe, latents, tile, repair=plan.takes(StepKind.REPAIR))
        return Execution(
            images,
            timer.seconds,
            timer.seconds_per_step,
            usage.peak_vram_gb,
            (*notes, *changes, *((verdict,) if (verdict := timer.verdict()) else ()), *decoding_notes),
            forward_items=calls.items,
            seconds_per_item=timer.seconds_per_item,
            ran=ran,
            device=device_name(plan.memory.device),
            first_pass=first_pass,
            enlarging_seconds=enlarging,
            looks=tuple(map(look_of_image, images)),
        )

    def find_upscaler(self, name: str) -> Path:
        """Return the path of an upscale model of the library. Raises InvalidInputError."""
        try:
            found = (self.registry or ModelRegistry()).get_model(f"{ModelKind.UPSCALER}:{name}").local_path
        except ModelNotFoundError as error:
            raise InvalidInputError(ProblemMessage.UPSCALER_NOT_HERE.format(name=name)) from error
        return Path(found or "")

    def _upscaler(self, plan: GenerationPlan) -> Any:
        """The upscale model of a plan; None: latents are enlarged, or nothing."""
        second = plan.parameters.second_pass
        if second is None or second.upscaler == LATENT_UPSCALER:
            return None
        return load(self.find_upscaler(second.upscaler))

    def _second_settings(self, parameters: OptimizedParameters) -> OptimizedParameters:
        """Settings of the second pass, with its schedule as sigmas: diffusers has no denoise."""
        settings, second = second_run(parameters), parameters.second_pass
        assert second is not None
        sigmas = second_sigmas(settings, second.denoise, trained_sigmas(self._scheduler_config))
        return replace(settings, num_steps=len(sigmas) - 1, sigmas=sigmas)

    def _keeper(
        self, parameters: OptimizedParameters, images: int, levers: Sequence[Lever] | None = None
    ) -> TimeKeeper:
        """Return the keeper of a pass' time limit; `levers` None: those of the settings."""
        sigmas = run_sigmas(self._scheduler_config, parameters)
        free = frozenset(parameters.gives_way if levers is None else levers)
        return TimeKeeper(parameters, sigmas, images, step_items, free)

    def scout(self, plan: GenerationPlan, seeds: Sequence[int], on_step: OnStep | None = None) -> Scouting:
        """Sample a quarter of the steps with each seed, one after the other, and decode each predicted image.

        Raises like `execute`.
        """
        seeds = _checked(plan, seeds)
        parameters = first_run(plan.parameters)
        steps = steps_to_scout(parameters.num_steps)
        latents, recordings = [], []
        with self._turn:
            pipe, notes = self._ready(plan)
            started = time.perf_counter()
            predicted, calls = PredictedImage(pipe.scheduler), UNetCalls()
            progress = Progress(self._keeper(parameters, 1, ()), len(seeds), calls, RunTimer(0), on_step, steps)
            with quiet():
                arguments = call_arguments(pipe, plan)
                for seed in seeds:
                    calls.recording, before = Recording(), calls.items
                    sample(pipe, arguments, parameters, [seed], progress)
                    progress.end_batch()
                    calls.recording.items = calls.items - before
                    recordings.append(calls.recording)
                    latents.append(predicted.latents)
                previews, decoding_notes = decode(pipe, latents)
        return Scouting(
            plan,
            tuple(seeds),
            tuple(previews),
            steps,
            (*notes, *decoding_notes),
            time.perf_counter() - started,
            recordings=tuple(recordings),
            start=self._start(plan),
        )

    def resume(self, scouting: Scouting, pick: int, best_of: BestOf | None = None) -> Host:
        """Return a host that runs the plan of `scouting` with its picked seed (counted from 0), from where scouting
        stopped.

        Args:
            best_of: how that one was chosen; None: the user did.

        Raises InvalidInputError where there is no such seed, or the first steps would differ by now.
        """
        checked("pick", pick, int, ge=0, le=len(scouting.seeds) - 1)
        require(
            scouting.start == self._start(scouting.plan),
            "what was scouted no longer applies: its settings, prompts, LoRAs or their files have changed; scout again",
        )
        return _ResumedHost(self, scouting, pick, best_of)

    def _start(self, plan: GenerationPlan) -> tuple[Any, ...]:
        """Return all that the UNet's predictions depend on, except the seed."""
        prompts = (plan.recommendations.prompt, plan.recommendations.negative_prompt)
        loras = [(adapter_name(lora), lora.suggested_alpha, lora.alpha_clip) for lora in plan.loras]
        return self.model.path, prompts, scouted_settings(plan.parameters), loras, plan.memory.weight_dtype

    def _ready(self, plan: GenerationPlan) -> tuple[Any, tuple[str, ...]]:
        """Return (pipeline, notes), loaded and placed as planned, with the plan's LoRAs and sampler."""
        memory = plan.memory
        if self._pipe is not None and not carries(self._pipe, memory, new_loras=needs_loading(self._pipe, plan.loras)):
            self._pipe = self._placed = None
        if self._pipe is None:
            self._pipe = load_pipeline(self.model, memory.device)
            self._pipe.vae.enable_slicing()
            self._scheduler_config = self._pipe.scheduler.config
        pipe = self._pipe
        if self._placed and OffloadStrategy.CPU_OFFLOAD in self._placed:
            release_pipeline(pipe)  # loading LoRAs, diffusers would install these hooks anew for its own device
            self._placed = None
        apply_loras(pipe, plan.loras)
        if self._placed != memory.setup:
            self._placed = None
            ModelOffloader(memory.strategy).distribute_pipeline(pipe, memory)
            self._placed = memory.setup
        pipe.scheduler, notes = make_scheduler(self._scheduler_config, first_run(plan.parameters))
        return pipe, notes


@dataclass
class _Run:
    """Forward batches of one run, which begin anew where the time limit changes their settings."""

    pipe: Any
    arguments: dict[str, Any]
    """See `call_arguments`."""
    scheduler_config: Any
    progress: Progress
    denoise: float = 1.0
    """Share of the latents it begins from that is sampled anew."""
    _ran: list[OptimizedParameters] = field(default_factory=list)

    @property
    def ran(self) -> tuple[OptimizedParameters, ...]:
        """Settings of each image where they were changed; else empty."""
        if not self.progress.keeper.changed:
            return ()
        items = round(sum(sum(step_items(each, second_sigmas(each, self.denoise))) for each in self._ran))
        return tuple(replace(each, forward_items=items) for each in self._ran)

    def sample_all(self, batches: Sequence[Sequence[int]], start: Sequence[Any] | None = None) -> list[Any]:
        """Return the latents of each forward batch of seeds; `start`: those that they begin from, None: noise."""
        firsts = accumulate((len(seeds) for seeds in batches), initial=0)
        given = start or [None] * len(batches)
        return [self.sample(*each) for each in zip(firsts, batches, given, strict=False)]

    def sample(self, first: int, seeds: Sequence[int], start: Any = None) -> Any:
        """Return the latents of the forward batch that begins with image `first`."""
        progress = self.progress
        keeper, calls = progress.keeper, progress.calls
        keeper.start(first, len(seeds))
        if keeper.watches and (first or calls.recording is None):
            calls.recording = Recording()
        while True:
            settings = as_run(keeper.parameters, keeper.sigmas) if keeper.changed else keeper.parameters
            if keeper.changed:
                self.pipe.scheduler, _ = make_scheduler(self.scheduler_config, settings)
            size = {"width": settings.width, "height": settings.height}
            arguments = {**self.arguments, **size, "num_inference_steps": settings.num_steps}
            latents = sample(self.pipe, arguments, settings, seeds, progress, start)
            if not progress.changed:
                break
            assert calls.recording is not None
            calls.recording.rewind()
            progress.begin_anew()
        progress.end_batch()
        self._ran += [as_run(keeper.parameters, keeper.sigmas, self.denoise)] * len(seeds)
        return latents


@dataclass(frozen=True)
class _ResumedHost:
    host: DiffusersHost
    scouting: Scouting
    pick: int
    best_of: BestOf | None = None
    name = DiffusersHost.name

    def execute(self, plan: GenerationPlan, seeds: Sequence[int], on_step: OnStep | None = None) -> Execution:
        scouting = self.scouting
        recording = scouting.recordings[self.pick]
        execution = self.host.execute(plan, seeds, on_step, recording)
        # Replayed steps take next to no time: nothing is learned from them.
        execution = replace(execution, seconds_per_step=None, seconds_per_item=None, best_of=self.best_of)
        if self.best_of:
            return execution
        note = GenerationMessage.RESUMED.format(
            seeds=len(scouting.seeds), spent=scouting.forward_items, step=scouting.steps, kept=recording.items
        )
        return replace(execution, notes=(note, *execution.notes))


def _checked(plan: GenerationPlan, seeds: Sequence[int]) -> list[int]:
    require(len(seeds) > 0, "at least one seed is needed")
    plan.parameters.check()
    check_names(plan.parameters.sampler_name, plan.parameters.scheduler)
    return [check_seed(seed) for seed in seeds]
