"""The host that carries out a plan with diffusers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from threading import RLock
from typing import Any

from ...config import MemorySettings, OffloadStrategy, check_seed, require
from ...errors import BrokenImageError
from ...memory import MemoryManager, ModelOffloader, is_rounded, release_pipeline
from ...parameters import OptimizedParameters
from ...registry import ModelEvidence
from ..host import FLAT, Execution, OnStep
from ..pace import Pace, decoding_items
from ..standalone import quiet, require_standalone
from ..story import GenerationPlan
from .conditioning import encode, same_length
from .forward import Forward, watched
from .loader import ResolvedModel, component_configs, load_pipeline, parameter_counts, resolve_base_model
from .loras import apply_loras, needs_loading
from .scheduling import make_scheduler

NO_PICTURE = "not a picture"

_GIB = 1024**3
_log = logging.getLogger(__name__)


class DiffusersHost:
    """Samples with one base model. Nothing is looked up or loaded before it is needed; weights load with the first
    `execute` and stay. Safe for threads, one at a time: LoRAs and scheduler belong to the one loaded pipeline."""

    name = "diffusers"

    def __init__(
        self, base_model: str, *, allow_downloads: bool = False, memory_settings: MemorySettings | None = None
    ) -> None:
        self.base_model = base_model
        self.allow_downloads = allow_downloads
        self.memory_settings = memory_settings or MemorySettings()
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
        width = 4 if MemoryManager().detect_resources().device == "cpu" else 2
        return {stage: count * width / _GIB for stage, count in parameter_counts(self.model).items()}

    def configs(self) -> dict[str, dict[str, Any]] | None:
        """The networks' `config.json` by component; None for a single file, which is loaded as SDXL."""
        require_standalone("the diffusers host")
        return component_configs(self.model)

    def execute(self, plan: GenerationPlan, seeds: Sequence[int], on_step: OnStep | None = None) -> Execution:
        """Sample and decode `len(seeds)` images; see `Host.execute`. An interrupt or error leaves the host usable.

        Raises InvalidInputError, ModelNotFoundError, UnsupportedModelError, HubError, MissingDependencyError.
        """
        require(len(seeds) > 0, "at least one seed is needed")
        seeds = [check_seed(seed) for seed in seeds]
        plan.parameters.check()
        for lora in plan.loras:
            lora.check()
        with self._turn:
            return self._execute(plan, seeds, on_step)

    def _execute(self, plan: GenerationPlan, seeds: Sequence[int], on_step: OnStep | None) -> Execution:
        pipe = self._ready(plan)
        parameters = plan.parameters
        pipe.scheduler, notes = make_scheduler(self._scheduler_config, parameters)
        with quiet(), MemoryManager().track_usage() as usage, watched(pipe, parameters) as forward:
            arguments = _arguments(pipe, plan)
            progress = _Progress(plan, len(seeds), forward, on_step)
            images: list[Any] = []
            seen: list[str] = []
            size = max(1, plan.memory.batch_size)
            for first in range(0, len(seeds), size):
                pictures = _sample(pipe, arguments, seeds[first : first + size], progress)
                seen += _look(pictures, first + 1)
                images += pipe.image_processor.numpy_to_pil(pictures)
        pace = progress.pace
        if len(images) == sum(note.endswith(NO_PICTURE) for note in seen):
            raise BrokenImageError(
                "sampling gave not-a-number instead of a picture: the model overflows in its precision"
            )
        return Execution(
            images,
            pace.seconds,
            pace.seconds_per_step,
            usage.peak_vram_gb,
            (*notes, *((pace.warning,) if pace.warning else ()), *seen),
            forward_items=forward.items,
            seconds_per_item=pace.seconds_per_item,
        )

    def _ready(self, plan: GenerationPlan) -> Any:
        """The pipeline, loaded, with the plan's LoRAs, where the plan's strategy wants it, and its VAE set up."""
        memory = plan.memory
        rounded = self._pipe is not None and is_rounded(self._pipe)
        if rounded and (memory.weight_dtype != "float8" or needs_loading(self._pipe, plan.loras)):
            # The weights as loaded cannot be had back, and LoRAs that load onto rounded ones are rounded too.
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
            ModelOffloader(memory.strategy, self.memory_settings.max_vram_gb).distribute_pipeline(pipe, memory)
            self._placed = memory.setup
        return pipe


def _arguments(pipe: Any, plan: GenerationPlan) -> dict[str, Any]:
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


def _sample(pipe: Any, arguments: dict[str, Any], seeds: Sequence[int], progress: _Progress) -> Any:
    """Pictures, one per seed, as an array (image, height, width, RGB) from 0 to 1, from one forward batch; each has its
    own noise, so the batch does not matter."""
    import torch

    def after_step(pipe: Any, index: int, _timestep: Any, _tensors: dict[str, Any]) -> dict[str, Any]:
        progress.tick(index + 1, pipe.num_timesteps)
        return {}

    result = pipe(
        **arguments,
        num_images_per_prompt=len(seeds),
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
        callback_on_step_end=after_step,
        output_type="np",
    )
    progress.end_batch()
    return result.images


def _look(pictures: Any, number: int) -> list[str]:
    """Notes on pictures that are none, counted from `number`; what is not-a-number in them becomes black."""
    import numpy as np

    notes = []
    for index, picture in enumerate(pictures):
        if not np.isfinite(picture).all():
            notes.append(f"image {number + index}: sampling gave not-a-number; {NO_PICTURE}")
            picture[:] = 0.0
        elif (np.ptp(picture, axis=(0, 1)) < FLAT).all():
            notes.append(f"image {number + index}: of one colour only")
    return notes


class _Progress:
    """Counts the steps of a run over its forward batches, and holds them against its time."""

    def __init__(self, plan: GenerationPlan, images: int, forward: Forward, on_step: OnStep | None) -> None:
        parameters = plan.parameters
        self._steps = parameters.num_steps
        self._batches = -(-images // max(1, plan.memory.batch_size))
        self._forward = forward
        self._on_step = on_step
        self._done_batches = 0
        self._reported = 0
        self.pace = Pace(parameters.forward_items or 0, decoding_items(parameters, images), parameters.max_time_seconds)

    def tick(self, evaluation: int, evaluations: int) -> None:
        """After model evaluation `evaluation` of `evaluations` (second-order methods have about two a step)."""
        done = self._done_batches * self._steps + evaluation * self._steps // evaluations
        if done <= self._reported:
            return
        _synchronize()
        if warning := self.pace.step(self._forward.items):
            _log.warning(warning)
        self._reported = done
        if self._on_step is not None:
            self._on_step(done, self._batches * self._steps)

    def end_batch(self) -> None:
        self._done_batches += 1
        self.pace.pause()


def _synchronize() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
