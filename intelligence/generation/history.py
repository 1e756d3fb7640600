"""Generations that were made: as lists show them, and rated by a run of a graph."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from ..config import require
from ..errors import StorageError, UnknownGenerationError
from ..learning import LearningEngine, StoredGeneration
from ..learning.generation_rows import prompt_of
from ..records import Record
from ..validation import checked
from .problem_messages import ProblemMessage
from .run import store_generation
from .stages import Generation

MAX_LOOKED_AT = 200
"""Newest generations among which those to rate are looked for."""
MAX_SHOWN = 256
"""Nodes whose last picture is remembered."""


@dataclass(frozen=True)
class GenerationSummary(Record):
    id: str
    image_ids: tuple[str, ...]
    created_at: str
    """ISO 8601, UTC."""
    prompt: str
    """As the user gave it, its white space made single."""
    ratings: tuple[int, ...] = ()
    """Stars, 1 to 5, of the generation and its images."""
    image_ratings: tuple[int, ...] = ()
    """Stars of each image, or those of the generation; 0: none."""

    @property
    def made_at(self) -> str:
        """Date and time on this machine's clock."""
        return f"{datetime.fromisoformat(self.created_at).astimezone():%Y-%m-%d %H:%M}" if self.created_at else ""

    @property
    def first_words(self) -> str:
        """Start of the prompt, 60 characters at most."""
        return self.prompt if len(self.prompt) <= 60 else f"{self.prompt[:59]}…"

    @property
    def stars(self) -> str:
        return ", ".join(map(str, self.ratings))


def recent_generations(learning: LearningEngine, limit: int = 20) -> list[GenerationSummary]:
    """Return the newest generations, newest first. Raises InvalidInputError for a limit below 1, StorageError."""
    return [_summary(stored, learning) for stored in learning.list_generations(limit)]


def generations_to_rate(learning: LearningEngine, count: int = 8) -> list[GenerationSummary]:
    """Return the unrated generations whose stars would tell the most, for a start: other LoRAs and prompts each.

    Of the 200 newest; a picture without LoRAs, which the others are compared with, is among them where there is one.

    Raises InvalidInputError for a count below 1, StorageError.
    """
    checked("count", count, int, ge=1)
    waiting, seen = [], set[Hashable]()
    for stored in learning.list_generations(MAX_LOOKED_AT):
        if learning.ratings(stored.generation_id):
            seen |= _told(stored)
        else:
            waiting.append(stored)
    found: list[GenerationSummary] = []
    while waiting and len(found) < count:
        best = max(waiting, key=lambda stored: len(_told(stored) - seen))
        waiting.remove(best)
        seen |= _told(best)
        found.append(_summary(best, learning))
    return found


def _told(stored: StoredGeneration) -> set[Hashable]:
    """The LoRAs of a generation (its lack of any is one too) and its prompt."""
    return {*(stored.loras or ("",)), (prompt_of(stored.data),)}


def _summary(stored: StoredGeneration, learning: LearningEngine) -> GenerationSummary:
    rated = {one.target_id: one.rating for one in learning.ratings(stored.generation_id)}
    whole = rated.get(stored.generation_id, 0)
    return GenerationSummary(
        stored.generation_id,
        stored.image_ids,
        stored.created_at,
        " ".join(prompt_of(stored.data).split()),
        tuple(rated.values()),
        tuple(rated.get(image, whole) for image in stored.image_ids),
    )


class Shown(NamedTuple):
    """A generation as a node of a graph showed it, and the rating that the node had then."""

    generation: Generation
    rating: int
    comments: str

    @property
    def prompt(self) -> str:
        return self.generation.plan.recommendations.prompt_analysis.prompt


class GraphRatings:
    """Ratings by the runs of graphs: each rates what was looked at before the run."""

    def __init__(self) -> None:
        self._shown: dict[Hashable, Shown] = {}

    def rate(self, learning: LearningEngine, node: Hashable, now: Shown, run_id: str) -> str:
        """Store the rating of a generation, unless it is 0 (not yet). Returns a text for the user.

        A generation that the run `run_id` itself made has not been looked at: a rating that was changed since the
        node's last run is meant for the picture that it showed then, if that was of the same prompt. `node` names the
        node in its workflow. Raises InvalidInputError.
        """
        before = self._shown.pop(node, None)
        self._shown[node] = now
        for oldest in list(self._shown)[:-MAX_SHOWN]:
            del self._shown[oldest]
        name = now.generation.id
        if not now.rating:
            return ProblemMessage.NOT_RATED_YET.format(picture=name)
        if not run_id or now.generation.run_id != run_id:
            return _rate_shown(learning, now.generation, now)
        if before is None or before.prompt != now.prompt or before[1:] == now[1:]:
            return ProblemMessage.RATED_TOO_EARLY.format(picture=name)
        told = _rate_shown(learning, before.generation, now)
        return ProblemMessage.RATED_BEFORE.format(rated=told)


def _rate_shown(learning: LearningEngine, generation: Generation, now: Shown) -> str:
    try:
        remember_generation(generation, learning)
        return rate_named(learning, generation.id, now.rating, now.comments)
    except StorageError as error:
        return ProblemMessage.NOT_RATED.format(problem=error)


def remember_generation(generation: Generation, learning: LearningEngine) -> None:
    """Store a generation that was not stored when it was made, or that another machine made. Raises StorageError."""
    try:
        learning.get_generation(generation.id)
    except UnknownGenerationError:
        store_generation(generation, learning)


def rate_named(learning: LearningEngine, identifier: str, rating: int, comments: str = "") -> str:
    """Store the rating of a generation, image or run, unless it is 0 (not yet). Returns a text for the user.

    Raises InvalidInputError, UnknownGenerationError, StorageError.
    """
    require(bool(identifier), ProblemMessage.NOTHING_TO_RATE.value)
    if not rating:
        return ProblemMessage.NOT_RATED_YET.format(picture=identifier)
    learning.record_feedback(identifier, rating, comments)
    return ProblemMessage.RATED.format(rating=rating, picture=identifier)
