"""Ratings in, preferences out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config import data_folder, require
from .preferences import Preferences
from .store import MAX_COMMENT, Feedback, LearningStore, StoredGeneration, Timing


class LearningEngine:
    """Remembers generations and their ratings, and what the ratings say of LoRAs.

    Every method raises StorageError, naming the file and the remedy, when the database cannot be used.
    """

    def __init__(self, db_path: str | Path | None = None) -> None:
        """`db_path`: where learning.db lies; None: in the data folder. Nothing is opened before first use."""
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
        """Store a generation, so that it can be shown and rated. A second call with the same id changes nothing.

        Args:
            image_ids: one per image, unique on this machine.
            data: JSON of the `Generation`.
            loras: model ids of the LoRAs that were applied.
            concepts: what the prompt is about.
            strengths: of `loras`, in their order.
        """
        self._store.add_generation(generation_id, image_ids, data, loras, concepts, run_id, strengths)

    def get_generation(self, generation_id: str) -> StoredGeneration:
        """The generation with this id, or that made the image with this id. Raises UnknownGenerationError."""
        return self._store.generation(generation_id)

    def list_generations(self, limit: int = 50) -> list[StoredGeneration]:
        """The newest generations, newest first."""
        require(
            isinstance(limit, int) and not isinstance(limit, bool) and limit >= 1,
            f"limit must be an integer of 1 or more, got {limit!r}",
        )
        return self._store.generations(limit)

    def record_feedback(self, generation_id: str, rating: int, comments: str = "") -> Feedback:
        """Rate an image, or all images of a generation; a later rating of the same replaces the earlier.

        When this returns, the rating is on the disk.

        Args:
            generation_id: id of an image or of a generation.
            rating: 1 … 5 stars, an integer.
            comments: at most 10,000 characters.

        Raises:
            InvalidInputError: rating or comments are out of bounds.
            UnknownGenerationError: nothing with this id was recorded.
        """
        require(
            isinstance(rating, int) and not isinstance(rating, bool) and 1 <= rating <= 5,
            f"rating must be an integer from 1 to 5 stars, got {rating!r}",
        )
        require(isinstance(comments, str), f"comments must be text, got {type(comments).__name__}")
        require(
            len(comments) <= MAX_COMMENT, f"comments may have {MAX_COMMENT:,} characters, these have {len(comments):,}"
        )
        text = comments.encode("utf-8", "replace").decode("utf-8")
        return self._store.rate(generation_id, rating, text)

    def ratings(self, generation_id: str) -> list[Feedback]:
        """An image's rating, or a generation's with those of its images. Raises UnknownGenerationError."""
        return self._store.ratings(generation_id)

    def remove_feedback(self, generation_id: str) -> None:
        """Forget the rating of this image or generation. Raises UnknownGenerationError."""
        self._store.unrate(generation_id)

    @property
    def revision(self) -> int:
        """Changes with every new, changed or removed rating, never with a saved generation or a timing."""
        return self._store.revision()

    def preferences(self, moves: Mapping[str, str] | None = None) -> Preferences:
        """What the ratings say now. `moves` (see `ModelRegistry.moves`): ratings follow a LoRA to its new id."""
        return Preferences(self._store.observations(), moves)

    def record_timing(self, key: str, timing: Timing) -> None:
        """Remember how long a run took; `key` (the caller's) names the device and the kind of model."""
        self._store.add_timing(key, timing)

    def timings(self, key: str) -> list[Timing]:
        """The last 48 runs remembered under `key`, and under keys that go on from it after a `:`, oldest first."""
        return self._store.timings(key)

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        self._store.close()
