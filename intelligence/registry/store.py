"""registry.db: one SQLite file, safe for several threads and processes."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..database import open_database, storage_errors, transaction
from .metadata import ModelMetadata
from .scan import Stamp

MIGRATIONS = (
    """
    CREATE TABLE models (
        model_id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        source TEXT NOT NULL,
        base TEXT NOT NULL,
        tags TEXT NOT NULL,
        words TEXT NOT NULL,
        usable INTEGER NOT NULL,
        present INTEGER NOT NULL,
        root TEXT,
        local_path TEXT NOT NULL,
        size INTEGER NOT NULL DEFAULT 0,
        mtime_ns INTEGER NOT NULL DEFAULT 0,
        sidecars TEXT NOT NULL DEFAULT '',
        edits TEXT NOT NULL DEFAULT '{}',
        record TEXT NOT NULL
    );
    CREATE INDEX models_root ON models (kind, root);
    CREATE TABLE downloads (
        local_path TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        used_at REAL NOT NULL,
        owned INTEGER NOT NULL,
        partial TEXT NOT NULL
    );
    CREATE TABLE state (revision INTEGER NOT NULL);
    INSERT INTO state VALUES (0);
    """,
)
"""The n-th script leads from version n to n + 1. Never changed once released; new ones are appended."""

SORTS = {
    "name": "name COLLATE NOCASE, model_id",
    "newest": "mtime_ns DESC, model_id",
    "size": "size DESC, model_id",
}


@dataclass(frozen=True)
class KnownFile:
    """What a row remembers of the file that it was read from."""

    root: str | None
    stamp: Stamp
    present: bool
    local_path: str
    problem: str | None


@dataclass(frozen=True)
class DownloadRow:
    """A file that came from a hub."""

    local_path: str
    size: int
    mtime_ns: int
    used_at: float
    owned: bool
    """Whether the registry itself downloaded it; only then may it be freed."""


class RegistryStore:
    """Rows of registry.db. Opened on first use; every method may be called from any thread.

    Every method raises StorageError, naming the file, when the database cannot be opened, read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def revision(self) -> int:
        """The number of finished changes so far."""
        return int(self._rows("SELECT revision FROM state")[0][0])

    def present(self) -> tuple[int, list[ModelMetadata]]:
        """The revision and every present model, sorted by name."""
        with self._transaction("DEFERRED") as db:
            revision = db.execute("SELECT revision FROM state").fetchone()[0]
            rows = db.execute(f"SELECT record FROM models WHERE present = 1 ORDER BY {SORTS['name']}")
            return revision, [ModelMetadata.from_json(text) for (text,) in rows]

    def get(self, model_id: str) -> ModelMetadata | None:
        """The model, present or not."""
        rows = self._rows("SELECT record FROM models WHERE model_id = ?", model_id)
        return ModelMetadata.from_json(rows[0][0]) if rows else None

    def search(
        self, words: Sequence[str], filters: Sequence[tuple[str, str]], tags: Sequence[str], sort: str, limit: int
    ) -> list[ModelMetadata]:
        """Present, usable models whose text holds every word, with these (column, value) and tags.

        `base` matches the base model's name, the architecture or the family.
        """
        where, values = ["present = 1", "usable = 1"], []
        for column, value in filters:
            where.append("base LIKE ? ESCAPE '\\'" if column == "base" else f"{column} = ?")
            values.append(f"%|{_like(value.casefold())}|%" if column == "base" else value)
        for column, texts, edge in (("words", words, ""), ("tags", tags, "|")):
            where += [f"{column} LIKE ? ESCAPE '\\'"] * len(texts)
            values += [f"%{edge}{_like(text.casefold())}{edge}%" for text in texts]
        sql = f"SELECT record FROM models WHERE {' AND '.join(where)} ORDER BY {SORTS[sort]} LIMIT ?"
        return [ModelMetadata.from_json(text) for (text,) in self._rows(sql, *values, limit)]

    def known_files(self) -> dict[str, KnownFile]:
        """Every row's file, by model id."""
        sql = """SELECT model_id, root, size, mtime_ns, sidecars, present, local_path,
                 CASE usable WHEN 0 THEN json_extract(record, '$.problem') END FROM models"""
        return {
            model_id: KnownFile(root, (size, mtime, sidecars), bool(present), local_path, problem)
            for model_id, root, size, mtime, sidecars, present, local_path, problem in self._rows(sql)
        }

    def put(self, record: ModelMetadata) -> None:
        """Add or replace one record as the user gave it; it counts as present."""
        with self._transaction() as db:
            _upsert(db, record)
            _bump(db)

    def edit(self, record: ModelMetadata, edits: dict[str, Any]) -> None:
        """Replace `record` and remember `edits`, which later scans of the file keep."""
        with self._transaction() as db:
            (old,) = db.execute("SELECT edits FROM models WHERE model_id = ?", (record.model_id,)).fetchone()
            _upsert(db, record)
            text = json.dumps({**json.loads(old), **edits})
            db.execute("UPDATE models SET edits = ? WHERE model_id = ?", (text, record.model_id))
            _bump(db)

    def delete(self, model_id: str) -> bool:
        """Forget one model. False: there was none."""
        with self._transaction() as db:
            found = db.execute("DELETE FROM models WHERE model_id = ?", (model_id,)).rowcount > 0
            if found:
                _bump(db)
        return found

    def apply_scan(
        self,
        read: Iterable[tuple[ModelMetadata, str | None, Stamp]],
        back: Iterable[str],
        gone: Iterable[str],
    ) -> None:
        """What a scan found, in one transaction.

        Args:
            read: (record, root, stamp) of files that were read; root None: outside all scanned folders.
            back: ids of unchanged files that had been marked absent.
            gone: ids of files that are no longer there; their rows stay, marked absent.
        """
        with self._transaction() as db:
            changes = 0
            for record, root, stamp in read:
                row = db.execute("SELECT edits FROM models WHERE model_id = ?", (record.model_id,)).fetchone()
                edits = json.loads(row[0]) if row else {}
                if edits:
                    record = ModelMetadata.from_dict({**record.to_dict(), **edits})
                _upsert(db, record, root, stamp)
                changes += 1
            for present, ids in ((1, back), (0, gone)):
                for model_id in ids:
                    db.execute("UPDATE models SET present = ? WHERE model_id = ?", (present, model_id))
                    changes += 1
            if changes:
                _bump(db)

    def hub_partials(self) -> dict[str, ModelMetadata]:
        """Path → what a hub said of the file there."""
        rows = self._rows("SELECT local_path, partial FROM downloads")
        return {path: ModelMetadata.from_json(partial) for path, partial in rows}

    def put_download(self, row: DownloadRow, partial: ModelMetadata) -> None:
        """Remember that a file came from a hub; what was once downloaded stays the registry's own."""
        with self._transaction() as db:
            db.execute(
                """INSERT INTO downloads (local_path, size, mtime_ns, used_at, owned, partial) VALUES (?, ?, ?, ?, ?, ?)
                   ON CONFLICT (local_path) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns,
                   used_at = excluded.used_at, owned = max(owned, excluded.owned), partial = excluded.partial""",
                (row.local_path, row.size, row.mtime_ns, row.used_at, row.owned, partial.to_json()),
            )

    def downloads(self) -> list[DownloadRow]:
        """Files from hubs, the most recently used first."""
        sql = "SELECT local_path, size, mtime_ns, used_at, owned FROM downloads ORDER BY used_at DESC, local_path"
        return [DownloadRow(path, size, mtime, used, bool(owned)) for path, size, mtime, used, owned in self._rows(sql)]

    def touch_download(self, local_path: str, used_at: float) -> None:
        """Note that a downloaded file was used."""
        with self._transaction() as db:
            db.execute("UPDATE downloads SET used_at = ? WHERE local_path = ?", (used_at, local_path))

    def forget_download(self, local_path: str) -> None:
        """A downloaded file was freed: its models are absent from now on."""
        with self._transaction() as db:
            db.execute("DELETE FROM downloads WHERE local_path = ?", (local_path,))
            db.execute("UPDATE models SET present = 0 WHERE local_path = ?", (local_path,))
            _bump(db)

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        with storage_errors(self.path), self._lock:
            return self._open().execute(sql, values).fetchall()

    @contextmanager
    def _transaction(self, mode: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        with storage_errors(self.path), self._lock, transaction(self._open(), mode) as db:
            yield db

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_database(self.path, MIGRATIONS)
        return self._connection


def _bump(db: sqlite3.Connection) -> None:
    db.execute("UPDATE state SET revision = revision + 1")


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _upsert(db: sqlite3.Connection, record: ModelMetadata, root: str | None = None, stamp: Stamp | None = None) -> None:
    """Without a stamp (a record that the user gave) what is known of the file stays as it was."""
    words = (
        record.model_id.partition(":")[2],
        record.title,
        record.base_model or "",
        record.creator or "",
        *(word for item in record.trigger_sets for word in item.words),
        *record.tags,
        record.description[:2000],
    )
    row: dict[str, Any] = {
        "model_id": record.model_id,
        "kind": record.kind,
        "name": record.name,
        "source": record.source,
        "base": f"|{record.base_model or ''}|{record.architecture}|{record.family}|".casefold(),
        "tags": f"|{'|'.join(record.tags)}|".casefold(),
        "words": "\n".join(words).casefold(),
        "usable": record.problem is None,
        "present": True,
        "local_path": record.local_path,
        "record": record.to_json(),
    }
    if stamp is not None:
        row |= {"root": root, "size": stamp[0], "mtime_ns": stamp[1], "sidecars": stamp[2]}
    updates = ", ".join(f"{column} = excluded.{column}" for column in row if column != "model_id")
    db.execute(
        f"INSERT INTO models ({', '.join(row)}) VALUES ({', '.join('?' * len(row))}) "
        f"ON CONFLICT (model_id) DO UPDATE SET {updates}",
        tuple(row.values()),
    )
