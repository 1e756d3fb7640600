"""The host that carries out a plan with diffusers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from threading import RLock
from typing import Any

from ...config import MemorySettings, OffloadStrategy, check_seed, require
from ...memory import MemoryManager, ModelOffloader
from ...parameters import OptimizedParameters
from ...registry import ModelEvidence
from ..host import Execution, OnStep
from ..standalone import quiet
from ..story import GenerationPlan
from .conditioning import encode, same_length
from .loader import ResolvedModel, load_pipeline, parameter_counts, resolve_base_model
from .loras import apply_loras
from .scheduling import make_scheduler

_GIB = 1024**3


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
        self._placed: tuple[OffloadStrategy, str] | None = None

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
        pipe.scheduler, notes = make_scheduler(self._scheduler_config, plan.parameters)
        with quiet(), MemoryManager().track_usage() as usage:
            arguments = _arguments(pipe, plan)
            clock = _StepClock(plan, len(seeds), on_step)
            images: list[Any] = []
            start = time.perf_counter()
            size = max(1, plan.memory.batch_size)
            for first in range(0, len(seeds), size):
                images += _sample(pipe, arguments, seeds[first : first + size], clock)
            seconds = time.perf_counter() - start
        return Execution(images, seconds, clock.seconds_per_step, usage.peak_vram_gb, notes)

    def _ready(self, plan: GenerationPlan) -> Any:
        """The pipeline, loaded, with the plan's LoRAs, where the plan's strategy wants it, and its VAE set up."""
        if self._pipe is None:
            pipe = load_pipeline(self.model, plan.memory.device)
            pipe.vae.enable_slicing()
            self._scheduler_config = pipe.scheduler.config
            self._pipe = pipe
        pipe = self._pipe
        apply_loras(pipe, plan.loras)
        place = (plan.memory.strategy, plan.memory.device)
        if self._placed != place:
            self._placed = None
            ModelOffloader(plan.memory.strategy, self.memory_settings.max_vram_gb).distribute_pipeline(pipe)
            self._placed = place
        _tile(pipe.vae, plan.memory.tile_size)
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


def _sample(pipe: Any, arguments: dict[str, Any], seeds: Sequence[int], clock: _StepClock) -> list[Any]:
    """PIL images, one per seed, from one forward batch; each has its own noise, so the batch does not matter."""
    import torch

    clock.start_batch()

    def after_step(pipe: Any, index: int, _timestep: Any, _tensors: dict[str, Any]) -> dict[str, Any]:
        clock.tick(index + 1, pipe.num_timesteps)
        return {}

    result = pipe(
        **arguments,
        num_images_per_prompt=len(seeds),
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
        callback_on_step_end=after_step,
        output_type="pil",
    )
    clock.end_batch()
    return list(result.images)


def _tile(vae: Any, tile_size: int) -> None:
    """Decode in tiles of `tile_size` pixels (diffusers' own default, the sample size, would save nothing); 0: whole."""
    if tile_size <= 0:
        vae.disable_tiling()
        return
    vae.enable_tiling()
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    vae.tile_sample_min_size = tile_size
    vae.tile_latent_min_size = max(1, tile_size // factor)


class _StepClock:
    """Counts the steps of a run over its forward batches, and times them."""

    def __init__(self, plan: GenerationPlan, images: int, on_step: OnStep | None) -> None:
        self._steps = plan.parameters.num_steps
        self._batches = -(-images // max(1, plan.memory.batch_size))
        self._on_step = on_step
        self._done_batches = 0
        self._reported = 0
        self._last: float | None = None
        self._durations: list[float] = []

    def start_batch(self) -> None:
        self._last = None

    def tick(self, evaluation: int, evaluations: int) -> None:
        """After model evaluation `evaluation` of `evaluations` (second-order methods have about two a step)."""
        _synchronize()
        now = time.perf_counter()
        if self._last is not None:
            self._durations.append((now - self._last) * evaluations / self._steps)
        self._last = now
        done = self._done_batches * self._steps + evaluation * self._steps // evaluations
        if self._on_step is not None and done > self._reported:
            self._reported = done
            self._on_step(done, self._batches * self._steps)

    def end_batch(self) -> None:
        self._done_batches += 1

    @property
    def seconds_per_step(self) -> float | None:
        """Median over the steps from the second on; None with fewer than two steps."""
        return statistics.median(self._durations) if self._durations else None


def _synchronize() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
