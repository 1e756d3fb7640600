"""Rows of generations in an open learning.db."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..config import require
from ..errors import UnknownGenerationError
from ..prompt.analysis import QUALITY_CATEGORIES
from ..records import Record
from .stored_json import SharedParts, pack, shrunk, unpack, without_prompt

DETAILED = 1000
"""Newest generations that keep their reasons; of older ones, the recipe is kept."""

SHRUNK_AT_ONCE = 4
"""Older generations that lose their reasons with each new one."""

WHOLE = -1
"""Place of a rating of all images of a generation."""

MAX_LISTED = 1_000_000
"""Rows of one answer."""

MAX_ID_LENGTH = 200
"""Characters."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_HEX = re.compile("[0-9a-f]{32}")
_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_DEFAULT_IMAGE = re.compile(r"(.+)-(0|[1-9]\d{0,5})", re.DOTALL)


class GenerationRow(NamedTuple):
    """A generation to store."""

    id: str
    image_ids: Sequence[str]
    data: dict[str, Any]
    loras: Sequence[str] = ()
    concepts: Sequence[str] = ()
    strengths: Sequence[float] = ()
    run_id: str = ""
    created_ms: int = 0
    """Milliseconds since 1970, UTC."""


class Place(NamedTuple):
    """A generation, or one of its images."""

    key: int
    image: int = WHOLE


@dataclass(frozen=True)
class StoredGeneration(Record):
    """A generation as it was recorded; an older one without its reasons."""

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
    strengths: tuple[float, ...] = ()
    """Of `loras`, in the same order; empty where they were not recorded."""


class Recorded(NamedTuple):
    """A packed row, unpacked: see `StoredGeneration`."""

    data: dict[str, Any]
    loras: Sequence[str]
    concepts: Sequence[str]
    strengths: Sequence[float]


def insert(db: sqlite3.Connection, row: GenerationRow, *, keep_prompt: bool = True) -> int:
    """Store a generation, its reasons beside it, and delete those of a few old ones. Returns its key.

    Rows of `generations` are whole from the start and `details` is used up again, so that no page stays half empty.
    """
    usual = [f"{row.id}-{place}" for place in range(len(row.image_ids))] == list(row.image_ids)
    values = (
        stored_id(row.id),
        row.created_ms,
        _stored_run(row.run_id),
        len(row.image_ids),
        None if usual else json.dumps(list(row.image_ids)),
        SharedParts(db).put(_lean(row, keep_prompt)),
    )
    query = """INSERT INTO generations (id, created_ms, run_id, images, image_ids, data)
               VALUES (?, ?, ?, ?, ?, ?)"""
    key = db.execute(query, values).lastrowid
    assert key is not None
    if not usual:
        db.executemany(
            "INSERT INTO named_images VALUES (?, ?, ?)",
            [(image_id, key, place) for place, image_id in enumerate(row.image_ids)],
        )
    if keep_prompt:
        _put_details(db, key, row)
    shrink_older(db, key - DETAILED)
    return key


def replace_data(db: sqlite3.Connection, key: int, data: dict[str, Any], *, keep_prompt: bool = True) -> None:
    """Store another JSON of a generation."""
    before = read(db, key)
    row = GenerationRow(
        before.generation_id,
        before.image_ids,
        data,
        before.loras,
        before.concepts,
        before.strengths,
        before.run_id,
        _created(db, key),
    )
    _put_data(db, key, _lean(row, keep_prompt))
    if keep_prompt and db.execute("DELETE FROM details WHERE key = ?", (key,)).rowcount:
        _put_details(db, key, row)


def shrink_older(db: sqlite3.Connection, newest: int, limit: int = SHRUNK_AT_ONCE) -> int:
    """Leave out the reasons of at most `limit` generations up to the key `newest`. Returns how many lost them.

    Those that version 4 stored lie in the rows themselves.
    """
    query = "SELECT key FROM details WHERE key <= ? ORDER BY key LIMIT ?"
    keys = db.execute(query, (newest, limit)).fetchall()
    db.executemany("DELETE FROM details WHERE key = ?", keys)
    query = "SELECT key, data FROM generations WHERE detailed IS NOT NULL AND key <= ? ORDER BY key LIMIT ?"
    rows = db.execute(query, (newest, limit)).fetchall()
    parts = SharedParts(db)
    for key, data in rows:
        _put_data(db, key, shrunk(parts.get(data)))
    return len(keys) + len(rows)


def blank_prompts(db: sqlite3.Connection) -> None:
    """Take the words of prompts out of every stored generation."""
    parts = SharedParts(db)
    for key, data in db.execute("SELECT key, data FROM generations").fetchall():
        _put_data(db, key, without_prompt(parts.get(data)))
    db.execute("DELETE FROM details")


def check_id(identifier: str) -> None:
    """Raise InvalidInputError for what cannot be an id."""
    require(
        isinstance(identifier, str) and 0 < len(identifier) <= MAX_ID_LENGTH and not _SURROGATE.search(identifier),
        f"an id must be a text of 1 to {MAX_ID_LENGTH} characters, got {identifier!r}",
    )


def places(db: sqlite3.Connection, identifier: str) -> list[Place]:
    """Return the generation or image of this id, or the generations of the host's run of this id.

    Raises UnknownGenerationError, or InvalidInputError for what cannot be an id.
    """
    check_id(identifier)
    row = db.execute("SELECT key FROM generations WHERE id = ?", (stored_id(identifier),)).fetchone()
    place = Place(row[0]) if row else image_place(db, identifier)
    if place:
        return [place]
    rows = db.execute(
        "SELECT key FROM generations WHERE run_id = ? ORDER BY key", (_stored_run(identifier),)
    ).fetchall()
    if rows:
        return [Place(row[0]) for row in rows]
    raise UnknownGenerationError(
        f"no generation, image or prompt {identifier!r} was stored on this machine: ids are in the JSON beside saved "
        "images, and listed by `python -m intelligence generations` (in ComfyUI: "
        "GET /intelligent_generation/generations)"
    )


def image_place(db: sqlite3.Connection, image_id: str) -> Place | None:
    """Return the image of this id; None: there is none."""
    if image := _DEFAULT_IMAGE.fullmatch(image_id):
        query = "SELECT key FROM generations WHERE id = ? AND images > ? AND image_ids IS NULL"
        row = db.execute(query, (stored_id(image[1]), int(image[2]))).fetchone()
        if row:
            return Place(row[0], int(image[2]))
    row = db.execute("SELECT generation, position FROM named_images WHERE id = ?", (image_id,)).fetchone()
    return Place(*row) if row else None


def rated_place(db: sqlite3.Connection, place: Place) -> Place:
    """Return the place that a rating is stored under: a generation's only image stands for it."""
    (images,) = db.execute("SELECT images FROM generations WHERE key = ?", (place.key,)).fetchone()
    return Place(place.key, 0) if images == 1 else place


def read(
    db: sqlite3.Connection, key: int, parts: SharedParts | None = None, *, detailed: bool = True
) -> StoredGeneration:
    """Return a stored generation.

    Args:
        parts: of `db`, shared by several reads, whose records then share parts.
        detailed: with its reasons, where they are kept, which takes ten times as long.
    """
    query = """SELECT id, created_ms, run_id, images, image_ids, data, (SELECT body FROM details WHERE key = ?1 AND ?2)
               FROM generations WHERE key = ?1"""
    id_, created_ms, run, images, image_ids, body, details = db.execute(query, (key, detailed)).fetchone()
    generation_id, created_at = shown_id(id_), iso_time(created_ms)
    named = image_names(generation_id, images, image_ids)
    data, loras, concepts, strengths = _recorded(_unpacked(details) or (parts or SharedParts(db)).get(body))
    if data.get("type") == "Generation":
        own = {
            "id": generation_id,
            "image_ids": list(named),
            "run_id": _shown_run(run),
            "created_at": _seconds(created_ms),
        }
        data = {**own, **data}
    return StoredGeneration(
        generation_id, named, data, tuple(loras), tuple(concepts), _shown_run(run), created_at, tuple(strengths)
    )


def bodies(db: sqlite3.Connection, keys: Iterable[int]) -> dict[int, bytes]:
    """Return the packed rows of generations, by their keys."""
    wanted = json.dumps(sorted(set(keys)))
    query = "SELECT key, data FROM generations WHERE key IN (SELECT value FROM json_each(?))"
    return dict(db.execute(query, (wanted,)).fetchall())


def recorded(body: bytes, parts: SharedParts) -> Recorded:
    """Return what a packed row holds. Args: parts: of its database."""
    return _recorded(parts.get(body))


def delete(db: sqlite3.Connection, keys: Iterable[int]) -> int:
    """Delete generations with all that was said of them. Returns how many there were."""
    parts, number = SharedParts(db), 0
    for key in keys:
        row = db.execute("SELECT data FROM generations WHERE key = ?", (key,)).fetchone()
        if row is None:
            continue
        number += 1
        parts.release(row[0])
        for table in ("generations", "details"):
            db.execute(f"DELETE FROM {table} WHERE key = ?", (key,))
        for table in ("named_images", "ratings", "rating_history", "signals"):
            db.execute(f"DELETE FROM {table} WHERE generation = ?", (key,))
    return number


def keys_of_prompt(db: sqlite3.Connection, prompt: str) -> list[int]:
    """Return the generations of a prompt, whose spaces and case do not count."""
    wanted, parts = _plain(prompt), SharedParts(db)
    found = []
    for key, body in db.execute("SELECT key, data FROM generations ORDER BY key").fetchall():
        if _plain(prompt_of(parts.get(body))) == wanted:
            found.append(key)
    return found


def prompt_of(data: dict[str, Any]) -> str:
    """Return the prompt in the JSON of a generation, as the user gave it; empty where there is none."""
    analysis = _inside(data, "plan", "recommendations", "prompt_analysis")
    prompt = analysis.get("prompt", "") if isinstance(analysis, dict) else ""
    return prompt if isinstance(prompt, str) else ""


def image_names(generation_id: str, images: int, image_ids: str | None) -> tuple[str, ...]:
    """Return the ids of a generation's images."""
    return tuple(json.loads(image_ids)) if image_ids else tuple(f"{generation_id}-{place}" for place in range(images))


def stored_id(identifier: str) -> str | bytes:
    return bytes.fromhex(identifier) if _HEX.fullmatch(identifier) else identifier


def shown_id(stored: str | bytes) -> str:
    return stored.hex() if isinstance(stored, bytes) else stored


def iso_time(milliseconds: int) -> str:
    """Return a time as ISO 8601, UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")


_FACTS = "@facts"
"""Field of a stored row: LoRAs, concepts and strengths, where the JSON does not tell them."""


def _lean(row: GenerationRow, keep_prompt: bool) -> dict[str, Any]:
    """Return the JSON of a row without its reasons and without what its columns tell."""
    data = (shrunk if keep_prompt else without_prompt)(row.data)
    return _whole(row, data, row.concepts if keep_prompt else ())


def _whole(row: GenerationRow, data: dict[str, Any], concepts: Sequence[str]) -> dict[str, Any]:
    """Return the JSON of a row without what its columns tell."""
    facts = [list(row.loras), list(concepts), list(row.strengths)]
    if facts != [list(each) for each in _facts_of(data)]:
        data[_FACTS] = facts
    if data.get("type") == "Generation":
        own = {
            "id": row.id,
            "image_ids": list(row.image_ids),
            "run_id": row.run_id,
            "created_at": _seconds(row.created_ms),
        }
        data = {name: value for name, value in data.items() if name not in own or value != own[name]}
    return data


def _recorded(data: dict[str, Any]) -> Recorded:
    facts = data.pop(_FACTS, None)
    return Recorded(data, *(_facts_of(data) if facts is None else facts))


def _facts_of(data: dict[str, Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the LoRAs' ids, the concepts and the strengths that a generation's JSON tells."""
    chosen = _inside(data, "plan", "recommendations", "suggested_loras")
    loras = [lora for lora in chosen if isinstance(lora, dict)] if isinstance(chosen, list) else []
    concepts = _inside(data, "plan", "recommendations", "prompt_analysis", "concepts")
    named = [
        word
        for category, words in (concepts.items() if isinstance(concepts, dict) else ())
        if category not in QUALITY_CATEGORIES
        for word in words
    ]
    ids = [_inside(lora, "lora_metadata", "model_id") for lora in loras]
    return ids, named, [lora.get("suggested_alpha") for lora in loras]


def _inside(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _put_details(db: sqlite3.Connection, key: int, row: GenerationRow) -> None:
    """Store the JSON of a generation with its reasons."""
    db.execute("INSERT INTO details VALUES (?, ?)", (key, pack(_whole(row, dict(row.data), row.concepts))))


def _unpacked(body: bytes | None) -> dict[str, Any]:
    """Return what `_put_details` stored; {} where there is nothing, or it is damaged."""
    with suppress(ValueError):
        return dict(unpack(body)) if body is not None else {}
    return {}


def _put_data(db: sqlite3.Connection, key: int, data: dict[str, Any]) -> None:
    parts = SharedParts(db)
    (before,) = db.execute("SELECT data FROM generations WHERE key = ?", (key,)).fetchone()
    db.execute("UPDATE generations SET data = ?, detailed = NULL WHERE key = ?", (parts.put(data), key))
    parts.release(before)


def _created(db: sqlite3.Connection, key: int) -> int:
    return int(db.execute("SELECT created_ms FROM generations WHERE key = ?", (key,)).fetchone()[0])


def _seconds(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds // 1000, UTC).isoformat(timespec="seconds")


def _stored_run(run_id: str) -> str | bytes | None:
    return bytes.fromhex(run_id.replace("-", "")) if _UUID.fullmatch(run_id) else run_id or None


def _shown_run(stored: str | bytes | None) -> str:
    if not isinstance(stored, bytes):
        return stored or ""
    text = stored.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _plain(prompt: str) -> str:
    return " ".join(prompt.split()).casefold()
