"""Rows of ratings, and of what was rated before, in an open learning.db."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..records import Record
from .generation_rows import WHOLE, Place, image_names, iso_time, shown_id


class Rating(NamedTuple):
    """A rating as it is stored."""

    key: int
    image: int
    """Place in the generation; −1: all of its images."""
    rating: int
    comments: str
    rated_ms: int


@dataclass(frozen=True)
class Feedback(Record):
    """Rating of an image, or of a generation of several images."""

    target_id: str
    """Id of the image or generation."""
    generation_id: str
    rating: int
    """1 … 5 stars; in a history 0: taken back."""
    comments: str = ""
    rated_at: str = ""
    """ISO 8601, UTC."""


class RatedPlace(NamedTuple):
    """A rated image, or a generation that was rated as a whole."""

    key: int
    image: int
    """Place in the generation; −1: the images without a rating of their own."""
    rating: int
    images: int
    """Images that have this rating."""
    weight: float
    """Of each of them: all images of a generation weigh as much as one that was rated for itself."""
    body: bytes
    """Packed row of the generation."""


def put(db: sqlite3.Connection, new: Rating) -> bool:
    """Store a rating in the place of an earlier one. Returns whether that changes anything."""
    query = "SELECT rating, comments FROM ratings WHERE generation = ? AND image = ?"
    old = db.execute(query, (new.key, new.image)).fetchone()
    if old is not None and tuple(old) == (new.rating, new.comments):
        return False
    db.execute(
        "INSERT INTO ratings (generation, image, rating, comments, rated_ms) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (generation, image) DO UPDATE SET rating = excluded.rating, comments = excluded.comments, "
        "rated_ms = excluded.rated_ms, counts = 1",
        new,
    )
    _remember(db, new)
    if old is None or old[0] != new.rating:
        bump(db)
    return True


def remove(db: sqlite3.Connection, place: Place, now_ms: int) -> bool:
    """Take a rating back. Returns whether there was one."""
    found = db.execute("DELETE FROM ratings WHERE generation = ? AND image = ?", place).rowcount > 0
    if found:
        _remember(db, Rating(*place, 0, "", now_ms))
        bump(db)
    return found


def feedback(db: sqlite3.Connection, place: Place) -> list[Feedback]:
    """Return the rating of an image, or that of a generation followed by those of its images."""
    query = "SELECT * FROM ratings WHERE generation = ? AND (? = -1 OR image = ?) ORDER BY image"
    return _shown(db, db.execute(query, (place.key, place.image, place.image)).fetchall())


def history(db: sqlite3.Connection, place: Place) -> list[Feedback]:
    """Return every rating that an image or generation was given, and each taking back, oldest first."""
    query = "SELECT * FROM rating_history WHERE generation = ? AND (? = -1 OR image IN (?, -1)) ORDER BY number"
    return _shown(db, db.execute(query, (place.key, place.image, place.image)).fetchall())


def newest_rated(db: sqlite3.Connection, limit: int | None = None) -> list[RatedPlace]:
    """Return the ratings that count, by when their image was first rated, oldest first; the newest `limit` of them."""
    query = """
        SELECT generation, image, rating, images, data,
               CASE image WHEN -1 THEN
                   (SELECT count(*) FROM ratings AS own WHERE own.generation = ratings.generation AND own.image >= 0)
               END
        FROM ratings CROSS JOIN generations ON key = generation WHERE counts = 1 ORDER BY number DESC LIMIT ?
    """
    rows = db.execute(query, (-1 if limit is None else limit,)).fetchall()
    return [
        RatedPlace(key, image, rating, 1 if own is None else total - own, 1.0 if own is None else 1 / total, body)
        for key, image, rating, total, body, own in reversed(rows)
        if own is None or own < total
    ]


def by_stars(db: sqlite3.Connection) -> list[int]:
    """Return how many ratings there are of 1, 2, 3, 4 and 5 stars."""
    found = dict(db.execute("SELECT rating, count(*) FROM ratings GROUP BY rating").fetchall())
    return [found.get(stars, 0) for stars in range(1, 6)]


def by_month(db: sqlite3.Connection) -> list[tuple[str, int, float]]:
    """Return (month, number, mean of the stars) of the ratings, oldest first."""
    query = """SELECT strftime('%Y-%m', rated_ms / 1000, 'unixepoch') AS month, count(*), avg(rating)
               FROM ratings GROUP BY month ORDER BY month"""
    return [(month, number, round(mean, 2)) for month, number, mean in db.execute(query).fetchall()]


def reset(db: sqlite3.Connection, places: Iterable[Place] | None = None) -> int:
    """Have ratings (None: all) count no longer; they stay stored. Returns how many."""
    if places is None:
        number = db.execute("UPDATE ratings SET counts = 0 WHERE counts = 1").rowcount
    else:
        query = "UPDATE ratings SET counts = 0 WHERE generation = ? AND image = ? AND counts = 1"
        number = sum(db.execute(query, place).rowcount for place in places)
    if number:
        bump(db)
    return number


def settle(db: sqlite3.Connection) -> None:
    """Make ratings that came back from a damaged file and an older backup those that their history names last."""
    last = "(SELECT max(number) FROM rating_history GROUP BY generation, image)"
    taken_back = f"SELECT generation, image FROM rating_history WHERE rating = 0 AND number IN {last}"
    db.execute(f"DELETE FROM ratings WHERE (generation, image) IN ({taken_back})")
    db.execute(
        f"""INSERT INTO ratings (generation, image, rating, comments, rated_ms)
            SELECT generation, image, rating, comments, rated_ms FROM rating_history
            WHERE rating > 0 AND number IN {last} AND generation IN (SELECT key FROM generations) ORDER BY number
            ON CONFLICT (generation, image) DO UPDATE SET rating = excluded.rating, comments = excluded.comments,
            rated_ms = excluded.rated_ms"""
    )
    for table in ("ratings", "signals"):
        db.execute(f"DELETE FROM {table} WHERE generation NOT IN (SELECT key FROM generations)")
    db.execute("DELETE FROM details WHERE key NOT IN (SELECT key FROM generations)")
    db.execute("INSERT INTO decisions SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM decisions)")
    db.execute("DELETE FROM decisions WHERE rowid > (SELECT min(rowid) FROM decisions)")
    bump(db)


def bump(db: sqlite3.Connection) -> None:
    """Say that what is learned may have changed."""
    db.execute("UPDATE decisions SET revision = revision + 1")


def _remember(db: sqlite3.Connection, rating: Rating) -> None:
    db.execute(
        "INSERT INTO rating_history (generation, image, rating, comments, rated_ms) VALUES (?, ?, ?, ?, ?)", rating
    )


def _shown(db: sqlite3.Connection, rows: Sequence[sqlite3.Row]) -> list[Feedback]:
    found = []
    for row in rows:
        generation_id, names = _names(db, row["generation"])
        target = generation_id if row["image"] == WHOLE else names[row["image"]]
        found.append(Feedback(target, generation_id, row["rating"], row["comments"], iso_time(row["rated_ms"])))
    return found


def _names(db: sqlite3.Connection, key: int) -> tuple[str, Sequence[Any]]:
    row = db.execute("SELECT id, images, image_ids FROM generations WHERE key = ?", (key,)).fetchone()
    generation_id = shown_id(row["id"])
    return generation_id, image_names(generation_id, row["images"], row["image_ids"])
