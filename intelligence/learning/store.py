"""`LearningEngine`: generations, their ratings, the time that runs took, in learning.db."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from ..config import data_folder, require
from ..database import Database
from ..errors import InvalidInputError, UnknownGenerationError
from ..records import Record, ValidatedRecord
from ..validation import bounds, checked
from .preferences import Preferences, RatedImage

MAX_COMMENT_LENGTH = 10_000
"""Characters."""
MAX_ID_LENGTH = 200
TIMINGS_KEPT = 48
"""Of each device and kind of model: enough for several sizes, few enough to follow a machine that changes."""

_SURROGATE = re.compile("[\ud800-\udfff]")

MIGRATIONS = (
    """
    CREATE TABLE generations (
        id TEXT PRIMARY KEY,
        created_at TEXT NOT NULL,
        run_id TEXT NOT NULL,
        data TEXT NOT NULL,
        loras TEXT NOT NULL,
        concepts TEXT NOT NULL
    );
    CREATE INDEX generations_by_time ON generations (created_at);
    CREATE TABLE images (
        id TEXT PRIMARY KEY,
        generation_id TEXT NOT NULL REFERENCES generations (id),
        position INTEGER NOT NULL
    );
    CREATE INDEX images_by_generation ON images (generation_id, position);
    CREATE TABLE feedback (
        target_id TEXT PRIMARY KEY,
        generation_id TEXT NOT NULL REFERENCES generations (id),
        rating INTEGER NOT NULL CHECK (rating BETWEEN 1 AND 5),
        comments TEXT NOT NULL,
        rated_at TEXT NOT NULL
    );
    CREATE INDEX feedback_by_generation ON feedback (generation_id);
    CREATE TABLE throughput (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        device TEXT NOT NULL,
        tflops REAL NOT NULL
    );
    CREATE INDEX throughput_by_device ON throughput (device, id);
    CREATE TABLE decisions (revision INTEGER NOT NULL);
    INSERT INTO decisions VALUES (0);
    """,
    """
    DROP TABLE throughput;
    CREATE TABLE timings (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        images INTEGER NOT NULL,
        items INTEGER NOT NULL,
        passes INTEGER NOT NULL,
        item_seconds REAL NOT NULL,
        seconds REAL NOT NULL
    );
    CREATE INDEX timings_by_key ON timings (key, id);
    """,
    "ALTER TABLE generations ADD COLUMN strengths TEXT NOT NULL DEFAULT '[]';",
)


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


class LearningEngine:
    """Generations, their ratings, the preferences that follow from these, and the time that runs took.

    Every method raises StorageError, naming the file and the remedy, if the database cannot be used.
    """

    def __init__(self, db_path: str | Path | None = None) -> None:
        """`db_path`: learning.db; None: the one in the data folder. It is opened on first use."""
        path = data_folder() / "learning.db" if db_path is None else db_path
        self._database = Database(path, MIGRATIONS, synchronous="FULL")

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
        require(len(strengths) in (0, len(loras)), "strengths must be as many as loras, or none")
        require(bool(image_ids), "image_ids must name at least one image")
        require(len(set(image_ids)) == len(image_ids), "image_ids must differ from each other")
        for identifier in (generation_id, *image_ids):
            _check_id(identifier)
        values = [_json(value) for value in (dict(data), list(loras), list(concepts), list(strengths))]
        with self._database.transaction() as db:
            if db.execute("SELECT 1 FROM generations WHERE id = ?", (generation_id,)).fetchone():
                return
            for image_id in image_ids:
                other = db.execute("SELECT generation_id FROM images WHERE id = ?", (image_id,)).fetchone()
                require(other is None, f"image id {image_id!r} already belongs to another generation")
            db.execute(
                "INSERT INTO generations (id, created_at, run_id, data, loras, concepts, strengths) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (generation_id, _now(), run_id, *values),
            )
            db.executemany(
                "INSERT INTO images VALUES (?, ?, ?)",
                [(image_id, generation_id, position) for position, image_id in enumerate(image_ids)],
            )

    def complete_generation(self, generation_id: str, data: Mapping[str, Any]) -> None:
        """Replace the JSON of a stored `Generation` by one with more facts; an unknown one stays unknown."""
        with self._database.transaction() as db:
            db.execute("UPDATE generations SET data = ? WHERE id = ?", (_json(dict(data)), generation_id))

    def get_generation(self, generation_id: str) -> StoredGeneration:
        """Return the generation with this id or with an image of this id. Raises UnknownGenerationError."""
        _check_id(generation_id)
        with self._database.read() as db:
            return _generation(db, _row(db, generation_id))

    def list_generations(self, limit: int = 50) -> list[StoredGeneration]:
        """Return the newest generations, newest first."""
        limit = checked("limit", limit, int, ge=1)
        with self._database.read() as db:
            query = "SELECT * FROM generations ORDER BY created_at DESC, rowid DESC LIMIT ?"
            return [_generation(db, row) for row in db.execute(query, (limit,)).fetchall()]

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
        target, owner = self._target(generation_id)
        with self._database.transaction() as db:
            old = db.execute("SELECT * FROM feedback WHERE target_id = ?", (target,)).fetchone()
            if old is not None and (old["rating"], old["comments"]) == (rating, text):
                return Feedback(**dict(old))
            new = Feedback(target, owner, rating, text, _now())
            db.execute(
                "INSERT OR REPLACE INTO feedback (target_id, generation_id, rating, comments, rated_at) "
                "VALUES (:target_id, :generation_id, :rating, :comments, :rated_at)",
                vars(new),
            )
            if old is None or old["rating"] != rating:
                db.execute("UPDATE decisions SET revision = revision + 1")
            return new

    def ratings(self, generation_id: str) -> list[Feedback]:
        """Return the rating of an image, or that of a generation followed by those of its images.

        Raises UnknownGenerationError.
        """
        _check_id(generation_id)
        with self._database.read() as db:
            target, owner = _target(db, generation_id)
            rows = db.execute(
                "SELECT feedback.* FROM feedback LEFT JOIN images ON images.id = target_id "
                "WHERE feedback.generation_id = ? ORDER BY coalesce(position, -1)",
                (owner,),
            ).fetchall()
        return [Feedback(**dict(row)) for row in rows if generation_id == owner or row["target_id"] == target]

    def remove_feedback(self, generation_id: str) -> None:
        """Delete the rating of this image or generation, if there is one. Raises UnknownGenerationError."""
        target, _ = self._target(generation_id)
        with self._database.transaction() as db:
            if db.execute("DELETE FROM feedback WHERE target_id = ?", (target,)).rowcount:
                db.execute("UPDATE decisions SET revision = revision + 1")

    @property
    def revision(self) -> int:
        """Number that changes with every added, changed or removed rating, and with nothing else."""
        with self._database.read() as db:
            return int(db.execute("SELECT revision FROM decisions").fetchone()[0])

    def preferences(self, moves: Mapping[str, str] | None = None) -> Preferences:
        """Return the preferences by today's ratings, which follow a LoRA to its new id (see `ModelRegistry.moves`)."""
        return Preferences(self._rated_images(), moves)

    def record_timing(self, key: str, timing: Timing) -> None:
        """Store the time that a run took under `key`, which names the device and the kind of model."""
        _check_id(key)
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO timings (key, width, height, images, items, passes, item_seconds, seconds) "
                "VALUES (:key, :width, :height, :images, :items, :passes, :item_seconds, :seconds)",
                {"key": key, **vars(timing)},
            )
            db.execute(
                "DELETE FROM timings WHERE key = ?1 AND id NOT IN "
                "(SELECT id FROM timings WHERE key = ?1 ORDER BY id DESC LIMIT ?2)",
                (key, TIMINGS_KEPT),
            )

    def timings(self, key: str) -> list[Timing]:
        """Return the last 48 runs stored under `key`, with those of keys that extend it after a `:`, oldest first."""
        _check_id(key)
        query = (
            "SELECT width, height, images, items, passes, item_seconds, seconds FROM timings "
            "WHERE key = ?1 OR substr(key, 1, length(?1) + 1) = ?1 || ':' ORDER BY id"
        )
        with self._database.read() as db:
            rows = db.execute(query, (key,)).fetchall()
        return [Timing(**dict(row)) for row in rows]

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        self._database.close()

    def _rated_images(self) -> list[RatedImage]:
        """Return every rated image that was made with LoRAs, oldest first.

        An image without a rating of its own takes its generation's; the images that do share the weight of one.
        """
        query = """
            SELECT generations.loras, generations.concepts, generations.strengths,
                   coalesce(own.rating, whole.rating) AS rating,
                   CASE WHEN own.rating IS NULL THEN
                       1.0 / (SELECT count(*) FROM images AS other WHERE other.generation_id = generations.id)
                   ELSE 1.0 END AS weight
            FROM images
            JOIN generations ON generations.id = images.generation_id
            LEFT JOIN feedback AS own ON own.target_id = images.id
            LEFT JOIN feedback AS whole ON whole.target_id = generations.id
            WHERE coalesce(own.rating, whole.rating) IS NOT NULL AND generations.loras != '[]'
            ORDER BY generations.rowid, images.position
        """
        with self._database.read() as db:
            rows = db.execute(query).fetchall()
        return [
            RatedImage(
                tuple(json.loads(loras)), frozenset(json.loads(concepts)), rating, weight, tuple(json.loads(strengths))
            )
            for loras, concepts, strengths, rating, weight in rows
        ]

    def _target(self, identifier: str) -> tuple[str, str]:
        _check_id(identifier)
        with self._database.read() as db:
            return _target(db, identifier)


def _row(db: sqlite3.Connection, identifier: str) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM generations WHERE id = coalesce((SELECT generation_id FROM images WHERE id = ?1), ?1)",
        (identifier,),
    ).fetchone()
    if row is None:
        raise UnknownGenerationError(
            f"no generation or image {identifier!r} was stored on this machine: ids are in the JSON beside saved "
            "images, and listed by `python -m intelligence generations` (in ComfyUI: "
            "GET /intelligent_generation/generations)"
        )
    return row


def _target(db: sqlite3.Connection, identifier: str) -> tuple[str, str]:
    """Return (id that a rating of `identifier` is stored under, id of its generation).

    A generation's only image stands for it.
    """
    generation_id = _row(db, identifier)["id"]
    images = _images(db, generation_id)
    return (images[0] if len(images) == 1 else identifier), generation_id


def _images(db: sqlite3.Connection, generation_id: str) -> tuple[str, ...]:
    rows = db.execute("SELECT id FROM images WHERE generation_id = ? ORDER BY position", (generation_id,))
    return tuple(row[0] for row in rows)


def _generation(db: sqlite3.Connection, row: sqlite3.Row) -> StoredGeneration:
    return StoredGeneration(
        generation_id=row["id"],
        image_ids=_images(db, row["id"]),
        data=json.loads(row["data"]),
        loras=tuple(json.loads(row["loras"])),
        concepts=tuple(json.loads(row["concepts"])),
        run_id=row["run_id"],
        created_at=row["created_at"],
    )


def _check_id(identifier: str) -> None:
    require(
        isinstance(identifier, str) and 0 < len(identifier) <= MAX_ID_LENGTH and not _SURROGATE.search(identifier),
        f"an id must be a text of 1 to {MAX_ID_LENGTH} characters, got {identifier!r}",
    )


def _json(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"a generation is stored as JSON: {error}") from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
