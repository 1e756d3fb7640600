"""Ratings that come with a run of a graph, and what the user is told about them."""

from __future__ import annotations

from ..config import require
from ..learning import LearningEngine


def rate_in_run(learning: LearningEngine, generation_id: str, rating: int, comments: str = "", run_id: str = "") -> str:
    """Store a rating, unless it is 0 (not yet) or `run_id` itself made the generation. Returns a text for the user.

    A rating that is set before the image exists says nothing about it.

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
