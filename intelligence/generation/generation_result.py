"""Images that the Python pipeline made, with their settings and the ways to keep and to see them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ..learning.observations import Evidence
from ..records import Record
from .explanation import explain
from .image_file import Metadata, SavedPicture, complete_record, picture_name, save_picture
from .notebook import result_html
from .noticing import note_act
from .run import Execution
from .stages import BestOf, Generation, GenerationExplanation
from .used_files import UsedFiles

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class LoRAInfo(Record):
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
    best_of: BestOf | None = None
    """The choice of this image among several, and what trying them cost; None: there was none."""


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

    used_files: UsedFiles | None = field(default=None, repr=False, compare=False)

    def save(self, path: str | Path, keep: Metadata = Metadata.ALL) -> Path:
        """Write the image (.png, .webp, .jpg) with its metadata embedded, and the generation as JSON beside it.

        `%seed%`, `%model%`, `%date:yyyy-MM-dd%` … are filled into the name, see `picture_name`. Files that were just
        used for the first time may still be hashed: saving waits 10 s at most. What could not be kept is warned of.

        Raises InvalidInputError (another file type) or StorageError (it cannot be written; says where it lies instead).
        """
        saved = self.write(path, keep)
        for note in saved.notes:
            warnings.warn(note, stacklevel=2)
        return saved.path

    def write(self, path: str | Path, keep: Metadata = Metadata.ALL) -> SavedPicture:
        """Write like `save`; return the files and the notes on what could not be kept."""
        generation, waits = self.generation, self.used_files if keep is not Metadata.NONE else None
        if waits:
            generation = waits.waited(generation)
        named = picture_name(str(path), generation, self.index, self.image.size)
        saved = save_picture(named, self.image, generation, self.index, keep=keep)
        if waits:
            waits.afterwards(generation, lambda completed: complete_record(saved, completed, self.index))
        if self.used_files:
            note_act(self.used_files.learning, self.id, Evidence.SAVED)
        return saved

    def _repr_png_(self) -> bytes:
        """Return the image for a notebook."""
        file = BytesIO()
        self.image.save(file, format="PNG")
        return file.getvalue()

    def _repr_html_(self) -> str:
        """Return the image and the reasons for a notebook."""
        return result_html(self._repr_png_(), self.explanation._repr_html_())


def results_of(execution: Execution, generation: Generation, used_files: UsedFiles) -> list[GenerationResult]:
    """Return the images of a run, as it was recorded."""
    explanation = explain(generation)
    return [
        GenerationResult(image_id, image, metadata_of(generation, index), explanation, generation, index, used_files)
        for index, (image_id, image) in enumerate(zip(generation.image_ids, execution.images, strict=True))
    ]


def metadata_of(generation: Generation, index: int) -> GenerationMetadata:
    """Return the settings and measurements of image `index`."""
    recommendations, parameters = generation.plan.recommendations, generation.plan_of(index).parameters
    return GenerationMetadata(
        prompt=recommendations.prompt_analysis.prompt,
        negative_prompt=recommendations.prompt_analysis.negative_prompt,
        seed=generation.seeds[index],
        steps=parameters.num_steps,
        cfg_scale=parameters.guidance_scale,
        width=parameters.width,
        height=parameters.height,
        sampler=parameters.sampler_name,
        loras_used=[LoRAInfo(lora.lora_name, lora.suggested_alpha) for lora in generation.plan.loras],
        generation_time_seconds=generation.generation_time_seconds,
        peak_vram_gb=generation.peak_vram_gb,
        base_model_id=generation.base_model_id,
        final_prompt=recommendations.prompt,
        final_negative_prompt=recommendations.negative_prompt,
        best_of=generation.best_of,
    )
