"""Rows of acts beside stars in an open learning.db."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from .generation_rows import WHOLE, Place, bodies, prompt_of, read, recorded
from .observations import Evidence
from .signals import OF_LORAS, PER_PROMPT, WORTH, Signal, edits, is_reroll, made_with
from .stored_json import SharedParts

SIGNALS = """
    CREATE TABLE signals (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        generation INTEGER NOT NULL,
        image INTEGER NOT NULL,
        subject TEXT NOT NULL,
        offered TEXT NOT NULL,
        slot INTEGER NOT NULL,
        propensity REAL NOT NULL,
        noted_ms INTEGER NOT NULL,
        counts INTEGER NOT NULL DEFAULT 1,
        UNIQUE (generation, kind, image, subject)
    );
    CREATE INDEX signals_by_kind ON signals (kind, subject, number);
"""
"""`image`: place in the generation, −1: all of its images. `counts`: 0 where it was taken back."""


COMPARED = 16
"""Newest acts of a kind that are compared with a new one."""


class SignalRow(NamedTuple):
    """An act as it is stored."""

    number: int
    evidence: Evidence
    key: int
    """Of the generation."""
    image: int
    subject: str
    offered: Any
    slot: int
    propensity: float
    noted_ms: int


def put(db: sqlite3.Connection, place: Place, signal: Signal, now_ms: int) -> bool:
    """Store an act, once for one picture. Returns whether it was new."""
    offered = json.dumps(signal.offered)
    row = (signal.evidence, *place, signal.subject, offered, signal.slot, signal.propensity, now_ms)
    query = """INSERT OR IGNORE INTO signals (kind, generation, image, subject, offered, slot, propensity, noted_ms)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
    return db.execute(query, row).rowcount > 0


def acts(db: sqlite3.Connection, key: int, data: dict[str, Any], now_ms: int) -> list[tuple[Place, Signal]]:
    """Return the acts of the user that a new generation shows: edits, and that the one before was tried again."""
    found = [(Place(key), signal) for signal in _kept_edits(db, key, data)]
    query = "SELECT key, created_ms FROM generations WHERE key < ? ORDER BY key DESC LIMIT 1"
    if (before := db.execute(query, (key,)).fetchone()) is not None:
        pause = (now_ms - before[1]) / 1000 - float(data.get("generation_time_seconds") or 0.0)
        if is_reroll(data, read(db, before[0]).data, pause):
            found.append((Place(before[0]), Signal(Evidence.REROLLED)))
    return [one for one in found if not _is_known(db, one[0].key, one[1])]


def note_edits(db: sqlite3.Connection, key: int) -> None:
    """Store what a stored generation tells of edits, at the time when it was made."""
    (made,) = db.execute("SELECT created_ms FROM generations WHERE key = ?", (key,)).fetchone()
    for signal in _kept_edits(db, key, read(db, key).data):
        if not _is_known(db, key, signal):
            put(db, Place(key), signal, made)


def swept(db: sqlite3.Connection, key: int, data: dict[str, Any]) -> list[int]:
    """Return the numbers of the edits of one run that a new generation of it contradicts: several values were tried."""
    query = f"""SELECT recent.* FROM ({_SELECT} ORDER BY number DESC LIMIT ?) AS recent
                JOIN generations ON key = generation
                WHERE key != ? AND run_id = (SELECT run_id FROM generations WHERE key = ?)"""
    prompt, found = prompt_of(data), []
    for row in _rows(db.execute(query, (COMPARED, key, key)).fetchall()):
        if row.evidence is not Evidence.SETTING and row.evidence not in OF_LORAS:
            continue
        (other,) = _recipes(db, [row.key])
        if row.evidence in OF_LORAS and prompt_of(other) != prompt:
            continue
        if made_with(other, row.evidence, row.subject) != made_with(data, row.evidence, row.subject):
            found.append(row.number)
    return found


def forget(db: sqlite3.Connection, numbers: Iterable[int]) -> int:
    """Delete acts that turned out to be none. Returns how many there were."""
    return sum(db.execute("DELETE FROM signals WHERE number = ?", (number,)).rowcount for number in numbers)


def newest(db: sqlite3.Connection) -> list[SignalRow]:
    """Return the acts that count, oldest first: of each kind, so many of the newest."""
    rows: list[SignalRow] = []
    for evidence, worth in WORTH.items():
        query = f"{_SELECT} WHERE kind = ? AND counts = 1 ORDER BY number DESC LIMIT ?"
        rows += _rows(db.execute(query, (evidence, worth.newest)).fetchall())
    return sorted(rows)


def shown(db: sqlite3.Connection, limit: int) -> list[SignalRow]:
    """Return the newest acts that count, newest first."""
    return _rows(db.execute(f"{_SELECT} WHERE counts = 1 ORDER BY number DESC LIMIT ?", (limit,)).fetchall())


def drop(db: sqlite3.Connection, numbers: Iterable[int] | None = None) -> int:
    """Have acts (None: all) count no longer. Returns how many did."""
    if numbers is None:
        return db.execute("UPDATE signals SET counts = 0 WHERE counts = 1").rowcount
    query = "UPDATE signals SET counts = 0 WHERE number = ? AND counts = 1"
    return sum(db.execute(query, (number,)).rowcount for number in numbers if 0 < number < 2**63)


def drop_lora(db: sqlite3.Connection, has_lora: Callable[[int], bool], lora: str) -> int:
    """Have acts that tell of a LoRA count no longer. Returns how many did. Args: has_lora: asks a generation's key."""
    found = _rows(db.execute(f"{_SELECT} WHERE counts = 1").fetchall())
    named = {Evidence.SETTING, *OF_LORAS}
    return drop(
        db, [one.number for one in found if (one.subject == lora if one.evidence in named else has_lora(one.key))]
    )


def rivals(db: sqlite3.Connection, row: SignalRow) -> list[Place]:
    """Return the other generations of the same run, and the other images of the same generation, of which none of this
    kind is known."""
    run, images = db.execute("SELECT run_id, images FROM generations WHERE key = ?", (row.key,)).fetchone()
    found = []
    if run is not None:
        query = """SELECT key FROM generations WHERE run_id = ? AND key != ? AND key NOT IN
                   (SELECT generation FROM signals WHERE kind = ?)"""
        found += [Place(key) for (key,) in db.execute(query, (run, row.key, row.evidence)).fetchall()]
    if row.image != WHOLE:
        query = "SELECT image FROM signals WHERE kind = ? AND generation = ?"
        known = {image for (image,) in db.execute(query, (row.evidence, row.key)).fetchall()}
        found += [Place(row.key, image) for image in range(images) if image not in known]
    return found


def place_in_run(db: sqlite3.Connection, place: Place) -> tuple[int, int]:
    """Return the number of an image in its run, from 0, and how many images the run has."""
    (run,) = db.execute("SELECT run_id FROM generations WHERE key = ?", (place.key,)).fetchone()
    query, value = ("key", place.key) if run is None else ("run_id", run)
    rows = db.execute(f"SELECT key, images FROM generations WHERE {query} = ? ORDER BY key", (value,)).fetchall()
    before = sum(images for key, images in rows if key < place.key)
    return before + max(0, place.image), sum(images for _, images in rows)


def forget_other_picks(db: sqlite3.Connection, place: Place) -> None:
    """Take back what was picked before in the same run: one picture is."""
    query = """DELETE FROM signals WHERE kind = ? AND (generation = ? OR generation IN
               (SELECT key FROM generations WHERE run_id = (SELECT run_id FROM generations WHERE key = ?)))"""
    db.execute(query, (Evidence.PICKED, place.key, place.key))


_SELECT = "SELECT number, kind, generation, image, subject, offered, slot, propensity, noted_ms FROM signals"


def _rows(found: Sequence[Sequence[Any]]) -> list[SignalRow]:
    return [SignalRow._make((row[0], Evidence(row[1]), *row[2:5], json.loads(row[5]), *row[6:])) for row in found]


def _kept_edits(db: sqlite3.Connection, key: int, data: dict[str, Any]) -> list[Signal]:
    """Return the edits that a generation shows, without values that are only tried.

    The first of a run tells, for LoRAs the first of each prompt: others repeat it, or show a sweep; see `swept`.
    """
    found = edits(data)
    if not found:
        return []
    query = """SELECT key FROM generations WHERE key < ?1 AND run_id = (SELECT run_id FROM generations WHERE key = ?1)
               ORDER BY key DESC LIMIT ?2"""
    run = _recipes(db, [one for (one,) in db.execute(query, (key, COMPARED)).fetchall()])
    kept = () if run else _run_before(db, key)
    is_first = prompt_of(data) not in map(prompt_of, run)
    return [one for one in found if (_is_kept(one, data, kept) if one.evidence is Evidence.SETTING else is_first)]


def _run_before(db: sqlite3.Connection, key: int) -> list[dict[str, Any]]:
    """Return what is kept of the generations of the run before: of many, the first and the newest."""
    query = "SELECT key, run_id FROM generations WHERE key < ? ORDER BY key DESC LIMIT 1"
    if (before := db.execute(query, (key,)).fetchone()) is None:
        return []
    keys = [before[0]]
    if before[1] is not None:
        for order, limit in (("DESC", COMPARED), ("ASC", 1)):
            query = f"SELECT key FROM generations WHERE run_id = ? AND key < ? ORDER BY key {order} LIMIT ?"
            keys += [one for (one,) in db.execute(query, (before[1], key, limit)).fetchall()]
    return _recipes(db, keys)


def _is_kept(edit: Signal, data: dict[str, Any], before: Sequence[dict[str, Any]]) -> bool:
    """Tell whether a setting has the value of the run before, which had no other, and was of another prompt.

    Args:
        before: JSON of that run's generations.
    """
    value, prompt = made_with(data, edit.evidence, edit.subject), prompt_of(data)
    others = [prompt_of(one) for one in before]
    values = [made_with(one, edit.evidence, edit.subject) for one in before]
    return any(not other or other != prompt for other in others) and all(other == value for other in values)


def _recipes(db: sqlite3.Connection, keys: Sequence[int]) -> list[dict[str, Any]]:
    """Return the JSON of generations without their reasons."""
    packed, parts = bodies(db, keys), SharedParts(db)
    return [recorded(packed[key], parts).data for key in keys if key in packed]


def _is_known(db: sqlite3.Connection, key: int, signal: Signal) -> bool:
    """Return whether the same act was stored already: for the same prompt, or often enough."""
    query = "SELECT generation, counts FROM signals WHERE kind = ? AND subject = ?"
    about = signal.evidence, signal.subject
    if signal.evidence is Evidence.SETTING:
        rows = db.execute(f"{query} AND offered = ?", (*about, json.dumps(signal.offered))).fetchall()
        value, *values = (made_with(one, *about) for one in _recipes(db, [key, *(other for other, _ in rows)]))
        return values.count(value) >= WORTH[signal.evidence].same
    if signal.evidence not in PER_PROMPT:
        return False
    rows = db.execute(f"{query} ORDER BY number DESC LIMIT {COMPARED}", about).fetchall()
    if sum(counts for _, counts in rows) >= WORTH[signal.evidence].same:
        return True
    prompt = prompt_of(read(db, key).data)
    return bool(prompt) and any(prompt_of(read(db, other).data) == prompt for other, _ in rows)
