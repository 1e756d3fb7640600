"""Images as the Python API returns them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..records import Record
from .explanation import explain
from .image_file import save_image
from .stages import Generation, GenerationExplanation

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class LoRAInfo(Record):
    """A LoRA that was applied, and its strength."""

    name: str
    alpha: float


@dataclass(frozen=True)
class GenerationMetadata(Record):
    """Settings and measurements of an image."""

    prompt: str
    """As the user gave it."""
    negative_prompt: str
    seed: int
    steps: int
    cfg_scale: float
    width: int
    height: int
    sampler: str
    loras_used: list[LoRAInfo] = field(default_factory=list)
    generation_time_seconds: float = 0.0
    """Of the run that made this image and maybe others."""
    peak_vram_gb: float = 0.0
    base_model_id: str = ""
    pipeline_type: str = "intelligent"
    final_prompt: str = ""
    """As encoded: without LoRA tags, with trigger words and quality tags."""
    final_negative_prompt: str = ""


@dataclass(frozen=True)
class GenerationResult:
    """A generated image."""

    id: str
    """Id of this image, for `provide_feedback`."""
    image: Image
    metadata: GenerationMetadata
    explanation: GenerationExplanation
    generation: Generation
    """The stored record."""
    index: int = 0
    """Position among the generation's images."""

    def save(self, path: str | Path) -> Path:
        """Write the image (.png, .webp, .jpg) with its metadata embedded, and the generation as JSON beside it.

        Raises InvalidInputError (another file type) or StorageError (the folder cannot be written).
        """
        return save_image(path, self.image, self.generation, self.index)


def results_of(generation: Generation, images: list[Image]) -> list[GenerationResult]:
    """Return one result for each image of a generation."""
    explanation = explain(generation)
    return [
        GenerationResult(image_id, image, metadata_of(generation, index), explanation, generation, index)
        for index, (image_id, image) in enumerate(zip(generation.image_ids, images, strict=True))
    ]


def metadata_of(generation: Generation, index: int = 0) -> GenerationMetadata:
    """Return the metadata of image `index` of a generation."""
    plan = generation.plan
    recommendations, parameters = plan.recommendations, plan.parameters
    return GenerationMetadata(
        prompt=recommendations.prompt_analysis.prompt,
        negative_prompt=recommendations.prompt_analysis.negative_prompt,
        seed=generation.seeds[index],
        steps=parameters.num_steps,
        cfg_scale=parameters.guidance_scale,
        width=parameters.width,
        height=parameters.height,
        sampler=parameters.sampler_name,
        loras_used=[LoRAInfo(lora.lora_name, lora.suggested_alpha) for lora in plan.loras],
        generation_time_seconds=generation.generation_time_seconds,
        peak_vram_gb=generation.peak_vram_gb,
        base_model_id=generation.base_model_id,
        final_prompt=recommendations.prompt,
        final_negative_prompt=recommendations.negative_prompt,
    )
