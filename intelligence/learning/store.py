"""`LearningEngine`: generations, their ratings, the time that runs took, in learning.db."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..config import data_folder, require
from ..database import Database, recovering
from ..validation import checked
from . import rating_rows, signal_rows
from .exchange import Imported, exported, imported
from .generation_rows import (
    MAX_LISTED,
    WHOLE,
    GenerationRow,
    Place,
    Recorded,
    StoredGeneration,
    blank_prompts,
    bodies,
    check_id,
    delete,
    image_place,
    insert,
    keys_of_prompt,
    places,
    rated_place,
    read,
    recorded,
    replace_data,
    stored_id,
)
from .learning_options import Switch, is_set, past_resets, put_past_reset, put_switch
from .learning_schema import MIGRATIONS
from .observations import Observation, Picture
from .preferences import PictureRating, Preferences, picture_rating, stored_look
from .rating_rows import Feedback, Rating
from .signal_store import SignalStore, noticed
from .stored_json import SharedParts
from .timings import Timing, put_timing, timings_of
from .value_model import MAX_OBSERVATIONS

MAX_COMMENT_LENGTH = 10_000
"""Characters."""


class Counts(NamedTuple):
    generations: int
    ratings: int


class RatedPicture(NamedTuple):
    """A generation with a rating that counts: of one image, or of those that have none of their own."""

    generation: StoredGeneration
    image: int | None
    """Place of the image; None: the generation was rated as a whole."""
    rating: int
    """1 … 5 stars."""
    images: int
    """Images that have this rating."""
    weight: float
    """Of each of them: all images of a generation weigh as much as one that was rated for itself."""


@recovering
class LearningEngine:
    """Generations, their ratings, the preferences that follow from these, and the time that runs took.

    An id is that of an image, of a generation, or of a host's run (ComfyUI: the prompt id), which stands for each of
    its generations. Every method raises StorageError, naming the file and the remedy, if the database cannot be used.
    """

    def __init__(self, db_path: str | Path | None = None) -> None:
        """`db_path`: learning.db; None: the one in the data folder. It is opened on first use."""
        path = data_folder() / "learning.db" if db_path is None else db_path
        self.database = Database(path, MIGRATIONS, synchronous="FULL", daily_backup=True, settle=rating_rows.settle)
        self.signals = SignalStore(self.database)
        """Acts beside stars."""
        self._preferences: tuple[tuple[int, dict[str, str]], Preferences] | None = None
        self._known_ratings: dict[rating_rows.RatedPlace, PictureRating] = {}
        """Ratings as they were read last: the same objects where nothing changed."""
        self._known_acts = _KnownActs({}, {}, {})

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

        The reasons of the 1,000 newest generations are kept; of older ones, what was made and with what.

        Args:
            image_ids: one per image, unique on this machine.
            data: JSON of the `Generation`.
            loras: model ids of the LoRAs that were applied.
            concepts: concepts of the prompt, see `PromptAnalysis.shown_concepts`.
            strengths: of `loras`, in the same order.

        Raises:
            InvalidInputError: an id is empty, too long or taken, or the numbers of LoRAs and strengths differ.
        """
        require(len(strengths) in (0, len(loras)), "strengths must be as many as loras, or none")
        require(bool(image_ids), "image_ids must name at least one image")
        require(len(set(image_ids)) == len(image_ids), "image_ids must differ from each other")
        for identifier in (generation_id, *image_ids):
            check_id(identifier)
        row = GenerationRow(generation_id, image_ids, dict(data), loras, concepts, strengths, run_id, _now())
        with self.database.transaction() as db:
            if db.execute("SELECT 1 FROM generations WHERE id = ?", (stored_id(generation_id),)).fetchone():
                return
            for image_id in image_ids:
                other = image_place(db, image_id)
                require(other is None, f"image id {image_id!r} already belongs to another generation")
            insert(db, row, keep_prompt=not is_set(db, Switch.NO_PROMPTS))

    def complete_generation(self, generation_id: str, data: Mapping[str, Any]) -> None:
        """Replace the JSON of a stored `Generation` by one with more facts; an unknown one stays unknown."""
        with self.database.transaction() as db:
            query = "SELECT key FROM generations WHERE id = ?"
            if row := db.execute(query, (stored_id(generation_id),)).fetchone():
                replace_data(db, row[0], dict(data), keep_prompt=not is_set(db, Switch.NO_PROMPTS))

    def get_generation(self, generation_id: str) -> StoredGeneration:
        """Return the generation of this id, the newest one of a run. Raises UnknownGenerationError."""
        with self.database.read() as db:
            return read(db, places(db, generation_id)[-1].key)

    def list_generations(self, limit: int = 50) -> list[StoredGeneration]:
        """Return the generations stored last, newest first."""
        limit = checked("limit", limit, int, ge=1, le=MAX_LISTED)
        with self.database.read() as db:
            keys = db.execute("SELECT key FROM generations ORDER BY key DESC LIMIT ?", (limit,)).fetchall()
            return [read(db, key) for (key,) in keys]

    def forget_generation(self, generation_id: str) -> int:
        """Delete the generation of this id, or each of a run, with its ratings. Returns how many there were.

        No copy of it is left in the data folder. Raises UnknownGenerationError.
        """
        with self.database.transaction() as db:
            found = delete(db, {place.key for place in places(db, generation_id)})
            rating_rows.bump(db)
        self.database.forget_copies()
        return found

    def forget_prompt(self, prompt: str) -> int:
        """Delete every generation of this prompt, with its ratings. Returns how many there were.

        Spaces and case do not count. No copy of them is left in the data folder.
        """
        with self.database.transaction() as db:
            found = delete(db, keys_of_prompt(db, prompt))
            rating_rows.bump(db)
        self.database.forget_copies()
        return found

    def record_feedback(self, generation_id: str, rating: int, comments: str = "") -> Feedback:
        """Rate an image, or all images of a generation or run; this replaces an earlier rating of the same.

        The rating is on the disk when this returns.

        Args:
            generation_id: id of an image, of a generation or of a run.
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
        with self.database.transaction() as db:
            found = [rated_place(db, place) for place in places(db, generation_id)]
            for place in found:
                rating_rows.put(db, Rating(*place, rating, text, _now()))
            return next(one for one in rating_rows.feedback(db, found[-1]))

    def remove_feedback(self, generation_id: str) -> bool:
        """Take back the rating of an image, or of a generation or run as a whole. Returns whether there was one.

        What was learned is then as if it had never been given. Raises UnknownGenerationError.
        """
        with self.database.transaction() as db:
            found = [rated_place(db, place) for place in places(db, generation_id)]
            return any([rating_rows.remove(db, place, _now()) for place in found])

    def ratings(self, generation_id: str) -> list[Feedback]:
        """Return the rating of an image, or that of a generation followed by those of its images.

        Raises UnknownGenerationError.
        """
        with self.database.read() as db:
            return [one for place in places(db, generation_id) for one in rating_rows.feedback(db, place)]

    def rating_history(self, generation_id: str) -> list[Feedback]:
        """Return every rating that was given to this, oldest first; a `rating` of 0 took the one before back.

        Raises UnknownGenerationError.
        """
        with self.database.read() as db:
            return [one for place in places(db, generation_id) for one in rating_rows.history(db, place)]

    def ratings_by_stars(self) -> list[int]:
        """Return how many ratings there are of 1, 2, 3, 4 and 5 stars."""
        with self.database.read() as db:
            return rating_rows.by_stars(db)

    def ratings_by_month(self) -> list[tuple[str, int, float]]:
        """Return (month as `2026-11`, number, mean of the stars) of the ratings, oldest first."""
        with self.database.read() as db:
            return rating_rows.by_month(db)

    def reset(self, lora: str | None = None) -> int:
        """Forget what was learned: ratings of pictures with this LoRA (a model id), or all, count no longer.

        So do acts beside stars, and what pictures made before now tell. Ratings stay stored and shown; one that is
        given anew counts again. Returns how many there were.
        """
        with self.database.transaction() as db:
            if lora is None:
                dropped, number = signal_rows.drop(db), rating_rows.reset(db)
            else:

                def has_lora(key: int) -> bool:
                    return lora in read(db, key).loras

                dropped = signal_rows.drop_lora(db, has_lora, lora)
                rated = [Place(*one[:2]) for one in rating_rows.newest_rated(db) if has_lora(one.key)]
                number = rating_rows.reset(db, rated)
            if dropped:
                rating_rows.bump(db)
            put_past_reset(db, lora or "", _now())
            return number

    def export_ratings(self) -> dict[str, Any]:
        """Return every rating with its history and its generation, as JSON types."""
        with self.database.read() as db:
            return exported(db)

    def import_ratings(self, data: Mapping[str, Any]) -> Imported:
        """Add what an export has and this store lacks; of two ratings of one image, the later counts.

        Raises InvalidInputError where `data` is no export; nothing is added then.
        """
        with self.database.transaction() as db:
            return imported(db, data, keep_prompt=not is_set(db, Switch.NO_PROMPTS))

    def counts(self) -> Counts:
        """Return how many generations and ratings are stored."""
        with self.database.read() as db:
            tables = ("generations", "ratings")
            return Counts(*(db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables))

    @property
    def revision(self) -> int:
        """Number that changes with every added, changed or removed rating, and where another file is read from now."""
        with self.database.read() as db:
            found = int(db.execute("SELECT revision FROM decisions").fetchone()[0])
            return found + (self.database.switches << 40)

    def rated_pictures(self, limit: int | None = None) -> list[RatedPicture]:
        """Return the newest `limit` ratings that count (None: all), by when each was first given, oldest first.

        Empty while learning is paused.
        """
        with self.database.read() as db:
            if is_set(db, Switch.PAUSED):
                return []
            parts, found = SharedParts(db), []
            for one in rating_rows.newest_rated(db, limit):
                image = None if one.image == WHOLE else one.image
                found.append(RatedPicture(read(db, one.key, parts), image, one.rating, one.images, one.weight))
            return found

    def preferences(self, moves: Mapping[str, str] | None = None) -> Preferences:
        """Return the preferences by today's ratings. Args: moves: see `PictureRating.picture`."""
        state = self.revision, dict(moves or {})
        if self._preferences is None or self._preferences[0] != state:
            pictures = self._rated()
            before = self._preferences and self._preferences[1]
            found = Preferences(pictures, moves, before).after(self._noticed(moves or {}, pictures))
            self._preferences = state, found
        return self._preferences[1]

    def past_resets(self) -> dict[str, int]:
        """Return model id (empty: all) → milliseconds since 1970, up to which pictures made before do not count."""
        with self.database.read() as db:
            return past_resets(db)

    @property
    def paused(self) -> bool:
        """True while choices heed no rating; new ones are stored all the same."""
        return self._option(Switch.PAUSED)

    @paused.setter
    def paused(self, value: bool) -> None:
        self._set_option(Switch.PAUSED, value)

    @property
    def keep_prompts(self) -> bool:
        """True where prompts are stored with generations. Set to False, those already stored are taken out too."""
        return not self._option(Switch.NO_PROMPTS)

    @keep_prompts.setter
    def keep_prompts(self, value: bool) -> None:
        self._set_option(Switch.NO_PROMPTS, not value)
        if not value:
            with self.database.transaction() as db:
                blank_prompts(db)
            self.database.forget_copies()

    def record_timing(self, key: str, timing: Timing) -> None:
        """Store the time that a run took under `key`, which names the device and the kind of model."""
        check_id(key)
        with self.database.transaction() as db:
            put_timing(db, key, timing)

    def timings(self, key: str) -> list[Timing]:
        """Return the last 48 runs stored under `key`, with those of keys that extend it after a `:`, oldest first."""
        check_id(key)
        with self.database.read() as db:
            return timings_of(db, key)

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        self.database.close()

    def _rated(self) -> list[PictureRating]:
        """Return the newest ratings that count, oldest first; what was read of a row before is not read again."""
        with self.database.read() as db:
            if is_set(db, Switch.PAUSED):
                return []
            parts, known = SharedParts(db), self._known_ratings
            rated = rating_rows.newest_rated(db, MAX_OBSERVATIONS)
            self._known_ratings = {one: known.get(one) or _as_rated(one, parts) for one in rated}
            return [*self._known_ratings.values()]

    def _noticed(self, moves: Mapping[str, str], rated: Sequence[PictureRating]) -> list[Observation]:
        before, now = self._known_acts, _KnownActs(dict(moves), {}, {})
        rows = before.rows if before.moves == now.moves else {}

        def picture_of(db: sqlite3.Connection, place: Place) -> tuple[Picture, Mapping[str, str]]:
            if place.key not in now.rows:
                body, row = bodies(db, [place.key])[place.key], rows.get(place.key)
                now.rows[place.key] = row if row and row.body == body else _act_row(body, SharedParts(db), moves)
            row = now.rows[place.key]
            image = None if place.image == WHOLE else place.image
            return row.picture._replace(look=stored_look(row.looks, image)), row.names

        with self.database.read() as db:
            found = [] if is_set(db, Switch.PAUSED) else noticed(db, picture_of, moves, rated)
        now.told.update({one: before.told.get(one, one) for one in found})
        self._known_acts = now
        return [now.told[one] for one in found]

    def _option(self, switch: Switch) -> bool:
        with self.database.read() as db:
            return is_set(db, switch)

    def _set_option(self, switch: Switch, value: bool) -> None:
        with self.database.transaction() as db:
            put_switch(db, switch, value)


class _ActRow(NamedTuple):
    """A generation of which acts tell."""

    body: bytes
    picture: Picture
    names: Mapping[str, str]
    """Ids of its LoRAs → those that they have now."""
    looks: Sequence[Sequence[int]]


class _KnownActs(NamedTuple):
    """Acts as they were read last."""

    moves: Mapping[str, str]
    rows: dict[int, _ActRow]
    """By generation."""
    told: dict[Observation, Observation]
    """Observations, to be the same objects again."""


def _act_row(body: bytes, parts: SharedParts, moves: Mapping[str, str]) -> _ActRow:
    stored = recorded(body, parts)
    made = _stored_rating(stored)
    names = {one.lora: one.now(moves) for one in made.loras}
    return _ActRow(body, made.picture(moves), names, stored.data.get("image_looks") or ())


def _as_rated(one: rating_rows.RatedPlace, parts: SharedParts) -> PictureRating:
    stored = recorded(one.body, parts)
    look = stored_look(stored.data.get("image_looks") or (), None if one.image == WHOLE else one.image)
    return _stored_rating(stored)._replace(rating=one.rating, weight=one.images * one.weight, look=look)


def _stored_rating(stored: Recorded) -> PictureRating:
    return picture_rating(stored.data, stored.loras, stored.concepts, stored.strengths, 0)


def _now() -> int:
    """Return milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000
