"""registry.db: one SQLite file, safe for several threads and processes."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ..database import Database
from ..models.metadata import ModelMetadata, ModelSummary
from .describe import DESCRIBE_VERSION
from .model_rows import COLUMNS, SUMMARY_COLUMNS, ModelRow, dump, fields_from_json, load, row_of, summary_of
from .schema import MIGRATIONS
from .walk import Stamp

SORTS = {
    "name": "name COLLATE NOCASE, model_id",
    "newest": "mtime_ns DESC, model_id",
    "size": "size DESC, model_id",
}

_UNHASHED = "present = 1 AND problem IS NULL AND local_path != '' AND mtime_ns != 0 AND sha256 IS NULL"
_ASCII_WORD = re.compile(r"[0-9a-z]+")


class KnownFile(NamedTuple):
    """The file that a row was read from, as it was then."""

    root: str | None
    stamp: Stamp
    present: bool
    local_path: str
    problem: str | None
    described_by: int
    digest: str | None


class ScannedFile(NamedTuple):
    """A file that a scan has read."""

    model_id: str
    row: ModelRow
    root: str | None
    """None: outside all scanned folders."""
    stamp: Stamp
    moved_from: str | None = None
    """Id of the row whose file this was before it was moved; its history becomes that of this one."""


class UnhashedFile(NamedTuple):
    """A usable file without a known SHA-256."""

    model_id: str
    kind: str
    local_path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class DownloadedFile:
    """A file that came from a hub."""

    local_path: str
    size: int
    mtime_ns: int
    used_at: float
    owned: bool
    """True where the registry itself downloaded it; only then may it be deleted."""


class ModelStore:
    """Rows of registry.db at `path`; see `Database`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = Database(path, MIGRATIONS)

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self._database.close()

    def revision(self) -> int:
        return int(self._rows("SELECT revision FROM state")[0][0])

    def summaries(self) -> tuple[int, list[ModelSummary]]:
        """Return the revision and every present model, sorted by name."""
        with self._database.read(create=True) as db:
            revision = db.execute("SELECT revision FROM state").fetchone()[0]
            sql = f"SELECT {', '.join(SUMMARY_COLUMNS)} FROM models WHERE present = 1 ORDER BY {SORTS['name']}"
            return revision, [summary_of(row) for row in db.execute(sql)]

    def get(self, model_id: str) -> ModelMetadata | None:
        """Return the model, present or not."""
        return self.get_all([model_id]).get(model_id)

    def get_all(self, model_ids: Sequence[str]) -> dict[str, ModelMetadata]:
        """Return id → model, present or not; unknown ids are left out."""
        sql = """SELECT model_id, record FROM details JOIN models USING (id)
                 WHERE model_id IN (SELECT value FROM json_each(?))"""
        return {model_id: load(record) for model_id, record in self._rows(sql, json.dumps(model_ids))}

    def moved_to(self, previous_id: str) -> str | None:
        """Return the id of the model that once had this one."""
        rows = self._rows("SELECT model_id FROM moves WHERE previous_id = ?", previous_id)
        return rows[0][0] if rows else None

    def moves(self) -> dict[str, str]:
        return dict(self._rows("SELECT previous_id, model_id FROM moves"))

    def search(
        self, words: Sequence[str], filters: Sequence[tuple[str, str]], tags: Sequence[str], sort: str, limit: int
    ) -> list[ModelMetadata]:
        """Return the present, usable models with these (column, value) and tags, whose text holds every word.

        Letters and digits must begin a word of the text; other characters may stand anywhere in it.
        `base` matches the base model's name, the architecture or the family.
        """
        where, values = ["present = 1", "problem IS NULL"], []
        for column, value in filters:
            if column == "base":
                where.append("? IN (lower(base_model), architecture, family)")
                values.append(value.lower())
            else:
                where.append(f"{column} = ?")
                values.append(value)
        folded = [word.casefold() for word in words]
        begun = [f'"{part}"*' for word in folded if word.isascii() for part in _ASCII_WORD.findall(word)]
        if begun:
            where.append("id IN (SELECT rowid FROM word_index WHERE word_index MATCH ?)")
            values.append(" ".join(begun))
        held = [f"%{_like(word)}%" for word in folded if not _ASCII_WORD.fullmatch(word)]
        tagged = [f"%|{_like(tag.casefold())}|%" for tag in tags]
        if held or tagged:
            inner = ["words LIKE ? ESCAPE '\\'"] * len(held) + ["tags LIKE ? ESCAPE '\\'"] * len(tagged)
            where.append(f"EXISTS (SELECT 1 FROM texts WHERE texts.id = models.id AND {' AND '.join(inner)})")
            values += [*held, *tagged]
        sql = f"""SELECT record FROM details JOIN
                  (SELECT id AS found, row_number() OVER (ORDER BY {SORTS[sort]}) AS place FROM models
                   WHERE {" AND ".join(where)} ORDER BY place LIMIT ?) ON id = found ORDER BY place"""
        return [load(text) for (text,) in self._rows(sql, *values, limit)]

    def known_files(self) -> dict[str, KnownFile]:
        """Return model id → its file, present or not."""
        sql = """SELECT model_id, root, size, mtime_ns, sidecars, present, local_path, problem, described_by, digest
                 FROM models"""
        return {
            model_id: KnownFile(root, (size, mtime, sidecars), bool(present), *others)
            for model_id, root, size, mtime, sidecars, present, *others in self._rows(sql)
        }

    def counts(self) -> list[tuple[str, bool, bool, int]]:
        """Return tuples (kind, present, usable, number of models)."""
        sql = "SELECT kind, present, problem IS NULL AS usable, count(*) FROM models GROUP BY kind, present, usable"
        return [(kind, bool(present), bool(usable), number) for kind, present, usable, number in self._rows(sql)]

    def problems(self) -> dict[str, str]:
        sql = "SELECT local_path, problem FROM models WHERE present = 1 AND problem IS NOT NULL ORDER BY id"
        return reasons_by_path(self._rows(sql))

    def put(self, record: ModelMetadata) -> None:
        """Add or replace one record as the user gave it; it counts as present."""
        with self._database.transaction() as db:
            _upsert(db, row_of(record))
            _bump(db)

    def edit(self, record: ModelMetadata, edits: dict[str, Any]) -> None:
        """Replace `record` and store `edits`, which later scans of the file keep."""
        with self._database.transaction() as db:
            row = _upsert(db, row_of(record))
            (old,) = db.execute("SELECT edits FROM details WHERE id = ?", (row,)).fetchone()
            text = json.dumps({**json.loads(old), **edits})
            db.execute("UPDATE details SET edits = ? WHERE id = ?", (text, row))
            _bump(db)

    def delete(self, model_id: str) -> bool:
        with self._database.transaction() as db:
            found = db.execute("DELETE FROM models WHERE model_id = ?", (model_id,)).rowcount > 0
            if found:
                db.execute("DELETE FROM moves WHERE model_id = ?", (model_id,))
                _bump(db)
        return found

    def apply_scan(self, read: Sequence[ScannedFile], back: Iterable[str] = (), gone: Iterable[str] = ()) -> None:
        """Store the result of a scan, in one transaction.

        Args:
            read: files that were read.
            back: ids of unchanged files that had been marked absent.
            gone: ids of files that are no longer there; their rows stay, marked absent.
        """
        marks = [(1, model_id) for model_id in back] + [(0, model_id) for model_id in gone]
        if not read and not marks:
            return
        with self._database.transaction() as db:
            for file in read:
                if file.moved_from:
                    _move(db, file)
                _upsert(db, _with_history(db, file), file)
            db.executemany("UPDATE models SET present = ? WHERE model_id = ?", marks)
            _bump(db)

    def unhashed(self) -> list[UnhashedFile]:
        """Return the present files without a known hash, the small ones first."""
        sql = f"SELECT model_id, kind, local_path, size, mtime_ns FROM models WHERE {_UNHASHED} ORDER BY size, model_id"
        return [UnhashedFile(*row) for row in self._rows(sql)]

    def count_unhashed(self) -> int:
        return int(self._rows(f"SELECT count(*) FROM models WHERE {_UNHASHED}")[0][0])

    def put_hash(self, file: UnhashedFile, sha256: str, autov3: str) -> None:
        """Store the hashes of a file, unless it has changed since. The revision stays: no choice depends on hashes."""
        with self._database.transaction() as db:
            row = db.execute(
                """SELECT id, record FROM models JOIN details USING (id)
                   WHERE model_id = ? AND size = ? AND mtime_ns = ?""",
                (file.model_id, file.size, file.mtime_ns),
            ).fetchone()
            if row:
                record = _hashed(load(row[1]), sha256, autov3)
                values = (row[0], file.size, file.mtime_ns, sha256, autov3, record.digest)
                db.execute(
                    """INSERT OR REPLACE INTO hashes (id, size, mtime_ns, sha256, autov3, digest)
                       VALUES (?, ?, ?, ?, ?, ?)""",
                    values,
                )
                db.execute("UPDATE details SET record = ? WHERE id = ?", (dump(record), row[0]))
                db.execute("UPDATE models SET sha256 = ? WHERE id = ?", (sha256, row[0]))

    def hub_facts(self, sizes: Mapping[str, int]) -> dict[str, ModelMetadata]:
        """Return path → a hub's facts about the file there, where it has the size in `sizes`."""
        sql = """SELECT local_path, size, partial FROM downloads
                 WHERE local_path IN (SELECT value FROM json_each(?))"""
        rows = self._rows(sql, json.dumps(list(sizes)))
        return {path: load(partial) for path, size, partial in rows if sizes[path] == size}

    def put_download(self, row: DownloadedFile, facts: ModelMetadata) -> None:
        """Store that a file came from a hub; a file that was downloaded once stays owned."""
        with self._database.transaction() as db:
            db.execute(
                """INSERT INTO downloads (local_path, size, mtime_ns, used_at, owned, partial) VALUES (?, ?, ?, ?, ?, ?)
                   ON CONFLICT (local_path) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns,
                   used_at = excluded.used_at, owned = max(owned, excluded.owned), partial = excluded.partial""",
                (row.local_path, row.size, row.mtime_ns, row.used_at, row.owned, facts.to_json()),
            )

    def put_facts(self, record: ModelMetadata, facts: ModelMetadata) -> None:
        """Store a record to which a hub's `facts` were added, and the facts, for when its file is read again."""
        with self._database.transaction() as db:
            db.execute(
                """INSERT INTO downloads (local_path, size, mtime_ns, used_at, owned, partial)
                   SELECT local_path, size, mtime_ns, 0, 0, ? FROM models WHERE model_id = ? AND local_path != ''
                   ON CONFLICT (local_path) DO UPDATE SET size = excluded.size, partial = excluded.partial""",
                (facts.to_json(), record.model_id),
            )
            _upsert(db, row_of(record))
            _bump(db)

    def unknown_hashes(self, since: float) -> set[str]:
        """Return the hashes that the hub did not know when asked at `since` or later."""
        return {text for (text,) in self._rows("SELECT hash FROM unknown_hashes WHERE asked_at >= ?", since)}

    def put_unknown_hashes(self, hashes: Iterable[str], asked_at: float) -> None:
        with self._database.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO unknown_hashes VALUES (?, ?)", [(h, asked_at) for h in hashes])

    def downloads(self) -> list[DownloadedFile]:
        sql = "SELECT local_path, size, mtime_ns, used_at, owned FROM downloads ORDER BY used_at DESC, local_path"
        return [
            DownloadedFile(path, size, mtime, used, bool(owned)) for path, size, mtime, used, owned in self._rows(sql)
        ]

    def touch_download(self, local_path: str, used_at: float) -> None:
        with self._database.transaction() as db:
            db.execute("UPDATE downloads SET used_at = ? WHERE local_path = ?", (used_at, local_path))

    def forget_download(self, local_path: str) -> None:
        """Store that a downloaded file was removed, and its models are absent."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM downloads WHERE local_path = ?", (local_path,))
            db.execute("UPDATE models SET present = 0 WHERE local_path = ?", (local_path,))
            _bump(db)

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        with self._database.read(create=True) as db:
            return db.execute(sql, values).fetchall()


def reasons_by_path(problems: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return path → reason: the problem of a file without the file's name, which the path says already."""
    return {path: problem.removeprefix(f"{Path(path).name}: ") for path, problem in problems}


def _bump(db: sqlite3.Connection) -> None:
    db.execute("UPDATE state SET revision = revision + 1")


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _move(db: sqlite3.Connection, file: ScannedFile) -> None:
    """Give the row of a moved file its new id, and store the old one, in the row's edits too."""
    new, old = file.model_id, file.moved_from
    found = db.execute(
        "SELECT id, edits, local_path FROM models JOIN details USING (id) WHERE model_id = ? AND present = 0", (old,)
    ).fetchone()
    if found is None:  # another process has seen the move, or the file is back
        return
    row, text, path = found
    edits = json.loads(text)
    listed = db.execute("SELECT id, edits FROM models JOIN details USING (id) WHERE model_id = ?", (new,)).fetchone()
    if listed is not None:  # another process took it for a new file
        edits |= json.loads(listed[1])
        db.execute("DELETE FROM models WHERE id = ?", (listed[0],))
    edits["previous_ids"] = [item for item in edits.get("previous_ids", []) if item not in (new, old)] + [old]
    db.execute("UPDATE models SET model_id = ? WHERE id = ?", (new, row))
    db.execute("UPDATE details SET edits = ? WHERE id = ?", (json.dumps(edits), row))
    db.execute("UPDATE hashes SET mtime_ns = ? WHERE id = ?", (file.stamp[1], row))
    db.execute("DELETE FROM moves WHERE previous_id = ?", (new,))
    db.execute("UPDATE moves SET model_id = ? WHERE model_id = ?", (new, old))
    db.execute("INSERT OR REPLACE INTO moves VALUES (?, ?)", (old, new))
    db.execute(
        "UPDATE OR REPLACE downloads SET local_path = ?, owned = 0 WHERE local_path = ?", (file.row.local_path, path)
    )


def _with_history(db: sqlite3.Connection, file: ScannedFile) -> ModelRow:
    """Return the row of a file that was read, with its computed hashes and the user's changes."""
    row = db.execute(
        """SELECT edits, hashes.size, hashes.mtime_ns, hashes.sha256, hashes.autov3, hashes.digest
           FROM models JOIN details USING (id) LEFT JOIN hashes USING (id) WHERE model_id = ?""",
        (file.model_id,),
    ).fetchone()
    if row is None:
        return file.row
    edits, size, mtime, sha256, autov3, digest = row
    record = load(file.row.record)
    if size == file.stamp[0] and (mtime == file.stamp[1] or (digest and digest == record.digest)):
        record = _hashed(record, sha256, autov3)
    return row_of(replace(record, **fields_from_json(json.loads(edits))))


def _hashed(record: ModelMetadata, sha256: str, autov3: str | None) -> ModelMetadata:
    return replace(record, sha256=sha256, autov2=sha256[:10], autov3=autov3 or record.autov3)


def _upsert(db: sqlite3.Connection, record: ModelRow, file: ScannedFile | None = None) -> int:
    """Store a row, and return its id. Without `file` (the user's own record) the columns of the file stay."""
    row: dict[str, Any] = {
        **dict(zip(COLUMNS, record.columns, strict=True)),
        "present": True,
        "mark": secrets.randbits(63),
    }
    if file is not None:
        size, mtime, sidecars = file.stamp
        row |= {
            "described_by": DESCRIBE_VERSION,
            "root": file.root,
            "size": size,
            "mtime_ns": mtime,
            "sidecars": sidecars,
        }
    settings = ", ".join(f"{name} = excluded.{name}" for name in row)
    db.execute(
        f"""INSERT INTO models ({", ".join(row)}) VALUES ({", ".join("?" * len(row))})
            ON CONFLICT (model_id) DO UPDATE SET {settings}""",
        tuple(row.values()),
    )
    (number,) = db.execute("SELECT id FROM models WHERE model_id = ?", (row["model_id"],)).fetchone()
    db.execute(
        """INSERT INTO details (id, record) VALUES (?, ?)
           ON CONFLICT (id) DO UPDATE SET record = excluded.record""",
        (number, record.record),
    )
    db.execute(
        """INSERT INTO texts (id, tags, words) VALUES (?, ?, ?)
           ON CONFLICT (id) DO UPDATE SET tags = excluded.tags, words = excluded.words""",
        (number, record.tags, record.words),
    )
    return int(number)
