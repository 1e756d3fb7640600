"""memory.db: measured peaks over predicted ones on this machine's devices."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from statistics import median

from ..database import Database, recovering

KEPT_MEASUREMENTS = 16
"""Of a device and stage; their median counts."""

FACTOR_BOUNDS = (0.5, 3.0)
"""Factors outside have other causes than the stage's own activations; they are clipped."""

FAILURE_SECONDS = 7 * 24 * 3600
"""Time during which memory that ran out makes plans smaller: another program may have held it."""

MIGRATIONS = (
    """
    CREATE TABLE factors (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        device TEXT NOT NULL,
        stage TEXT NOT NULL,
        factor REAL NOT NULL
    );
    CREATE INDEX factors_by_device ON factors (device, stage, id);
    """,
    """
    ALTER TABLE factors ADD COLUMN until REAL;
    CREATE TABLE failures (device TEXT NOT NULL, until REAL NOT NULL);
    """,
)


@recovering
class Corrections:
    """Measured over predicted memory in the database at `path`; see `Database`."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path, MIGRATIONS, cache=True)

    def add(self, device: str, stage: str, factor: float) -> None:
        """Remember measured over predicted activations of one run. Raises StorageError."""
        with self.database.transaction() as db:
            _insert(db, device, stage, factor)
            db.execute(
                "DELETE FROM factors WHERE device = ?1 AND stage = ?2 AND id NOT IN "
                "(SELECT id FROM factors WHERE device = ?1 AND stage = ?2 ORDER BY id DESC LIMIT ?3)",
                (device, stage, KEPT_MEASUREMENTS),
            )

    def ran_out(self, device: str, stage: str, factor: float) -> None:
        """Remember that a stage ran out of memory: it took at least `factor` of the prediction, whatever was measured
        before, which is forgotten. It counts for a week. Raises StorageError."""
        until = time.time() + FAILURE_SECONDS
        with self.database.transaction() as db:
            db.execute("DELETE FROM factors WHERE device = ? AND stage = ?", (device, stage))
            _insert(db, device, stage, factor, until)
            db.execute("DELETE FROM failures WHERE until < ?", (time.time(),))
            db.execute("INSERT INTO failures VALUES (?, ?)", (device, until))

    def failures(self, device: str) -> int:
        """Count the times that memory ran out on `device` in the last week. Raises StorageError."""
        query = "SELECT count(*) FROM failures WHERE device = ? AND until > ?"
        with self.database.read() as db:
            return int(db.execute(query, (device, time.time())).fetchone()[0])

    def of(self, device: str) -> dict[str, float]:
        """Return stage → median factor of the last 16 runs on `device`. Raises StorageError."""
        query = "SELECT stage, factor FROM factors WHERE device = ? AND (until IS NULL OR until > ?)"
        with self.database.read() as db:
            rows = db.execute(query, (device, time.time())).fetchall()
        stages = {row["stage"] for row in rows}
        return {stage: median(row["factor"] for row in rows if row["stage"] == stage) for stage in sorted(stages)}


def _insert(db: sqlite3.Connection, device: str, stage: str, factor: float, until: float | None = None) -> None:
    low, high = FACTOR_BOUNDS
    db.execute(
        "INSERT INTO factors (device, stage, factor, until) VALUES (?, ?, ?, ?)",
        (device, stage, min(high, max(low, factor)), until),
    )
