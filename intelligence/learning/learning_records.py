"""Records of learning.db."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

from ..records import Record, ValidatedRecord
from ..validation import bounds


@dataclass(frozen=True)
class Feedback(Record):
    """Rating of an image, or of a generation of several images."""

    target_id: str
    """Id of the image or generation."""
    generation_id: str
    rating: int
    """1 … 5 stars."""
    comments: str = ""
    rated_at: str = ""
    """ISO 8601, UTC."""


@dataclass(frozen=True)
class Timing(ValidatedRecord):
    """Time that one run took."""

    width: Annotated[int, bounds(ge=1)]
    """Pixels, like `height`."""
    height: Annotated[int, bounds(ge=1)]
    images: Annotated[int, bounds(ge=1)]
    items: Annotated[int, bounds(ge=1)]
    """Forward items that the model computed, of all images."""
    passes: Annotated[int, bounds(ge=1)]
    """Calls of the model: with guidance, each computes two forward items for every image in it."""
    item_seconds: Annotated[float, bounds(gt=0)]
    """Of one forward item: the median from the second step on."""
    seconds: Annotated[float, bounds(gt=0)]
    """Of the whole run, decoding included."""


@dataclass(frozen=True)
class StoredGeneration(Record):
    """A generation as it was recorded."""

    generation_id: str
    image_ids: tuple[str, ...]
    data: dict[str, Any] = field(default_factory=dict)
    """JSON of the `Generation`."""
    loras: tuple[str, ...] = ()
    """Model ids of the LoRAs that were applied."""
    concepts: tuple[str, ...] = ()
    run_id: str = ""
    created_at: str = ""
    """ISO 8601, UTC."""


class RatedImage(NamedTuple):
    """Image with a rating of its own or of its generation."""

    loras: tuple[str, ...]
    """Model ids of the LoRAs that were applied together."""
    concepts: frozenset[str]
    """Concepts of its prompt, see `PromptAnalysis.shown_concepts`."""
    rating: int
    weight: float = 1.0
    strengths: tuple[float, ...] = ()
    """Of `loras`, in the same order; empty where they were not recorded."""
