"""memory.db: how measured peaks compare with predicted ones on this machine's devices."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from statistics import median
from threading import RLock

from ..database import open_database, storage_errors, transaction

KEPT = 16
"""Measurements of a device and stage; their median is what counts."""

BOUNDS = (0.5, 3.0)
"""No factor outside is believed: from other causes than the stage's own activations."""

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
    CREATE TABLE failures (device TEXT PRIMARY KEY, count INTEGER NOT NULL);
    """,
)


class Corrections:
    """The database at `path`, opened on first use and then kept; safe for threads and processes. Reading what was
    never written makes no file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = RLock()
        self._open: sqlite3.Connection | None = None

    def add(self, device: str, stage: str, factor: float) -> None:
        """Remember measured over predicted activations of one run. Raises StorageError."""
        with self._lock, storage_errors(self.path), transaction(self._connection()) as db:
            _insert(db, device, stage, factor)
            db.execute(
                "DELETE FROM factors WHERE device = ?1 AND stage = ?2 AND id NOT IN "
                "(SELECT id FROM factors WHERE device = ?1 AND stage = ?2 ORDER BY id DESC LIMIT ?3)",
                (device, stage, KEPT),
            )

    def ran_out(self, device: str, stage: str, factor: float) -> None:
        """Remember that a stage ran out of memory: it took at least `factor` of the prediction, whatever was measured
        before, which is forgotten. Raises StorageError."""
        with self._lock, storage_errors(self.path), transaction(self._connection()) as db:
            db.execute("DELETE FROM factors WHERE device = ? AND stage = ?", (device, stage))
            _insert(db, device, stage, factor)
            db.execute(
                "INSERT INTO failures VALUES (?, 1) ON CONFLICT (device) DO UPDATE SET count = count + 1", (device,)
            )

    def failures(self, device: str) -> int:
        """How often memory ran out on `device`. Raises StorageError."""
        with self._lock, storage_errors(self.path):
            if self._open is None and not self.path.exists():
                return 0
            row = self._connection().execute("SELECT count FROM failures WHERE device = ?", (device,)).fetchone()
        return row["count"] if row else 0

    def of(self, device: str) -> dict[str, float]:
        """Stage → median factor of the last 16 runs on `device`. Raises StorageError."""
        with self._lock, storage_errors(self.path):
            if self._open is None and not self.path.exists():
                return {}
            rows = (
                self._connection().execute("SELECT stage, factor FROM factors WHERE device = ?", (device,)).fetchall()
            )
        stages = {row["stage"] for row in rows}
        return {stage: median(row["factor"] for row in rows if row["stage"] == stage) for stage in sorted(stages)}

    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            self._open = open_database(self.path, MIGRATIONS)
        return self._open


def _insert(db: sqlite3.Connection, device: str, stage: str, factor: float) -> None:
    low, high = BOUNDS
    db.execute(
        "INSERT INTO factors (device, stage, factor) VALUES (?, ?, ?)",
        (device, stage, min(high, max(low, factor))),
    )
