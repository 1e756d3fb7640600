"""Generations that were made: as lists show them, and rated by a run of a graph."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..config import require
from ..learning import LearningEngine
from ..records import Record
from .stages import Generation


@dataclass(frozen=True)
class GenerationSummary(Record):
    id: str
    image_ids: tuple[str, ...]
    created_at: str
    """ISO 8601, UTC."""
    prompt: str
    """Its first words, as the user gave them."""
    ratings: tuple[int, ...] = ()
    """Stars, 1 to 5, of the generation and its images."""

    @property
    def made_at(self) -> str:
        """Date and time on this machine's clock."""
        return f"{datetime.fromisoformat(self.created_at).astimezone():%Y-%m-%d %H:%M}" if self.created_at else ""

    @property
    def stars(self) -> str:
        return ", ".join(map(str, self.ratings))


def recent_generations(learning: LearningEngine, limit: int = 20) -> list[GenerationSummary]:
    """Return the newest generations, newest first. Raises InvalidInputError for a limit below 1, StorageError."""
    return [
        GenerationSummary(
            stored.generation_id,
            stored.image_ids,
            stored.created_at,
            words if len(words) <= 60 else f"{words[:59]}…",
            tuple(rating.rating for rating in learning.ratings(stored.generation_id)),
        )
        for stored in learning.list_generations(limit)
        for words in [" ".join(Generation.from_dict(stored.data).plan.recommendations.prompt_analysis.prompt.split())]
    ]


def rate_in_run(learning: LearningEngine, generation_id: str, rating: int, comments: str = "", run_id: str = "") -> str:
    """Store a rating, unless it is 0 (not yet) or `run_id` itself made the generation. Returns a text for the user.

    Raises InvalidInputError, UnknownGenerationError, StorageError.
    """
    require(bool(generation_id), "Feedback: link a generation, or give the generation_id of an earlier one.")
    if not rating:
        return f"Not rated yet: {generation_id}"
    if run_id and learning.get_generation(generation_id).run_id == run_id:
        return (
            f"Not counted: {generation_id} was made in this very run. Look at it, then set the rating and queue again."
        )
    learning.record_feedback(generation_id, rating, comments)
    return f"Rated {rating} of 5: {generation_id}"
