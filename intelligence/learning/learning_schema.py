"""The tables of learning.db, version after version."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime

from .generation_rows import GenerationRow, insert
from .rating_rows import Rating, put
from .signal_rows import SIGNALS, note_edits

FIRST = (
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

LEAN = """
    ALTER TABLE generations RENAME TO generations_3;
    ALTER TABLE feedback RENAME TO feedback_3;
    CREATE TABLE parts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        digest BLOB NOT NULL UNIQUE,
        uses INTEGER NOT NULL,
        body BLOB NOT NULL
    );
    CREATE TABLE generations (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        id NOT NULL UNIQUE,
        created_ms INTEGER NOT NULL,
        run_id,
        images INTEGER NOT NULL,
        image_ids TEXT,
        detailed INTEGER,
        data BLOB NOT NULL
    );
    CREATE INDEX generations_by_run ON generations (run_id) WHERE run_id IS NOT NULL;
    CREATE INDEX generations_detailed ON generations (key) WHERE detailed IS NOT NULL;
    CREATE TABLE named_images (
        id TEXT PRIMARY KEY,
        generation INTEGER NOT NULL,
        position INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE ratings (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        generation INTEGER NOT NULL,
        image INTEGER NOT NULL,
        rating INTEGER NOT NULL CHECK (rating BETWEEN 1 AND 5),
        comments TEXT NOT NULL,
        rated_ms INTEGER NOT NULL,
        counts INTEGER NOT NULL DEFAULT 1,
        UNIQUE (generation, image)
    );
    CREATE TABLE rating_history (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        generation INTEGER NOT NULL,
        image INTEGER NOT NULL,
        rating INTEGER NOT NULL CHECK (rating BETWEEN 0 AND 5),
        comments TEXT NOT NULL,
        rated_ms INTEGER NOT NULL
    );
    CREATE INDEX history_by_generation ON rating_history (generation);
    CREATE TABLE options (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
"""`ratings.image`: place in the generation, −1: all of its images. `ratings.counts`: 0 where it was reset.
`rating_history.rating`: 0 where one was taken back. Ids of 32 hexadecimal digits lie as 16 bytes."""


DETAILS = "CREATE TABLE IF NOT EXISTS details (key INTEGER PRIMARY KEY, body BLOB NOT NULL);"
"""JSON of the newest generations with their reasons; in `generations.data` it lies without them. Made by the first step
that needs it."""


def _move_rows(db: sqlite3.Connection) -> None:
    """Store the generations and ratings of version 3 in the tables of version 4."""
    query = "SELECT id, created_at, run_id, data, loras, concepts, strengths FROM generations_3 ORDER BY rowid"
    positions: dict[str, tuple[int, int]] = {}
    for id_, created_at, run_id, data, *named in db.execute(query).fetchall():
        images = [
            image for (image,) in db.execute("SELECT id FROM images WHERE generation_id = ? ORDER BY position", (id_,))
        ]
        loras, concepts, strengths = map(json.loads, named)
        row = GenerationRow(
            id_, images, json.loads(data), loras, concepts, strengths, run_id, _milliseconds(created_at)
        )
        key = insert(db, row)
        positions |= {id_: (key, -1), **{image: (key, place) for place, image in enumerate(images)}}
    (revision,) = db.execute("SELECT revision FROM decisions").fetchone()
    query = "SELECT target_id, rating, comments, rated_at FROM feedback_3 ORDER BY rated_at, rowid"
    for target, rating, comments, rated_at in db.execute(query).fetchall():
        put(db, Rating(*positions[target], rating, comments, _milliseconds(rated_at)))
    db.execute("UPDATE decisions SET revision = ?", (revision,))
    for table in ("feedback_3", "images", "generations_3"):
        db.execute(f"DROP TABLE {table}")


def _milliseconds(text: str) -> int:
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return 0


def _note_edits(db: sqlite3.Connection) -> None:
    """Store the edits of settings that rated generations show, which counted with their ratings before."""
    query = "SELECT DISTINCT generation FROM ratings JOIN generations ON key = generation WHERE detailed IS NOT NULL"
    for (key,) in db.execute(f"{query} ORDER BY key").fetchall():
        note_edits(db, key)


MIGRATIONS = (*FIRST, (DETAILS + LEAN, _move_rows), (DETAILS + SIGNALS, _note_edits), DETAILS)
