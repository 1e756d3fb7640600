"""Carrying a plan out: one host, one run, one stored generation."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from ..errors import StorageError
from ..learning import LearningEngine, Timing
from ..memory import MemoryManager
from ..models import ModelMetadata
from ..parameters.samplers import evaluations
from .execution import Execution, Host, OnStep
from .generation_messages import GenerationMessage
from .stages import Generation, GenerationPlan


def run_plan(
    host: Host,
    plan: GenerationPlan,
    seeds: Sequence[int],
    learning: LearningEngine,
    *,
    run_id: str = "",
    denoise: float = 1.0,
    on_step: OnStep | None = None,
    memory: MemoryManager | None = None,
) -> tuple[Execution, Generation]:
    """Sample `len(seeds)` images by `plan` on `host` and store the generation, so that it can be rated.

    An image is never lost to a store that cannot be written: the generation's notes say so instead.
    """
    execution = host.execute(plan, seeds, on_step)
    plan = replace(plan, memory=execution.memory or plan.memory)
    generation_id = uuid.uuid4().hex
    model = plan.recommendations.model
    generation = Generation(
        id=generation_id,
        plan=portable(plan),
        image_ids=tuple(f"{generation_id}-{index}" for index in range(len(seeds))),
        seeds=tuple(seeds),
        base_model_id=model.name if model else "",
        host=host.name,
        generation_time_seconds=execution.seconds,
        peak_vram_gb=execution.peak_vram_gb,
        run_id=run_id,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        denoise=denoise,
        notes=tuple(execution.notes),
        forward_items=execution.forward_items,
    )
    try:
        store_generation(generation, learning)
        key = plan.parameters.timing_key
        # Recommendations may come from another machine's image.
        here = key.partition(":")[0] == plan.memory.device
        smooth = execution.memory is None  # a second try is not how long the work takes
        if here and smooth and (timing := timing_of(plan, execution, len(seeds))):
            learning.record_timing(key, timing)
        if memory is not None:
            memory.correct(plan.memory, execution.peak_vram_gb)
    except StorageError as error:
        generation = replace(generation, notes=(*generation.notes, GenerationMessage.NOT_STORED.format(error=error)))
    return execution, generation


def store_generation(generation: Generation, learning: LearningEngine) -> None:
    """Store a generation for rating. Raises StorageError."""
    plan = generation.plan
    learning.record_generation(
        generation.id,
        generation.image_ids,
        generation.to_dict(),
        loras=[lora.lora_metadata.model_id for lora in plan.loras],
        concepts=plan.recommendations.prompt_analysis.shown_concepts,
        run_id=generation.run_id,
        strengths=[lora.suggested_alpha for lora in plan.loras],
    )


def timing_of(plan: GenerationPlan, execution: Execution, images: int) -> Timing | None:
    """How long a run took, to learn from; None when it had too few steps to tell."""
    if not (execution.seconds_per_step and execution.seconds_per_item and execution.forward_items):
        return None
    parameters, items = plan.parameters, execution.forward_items
    # Steps are timed per forward batch, items one by one: their ratio tells how many images shared a pass.
    items_a_step = items / parameters.num_steps / images
    together = min(images, max(1, round(execution.seconds_per_step / execution.seconds_per_item / items_a_step)))
    return Timing(
        width=parameters.width,
        height=parameters.height,
        images=images,
        items=items,
        passes=max(1, evaluations(parameters.sampler_name, parameters.num_steps) * images // together),
        item_seconds=execution.seconds_per_item,
        seconds=execution.seconds,
    )


def portable(plan: GenerationPlan) -> GenerationPlan:
    """The plan without what belongs to this machine alone (paths, the library's texts): it travels in images."""
    recommendations = plan.recommendations
    model = recommendations.model
    return replace(
        plan,
        recommendations=replace(
            recommendations,
            suggested_loras=[
                replace(lora, lora_metadata=_identity(lora.lora_metadata)) for lora in recommendations.suggested_loras
            ],
            model=replace(model, path=None, metadata={}) if model else None,
            explanation=None,
        ),
    )


def _identity(metadata: ModelMetadata) -> ModelMetadata:
    kept = ("model_id", "name", "kind", "source", "source_id", "architecture", "family", "lora_kind")
    hashes = ("sha256", "autov2", "autov3")
    return ModelMetadata(**{field: getattr(metadata, field) for field in kept + hashes})
