"""`LearningEngine`: stores generations and ratings, and derives preferences from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config import data_folder, require
from ..validation import checked
from .learning_records import Feedback, StoredGeneration, Timing
from .preferences import Preferences
from .store import LearningStore

MAX_COMMENT_LENGTH = 10_000
"""Characters."""


class LearningEngine:
    """Generations, their ratings, the preferences that follow from these, and the time that runs took.

    Every method raises StorageError, naming the file and the remedy, if the database cannot be used.
    """

    def __init__(self, db_path: str | Path | None = None) -> None:
        """`db_path`: learning.db; None: the one in the data folder. It is opened on first use."""
        self._store = LearningStore(data_folder() / "learning.db" if db_path is None else db_path)

    def record_generation(
        self,
        generation_id: str,
        image_ids: Sequence[str],
        data: Mapping[str, Any],
        *,
        loras: Sequence[str] = (),
        concepts: Sequence[str] = (),
        run_id: str = "",
        strengths: Sequence[float] = (),
    ) -> None:
        """Store a generation for rating. A second call with the same id changes nothing.

        Args:
            image_ids: one per image, unique on this machine.
            data: JSON of the `Generation`.
            loras: model ids of the LoRAs that were applied.
            concepts: concepts of the prompt, see `PromptAnalysis.shown_concepts`.
            strengths: of `loras`, in the same order.

        Raises:
            InvalidInputError: an id is empty, too long or taken, or the numbers of LoRAs and strengths differ.
        """
        self._store.add_generation(generation_id, image_ids, data, loras, concepts, run_id, strengths)

    def get_generation(self, generation_id: str) -> StoredGeneration:
        """Return the generation with this id or with an image of this id. Raises UnknownGenerationError."""
        return self._store.generation(generation_id)

    def list_generations(self, limit: int = 50) -> list[StoredGeneration]:
        """Return the newest generations, newest first."""
        return self._store.generations(checked("limit", limit, int, ge=1))

    def record_feedback(self, generation_id: str, rating: int, comments: str = "") -> Feedback:
        """Rate an image, or all images of a generation; this replaces an earlier rating of the same.

        The rating is on the disk when this returns.

        Args:
            generation_id: id of an image or of a generation.
            rating: 1 to 5 stars.
            comments: up to 10,000 characters.

        Raises:
            InvalidInputError: rating or comments are out of bounds.
            UnknownGenerationError: nothing with this id was recorded.
        """
        rating = checked("rating", rating, int, ge=1, le=5)
        require(isinstance(comments, str), f"comments must be text, got {type(comments).__name__}")
        require(
            len(comments) <= MAX_COMMENT_LENGTH,
            f"comments must have at most {MAX_COMMENT_LENGTH:,} characters, got {len(comments):,}",
        )
        text = comments.encode("utf-8", "replace").decode("utf-8")
        return self._store.rate(generation_id, rating, text)

    def ratings(self, generation_id: str) -> list[Feedback]:
        """Return the rating of an image, or that of a generation followed by those of its images.

        Raises UnknownGenerationError.
        """
        return self._store.ratings(generation_id)

    def remove_feedback(self, generation_id: str) -> None:
        """Delete the rating of this image or generation, if there is one. Raises UnknownGenerationError."""
        self._store.remove_rating(generation_id)

    @property
    def revision(self) -> int:
        """Number that changes with every added, changed or removed rating, and with nothing else."""
        return self._store.revision()

    def preferences(self, moves: Mapping[str, str] | None = None) -> Preferences:
        """Return the preferences by today's ratings, which follow a LoRA to its new id (see `ModelRegistry.moves`)."""
        return Preferences(self._store.rated_images(), moves)

    def record_timing(self, key: str, timing: Timing) -> None:
        """Store the time that a run took under `key`, which names the device and the kind of model."""
        self._store.add_timing(key, timing)

    def timings(self, key: str) -> list[Timing]:
        """Return the last 48 runs stored under `key`, with those of keys that extend it after a `:`, oldest first."""
        return self._store.timings(key)

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        self._store.close()
