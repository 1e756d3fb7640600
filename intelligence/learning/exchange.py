"""Ratings and acts with their generations as JSON, to be kept elsewhere or taken to another machine."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from ..errors import InvalidInputError
from ..pictures.look import Look
from ..validation import checked
from .generation_rows import WHOLE, GenerationRow, insert, read, stored_id
from .observations import Evidence
from .rating_rows import bump, settle
from .signals import OF_LORAS

EXPORT_SCHEMA, EXPORT_TYPE = 1, "RatingsExport"


class Imported(NamedTuple):
    generations: int
    """Added."""
    ratings: int
    """Added or changed."""
    acts: int = 0
    """Added."""


class _Event(NamedTuple):
    image: int
    rating: int
    comments: str
    rated_ms: int


class _Act(NamedTuple):
    kind: str
    image: int
    subject: str
    offered: str
    slot: int
    propensity: float
    noted_ms: int
    counts: int


def exported(db: sqlite3.Connection) -> dict[str, Any]:
    """Return every rating and act, those that were corrected or taken back too, with its generation."""
    query = "SELECT generation FROM rating_history UNION SELECT generation FROM signals ORDER BY generation"
    keys = [key for (key,) in db.execute(query)]
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
    added = changed = noted = 0
    for number, item in enumerate(data["generations"]):
        try:
            row, events, acts = _read(item)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InvalidInputError(f"generation {number} of the export cannot be read: {error}") from None
        known = db.execute("SELECT key, images FROM generations WHERE id = ?", (stored_id(row.id),)).fetchone()
        key = known[0] if known else insert(db, row, keep_prompt=keep_prompt)
        added += not known
        changed += _add_events(db, key, [one for one in events if one.image < len(row.image_ids)])
        noted += _add_acts(db, key, acts)
    if changed:
        settle(db)
    elif added or noted:
        bump(db)
    return Imported(added, changed, noted)


def _exported(db: sqlite3.Connection, key: int) -> dict[str, Any]:
    stored = read(db, key)
    query = "SELECT image, rating, comments, rated_ms FROM rating_history WHERE generation = ? ORDER BY number"
    ratings = [dict(zip(_Event._fields, row, strict=True)) for row in db.execute(query, (key,)).fetchall()]
    query = f"SELECT {', '.join(_Act._fields)} FROM signals WHERE generation = ? ORDER BY number"
    acts = [_Act(*row) for row in db.execute(query, (key,)).fetchall()]
    told = [{**one._asdict(), "offered": json.loads(one.offered), "counts": bool(one.counts)} for one in acts]
    return {**stored.to_dict(), "ratings": ratings, "acts": told}


def _read(item: Mapping[str, Any]) -> tuple[GenerationRow, list[_Event], list[_Act]]:
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
    acts = [
        _Act(
            Evidence(one["kind"]).value,
            checked("image", one["image"], int, ge=WHOLE, le=len(row.image_ids) - 1),
            str(one["subject"]),
            _offer(one["kind"], one["offered"]),
            checked("slot", one["slot"], int, ge=0),
            checked("propensity", one["propensity"], float, ge=0.0, le=1.0),
            checked("noted_ms", one["noted_ms"], int, ge=0),
            int(one["counts"] is True),
        )
        for one in item.get("acts", ())
    ]
    return row, events, acts


def _offer(kind: str, offered: Any) -> str:
    """Return what was offered as it is stored; raises KeyError or ValueError where no act of this kind has it so."""
    if kind in OF_LORAS:
        offered = {name: float(offered.get(name, 0.0)) for name in ("strength", "confidence", "standing")}
    elif isinstance(offered, dict) and kind == Evidence.SCOUTED:
        looks = [Look(*(checked("look", value, int) for value in look)) for look in offered["looks"]]
        offered = {"looks": looks}
    elif isinstance(offered, list):
        offered = [checked("size", side, int, ge=1) for side in offered]
    elif not isinstance(offered, str | int | float | None):
        raise ValueError(f"nothing of the kind {kind!r} is offered as {type(offered).__name__}")
    return json.dumps(offered)


def _add_acts(db: sqlite3.Connection, key: int, acts: list[_Act]) -> int:
    names, places = ", ".join(_Act._fields), ", ?" * len(_Act._fields)
    query = f"INSERT OR IGNORE INTO signals (generation, {names}) VALUES (?{places})"
    return sum(db.execute(query, (key, *one)).rowcount for one in acts)


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
