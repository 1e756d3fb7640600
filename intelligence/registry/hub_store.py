"""Files that came from hubs, and what hubs know of files, in registry.db."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..database import Database, recovering
from ..models.metadata import ModelMetadata
from .model_rows import sound
from .row_writes import bump, put_plain, row_edits


@dataclass(frozen=True)
class DownloadedFile:
    """A file that came from a hub."""

    local_path: str
    size: int
    mtime_ns: int
    used_at: float
    owned: bool
    """True where the registry itself downloaded it; only then may it be deleted."""


@recovering
class HubStore:
    """Rows of `downloads` and `unknown_hashes` in a registry's database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def hub_facts(self, sizes: Mapping[str, int]) -> dict[str, ModelMetadata]:
        """Return path → a hub's facts about the file there, where it has the size in `sizes`."""
        sql = """SELECT local_path, size, partial FROM downloads
                 WHERE local_path IN (SELECT value FROM json_each(?))"""
        rows = self._rows(sql, json.dumps(list(sizes)))
        known = ((path, sound(partial)) for path, size, partial in rows if sizes[path] == size)
        return {path: facts for path, facts in known if facts is not None}

    def put_download(self, row: DownloadedFile, facts: ModelMetadata) -> None:
        """Store that a file came from a hub; a file that was downloaded once stays owned."""
        with self.database.transaction() as db:
            db.execute(
                """INSERT INTO downloads (local_path, size, mtime_ns, used_at, owned, partial) VALUES (?, ?, ?, ?, ?, ?)
                   ON CONFLICT (local_path) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns,
                   used_at = excluded.used_at, owned = max(owned, excluded.owned), partial = excluded.partial""",
                (row.local_path, row.size, row.mtime_ns, row.used_at, row.owned, facts.to_json()),
            )

    def put_facts(self, plain: ModelMetadata, facts: ModelMetadata) -> None:
        """Store a record to which a hub's `facts` were added, and the facts, for when its file is read again."""
        with self.database.transaction() as db:
            db.execute(
                """INSERT INTO downloads (local_path, size, mtime_ns, used_at, owned, partial)
                   SELECT local_path, size, mtime_ns, 0, 0, ? FROM models WHERE model_id = ? AND local_path != ''
                   ON CONFLICT (local_path) DO UPDATE SET size = excluded.size, partial = excluded.partial""",
                (facts.to_json(), plain.model_id),
            )
            put_plain(db, plain, row_edits(db, plain.model_id))
            bump(db)

    def unknown_hashes(self, since: float) -> set[str]:
        """Return the hashes that the hub did not know when asked at `since` or later."""
        return {text for (text,) in self._rows("SELECT hash FROM unknown_hashes WHERE asked_at >= ?", since)}

    def put_unknown_hashes(self, hashes: Iterable[str], asked_at: float) -> None:
        with self.database.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO unknown_hashes VALUES (?, ?)", [(h, asked_at) for h in hashes])

    def downloads(self) -> list[DownloadedFile]:
        sql = "SELECT local_path, size, mtime_ns, used_at, owned FROM downloads ORDER BY used_at DESC, local_path"
        return [
            DownloadedFile(path, size, mtime, used, bool(owned)) for path, size, mtime, used, owned in self._rows(sql)
        ]

    def touch_download(self, local_path: str, used_at: float) -> None:
        with self.database.transaction() as db:
            db.execute("UPDATE downloads SET used_at = ? WHERE local_path = ?", (used_at, local_path))

    def forget_download(self, local_path: str) -> None:
        """Store that a downloaded file was removed, and its models are absent."""
        with self.database.transaction() as db:
            db.execute("DELETE FROM downloads WHERE local_path = ?", (local_path,))
            db.execute("UPDATE models SET present = 0 WHERE local_path = ?", (local_path,))
            bump(db)

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        with self.database.read(create=True) as db:
            return db.execute(sql, values).fetchall()
