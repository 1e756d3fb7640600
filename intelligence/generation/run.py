"""Runs a plan on a host, and stores the generation and its measurements. ComfyUI and diffusers implement `Host`."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from ..config import MAX_SEED, check_seed
from ..errors import StorageError
from ..learning import LearningEngine, Timing
from ..memory import MemoryManager, MemoryPlan
from ..memory.upscaling import TILES
from ..models import ModelMetadata
from ..parameters import OptimizedParameters
from ..parameters.samplers import evaluations
from ..parameters.second_pass import first_run, second_run, upscaling_of
from ..parameters.speed import upscale_key
from ..parameters.workload import cost_of, enlarging_tflop
from .generation_messages import GenerationMessage
from .postprocess.steps import PostStep, planned_steps
from .run_timer import PassTime
from .stages import BestOf, Generation, GenerationPlan

OnStep = Callable[[int, int], None]
"""Called after each sampling step with (steps done, steps in all), over all forward batches of the run."""


@dataclass(frozen=True)
class Execution:
    images: Any
    """diffusers: a list of PIL images; ComfyUI: an IMAGE tensor, float (batch, height, width, 3), 0 … 1."""
    seconds: float
    """Sampling and decoding of all images, without loading."""
    seconds_per_step: float | None = None
    """See `RunTimer`; of the last pass."""
    peak_vram_gb: float = 0.0
    notes: tuple[str, ...] = ()
    forward_items: int | None = None
    """Images × conditionings that went through the diffusion model; None: not counted."""
    seconds_per_item: float | None = None
    memory: MemoryPlan | None = None
    """The smaller plan that was run where the requested one ran out of memory."""
    denoise: float = 1.0
    """Share of a start latent that was sampled anew; 1 without one."""
    ran: tuple[OptimizedParameters, ...] = ()
    """Settings of each image where a time limit changed them in flight; empty: as planned."""
    digests: tuple[str, ...] = ()
    """See `Generation.image_digests`."""
    device: str = ""
    """See `Generation.device`."""
    first_pass: PassTime | None = None
    """Set if a second pass followed; the run's seconds and items include those of it."""
    enlarging_seconds: float | None = None
    """Of enlarging by a model between the passes, decoding and encoding included; None: there was none."""
    looks: tuple[tuple[int, ...], ...] = ()
    """See `Generation.image_looks`."""
    best_of: BestOf | None = None
    own_steps: tuple[PostStep, ...] = ()
    """The user's own, as they were taken."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Results for this host's own callers (ComfyUI: the latent)."""


class Host(Protocol):
    """Runs plans with one base model."""

    name: str

    def execute(self, plan: GenerationPlan, seeds: Sequence[int], on_step: OnStep | None = None) -> Execution:
        """Sample and decode `len(seeds)` images, image i from noise seeded with `seeds[i]`, at most
        `plan.memory.batch_size` in a forward batch, with all of `plan.loras` applied at their strengths."""
        ...


def seeds_from(base_seed: int | None, count: int) -> list[int]:
    """Return `count` different seeds counting up from `base_seed` (0 is a seed) or a random one; 0 follows the last."""
    first = secrets.randbelow(2**32) if base_seed is None else check_seed(base_seed)
    return [(first + index) % (MAX_SEED + 1) for index in range(count)]


def run_plan(
    host: Host,
    plan: GenerationPlan,
    seeds: Sequence[int],
    learning: LearningEngine,
    *,
    run_id: str = "",
    on_step: OnStep | None = None,
    memory: MemoryManager | None = None,
) -> tuple[Execution, Generation]:
    """Sample `len(seeds)` images by `plan` on `host`, and store the generation; see `record_run`."""
    execution = host.execute(plan, seeds, on_step)
    return execution, record_run(execution, host.name, plan, seeds, learning, run_id=run_id, memory=memory)


def record_run(
    execution: Execution,
    host: str,
    plan: GenerationPlan,
    seeds: Sequence[int],
    learning: LearningEngine,
    *,
    run_id: str = "",
    memory: MemoryManager | None = None,
) -> Generation:
    """Return the generation that `execution` made, stored so that it can be rated.

    A store that cannot be written is noted in the generation. `host` is the host's name, `run_id` its own name for the
    run; `memory` learns from the measured peak.
    """
    plan = replace(plan, memory=execution.memory or plan.memory).changed(gives_way=())
    if execution.ran:
        plan = plan.with_parameters(execution.ran[0])
    steps = planned_steps(plan.parameters, plan.memory, plan.switched_off)
    plan = replace(plan, postprocess=(*steps, *execution.own_steps))
    generation_id, model = uuid.uuid4().hex, plan.recommendations.model
    generation = Generation(
        id=generation_id,
        plan=portable(plan),
        image_ids=tuple(f"{generation_id}-{index}" for index in range(len(seeds))),
        seeds=tuple(seeds),
        base_model_id=model.name if model else "",
        host=host,
        generation_time_seconds=execution.seconds,
        peak_vram_gb=execution.peak_vram_gb,
        run_id=run_id,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        denoise=execution.denoise,
        notes=tuple(execution.notes),
        forward_items=execution.forward_items,
        image_digests=execution.digests,
        device=execution.device,
        image_looks=execution.looks,
        best_of=execution.best_of,
        image_settings=execution.ran if any(each != execution.ran[0] for each in execution.ran) else (),
    )
    try:
        store_made(generation, learning)
        for timing in timings_of(plan, execution, len(seeds)):
            learning.record_timing(plan.parameters.timing_key, timing)
        for key, timing in enlargings_of(plan, execution, len(seeds)):
            learning.record_timing(key, timing)
        if memory is not None:
            memory.correct(plan.memory, execution.peak_vram_gb)
    except StorageError as error:
        generation = not_stored(generation, error)
    return generation


def store_made(generation: Generation, learning: LearningEngine) -> None:
    """Store a generation that was made now, and what it tells of the one before. Raises StorageError."""
    store_generation(generation, learning)
    learning.signals.note_made(generation.id, generation.to_dict())


def not_stored(generation: Generation, error: Exception) -> Generation:
    """Return a generation with the note that it could not be stored."""
    return replace(generation, notes=(*generation.notes, GenerationMessage.NOT_STORED.format(error=error)))


def store_generation(generation: Generation, learning: LearningEngine) -> None:
    """Store a generation for rating. Raises StorageError."""
    loras = generation.plan.loras
    learning.record_generation(
        generation.id,
        generation.image_ids,
        generation.to_dict(),
        loras=[lora.lora_metadata.model_id for lora in loras],
        concepts=generation.plan.recommendations.prompt_analysis.shown_concepts,
        run_id=generation.run_id,
        strengths=[lora.suggested_alpha for lora in loras],
    )


def timings_of(plan: GenerationPlan, execution: Execution, images: int) -> list[Timing]:
    """Return the time of each pass of a run for its plan's `timing_key`; none where it tells nothing of that device.

    That of a first pass decodes nothing.
    """
    # Recommendations may come from another machine's image; a run that was tried twice took longer than its work.
    if plan.parameters.timing_key.partition(":")[0] != plan.memory.device or execution.memory is not None:
        return []
    whole, first, parameters = _measured(execution), execution.first_pass, plan.parameters
    if first is None or parameters.second_pass is None:
        return _timing(parameters, whole, images, images)
    last = whole._replace(
        seconds=whole.seconds - first.seconds - (execution.enlarging_seconds or 0.0),
        forward_items=whole.forward_items - first.forward_items,
    )
    return [
        *_timing(first_run(parameters), first, images, 0),
        *_timing(second_run(parameters), last, images, images, parameters.second_pass.steps),
    ]


def enlargings_of(plan: GenerationPlan, execution: Execution, images: int) -> list[tuple[str, Timing]]:
    """Return the time that an upscale model took, with its key; none where it tells nothing of the plan's device."""
    seconds, second, key = execution.enlarging_seconds, plan.parameters.second_pass, plan.parameters.timing_key
    upscaling, device = upscaling_of(second), key.partition(":")[0]
    if not seconds or second is None or upscaling is None or device != plan.memory.device or execution.memory:
        return []
    size = plan.parameters.width, plan.parameters.height
    tflop = images * enlarging_tflop(upscaling, plan.memory.upscale_tile or TILES[0], size, cost_of(key))
    items = max(1, round(1000 * tflop))
    timing = Timing(second.width, second.height, images, items, images, seconds / (1000 * tflop), seconds)
    return [(upscale_key(device, second.upscaler), timing)]


def _measured(execution: Execution) -> PassTime:
    items = execution.forward_items or 0
    return PassTime(execution.seconds, execution.seconds_per_step, execution.seconds_per_item, items)


def _timing(
    parameters: OptimizedParameters, took: PassTime, images: int, decoded: int, steps: int | None = None
) -> list[Timing]:
    """`steps`: those that were sampled; None: all of the settings."""
    if not (took.seconds_per_step and took.seconds_per_item and took.forward_items and took.seconds > 0):
        return []
    steps, items = steps or parameters.num_steps, took.forward_items
    # Steps are timed per forward batch, items one by one: their ratio is the number of images in a batch.
    items_per_step = items / steps / images
    batch = min(images, max(1, round(took.seconds_per_step / took.seconds_per_item / items_per_step)))
    return [
        Timing(
            width=parameters.width,
            height=parameters.height,
            images=decoded,
            items=items,
            passes=max(1, evaluations(parameters.sampler_name, steps) * images // batch),
            item_seconds=took.seconds_per_item,
            seconds=took.seconds,
        )
    ]


def portable(plan: GenerationPlan) -> GenerationPlan:
    """Return the plan without this machine's paths and the library's texts, to be saved in images."""
    model = plan.recommendations.model
    recommendations = replace(
        plan.recommendations,
        suggested_loras=[replace(lora, lora_metadata=identity(lora.lora_metadata)) for lora in plan.loras],
        model=replace(model, path=None, metadata={}) if model else None,
        explanation=None,
    )
    return replace(plan, recommendations=recommendations)


def identity(metadata: ModelMetadata) -> ModelMetadata:
    kept = "model_id name kind source source_id architecture family lora_kind sha256 autov2 autov3"
    return ModelMetadata(**{name: getattr(metadata, name) for name in kept.split()})
