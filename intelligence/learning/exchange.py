"""Ratings with their generations as JSON, to be kept elsewhere or taken to another machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from ..errors import InvalidInputError
from ..validation import checked
from .generation_rows import WHOLE, GenerationRow, insert, read, stored_id
from .rating_rows import bump, settle

EXPORT_SCHEMA, EXPORT_TYPE = 1, "RatingsExport"


class Imported(NamedTuple):
    generations: int
    """Added."""
    ratings: int
    """Added or changed."""


class _Event(NamedTuple):
    image: int
    rating: int
    comments: str
    rated_ms: int


def exported(db: sqlite3.Connection) -> dict[str, Any]:
    """Return every rating, those that were corrected or taken back too, with its generation."""
    keys = [key for (key,) in db.execute("SELECT DISTINCT generation FROM rating_history ORDER BY generation")]
    return {"schema": EXPORT_SCHEMA, "type": EXPORT_TYPE, "generations": [_exported(db, key) for key in keys]}


def imported(db: sqlite3.Connection, data: Any, *, keep_prompt: bool) -> Imported:
    """Add what an export has and this database lacks; of two ratings of one image, the later counts.

    Raises InvalidInputError where `data` is no export.
    """
    if (
        not isinstance(data, Mapping)
        or data.get("type") != EXPORT_TYPE
        or not isinstance(data.get("generations"), list)
    ):
        raise InvalidInputError(
            "this is no export of ratings (`python -m intelligence learned --export FILE` writes one)"
        )
    if data.get("schema") != EXPORT_SCHEMA:
        raise InvalidInputError(f"this export has schema {data.get('schema')!r}; update Intelligent Generation")
    added = changed = 0
    for number, item in enumerate(data["generations"]):
        try:
            row, events = _read(item)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInputError(f"generation {number} of the export cannot be read: {error}") from None
        known = db.execute("SELECT key, images FROM generations WHERE id = ?", (stored_id(row.id),)).fetchone()
        key = known[0] if known else insert(db, row, keep_prompt=keep_prompt)
        added += not known
        changed += _add_events(db, key, [one for one in events if one.image < len(row.image_ids)])
    if changed:
        settle(db)
    elif added:
        bump(db)
    return Imported(added, changed)


def _exported(db: sqlite3.Connection, key: int) -> dict[str, Any]:
    stored = read(db, key)
    query = "SELECT image, rating, comments, rated_ms FROM rating_history WHERE generation = ? ORDER BY number"
    ratings = [dict(zip(_Event._fields, row, strict=True)) for row in db.execute(query, (key,)).fetchall()]
    return {**stored.to_dict(), "ratings": ratings}


def _read(item: Mapping[str, Any]) -> tuple[GenerationRow, list[_Event]]:
    row = GenerationRow(
        str(item["generation_id"]),
        [str(name) for name in item["image_ids"]],
        dict(item["data"]),
        [str(lora) for lora in item["loras"]],
        [str(word) for word in item["concepts"]],
        [float(strength) for strength in item["strengths"]],
        str(item["run_id"]),
        round(datetime.fromisoformat(item["created_at"]).timestamp() * 1000),
    )
    events = [
        _Event(
            checked("image", one["image"], int, ge=WHOLE),
            checked("rating", one["rating"], int, ge=0, le=5),
            str(one["comments"]),
            checked("rated_ms", one["rated_ms"], int, ge=0),
        )
        for one in item["ratings"]
    ]
    return row, events


def _add_events(db: sqlite3.Connection, key: int, events: list[_Event]) -> int:
    """Add the ratings of images whose last one is later than what is stored. Returns how many images changed."""
    query = "SELECT image, rating, rated_ms FROM rating_history WHERE generation = ?"
    known = {_Event(image, rating, "", time) for image, rating, time in db.execute(query, (key,)).fetchall()}
    stored, given = _last_times(known), _last_times(events)
    late = {image for image, time in given.items() if time > stored.get(image, -1)}
    new = [one for one in events if one.image in late and one._replace(comments="") not in known]
    db.executemany(
        "INSERT INTO rating_history (generation, image, rating, comments, rated_ms) VALUES (?, ?, ?, ?, ?)",
        [(key, *one) for one in new],
    )
    return len({one.image for one in new})


def _last_times(events: Iterable[_Event]) -> dict[int, int]:
    found: dict[int, int] = {}
    for event in events:
        found[event.image] = max(event.rated_ms, found.get(event.image, 0))
    return found
