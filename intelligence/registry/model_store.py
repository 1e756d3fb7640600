"""registry.db: one SQLite file, safe for several threads and processes."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ..database import Database, recovering
from ..errors import StorageError
from ..models.metadata import ModelMetadata, ModelSummary
from .hub_store import HubStore
from .model_rows import SUMMARY_COLUMNS, dump, load, sound, summary_of
from .row_writes import WORD, ScannedFile, Words, bump, edits_of, hashed, put_file, put_plain, row_edits, set_word
from .schema import MIGRATIONS
from .user_corrections import CORRECTIONS_FILE, CorrectionStore, correction_key
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


class UnhashedFile(NamedTuple):
    """A usable file without a known SHA-256."""

    model_id: str
    kind: str
    local_path: str
    size: int
    mtime_ns: int


class Hashes(NamedTuple):
    """SHA-256 of a whole file, and AutoV3: 12 digits of the SHA-256 of its tensors. AutoV2 is `sha256[:10]`."""

    sha256: str
    autov3: str


@recovering
class ModelStore:
    """Rows of registry.db at `path`; see `Database`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.corrections = CorrectionStore(path.with_name(CORRECTIONS_FILE))
        self.database = Database(path, MIGRATIONS, cache=True)
        self.hubs = HubStore(self.database)
        """Files and facts from hubs."""

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self.database.close()
        self.corrections.close()

    def revision(self) -> int:
        with self.database.read(create=True) as db:
            return self._revision(db)

    def summaries(self) -> tuple[int, list[ModelSummary]]:
        """Return the revision and every present model, sorted by name."""
        with self.database.read(create=True) as db:
            revision = self._revision(db)
            sql = f"SELECT {', '.join(SUMMARY_COLUMNS)} FROM models WHERE present = 1 ORDER BY {SORTS['name']}"
            rows = db.execute(sql).fetchall()
        found = [summary for row in rows if (summary := summary_of(row))]
        if len(found) < len(rows):
            self._read_again({row[0] for row in rows} - {summary.model_id for summary in found})
        return revision, found

    def get(self, model_id: str) -> ModelMetadata | None:
        """Return the model, present or not."""
        return self.get_all([model_id]).get(model_id)

    def get_all(self, model_ids: Sequence[str]) -> dict[str, ModelMetadata]:
        """Return id → model, present or not; unknown ids and damaged rows are left out."""
        sql = """SELECT model_id, record FROM details JOIN models USING (id)
                 WHERE model_id IN (SELECT value FROM json_each(?))"""
        rows = self._rows(sql, json.dumps(model_ids))
        found = {model_id: record for model_id, text in rows if (record := sound(text)) is not None}
        if len(found) < len(rows):
            self._read_again({model_id for model_id, _ in rows} - found.keys())
        return found

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

        Of copies of one file only the first is returned.
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
                  (SELECT id AS found, row_number() OVER (ORDER BY {SORTS[sort]}) AS place FROM
                   (SELECT *, row_number() OVER (PARTITION BY COALESCE(digest, model_id) ORDER BY {SORTS[sort]}) AS copy
                    FROM models WHERE {" AND ".join(where)})
                   WHERE copy = 1 ORDER BY place LIMIT ?) ON id = found ORDER BY place"""
        return [record for (text,) in self._rows(sql, *values, limit) if (record := sound(text)) is not None]

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
        with self.database.transaction() as db:
            put_plain(db, record, row_edits(db, record.model_id))
            bump(db)

    def get_plain(self, model_id: str) -> ModelMetadata | None:
        """Return the model as it is without the user's correction."""
        sql = "SELECT COALESCE(plain, record) FROM models JOIN details USING (id) WHERE model_id = ?"
        rows = self._rows(sql, model_id)
        return sound(rows[0][0]) if rows else None

    def edit(self, plain: ModelMetadata, edits: dict[str, Any]) -> None:
        """Replace a record and store `edits`, which later scans of the file keep."""
        with self.database.transaction() as db:
            put_plain(db, plain, {**row_edits(db, plain.model_id), **edits})
            bump(db)

    def word(self, model_id: str) -> dict[str, Any]:
        """Return the user's correction of a model."""
        with self.database.read(create=True) as db:
            return dict(row_edits(db, model_id).get(WORD, {}))

    def correct(self, model_id: str, digest: str | None, word: dict[str, Any]) -> None:
        """Store the user's correction of a model, and of its copies; an empty one takes it back."""
        self.corrections.put(correction_key(model_id, digest), model_id, word)
        with self.database.transaction() as db:
            sql = "SELECT model_id FROM models WHERE model_id = ? OR digest = ?"
            for (each,) in db.execute(sql, (model_id, digest)).fetchall():
                set_word(db, each, word)
            bump(db)

    def apply_words(self, words: Words) -> None:
        """Correct the rows that have not been told of a correction: of a database that was made anew, say."""
        sql = """SELECT model_id, digest, edits FROM models JOIN details USING (id)
                 WHERE digest IN (SELECT value FROM json_each(?))"""
        rows = self._rows(sql, json.dumps(list(words))) if words else ()
        late = [
            (model_id, words[digest]) for model_id, digest, edits in rows if edits_of(edits).get(WORD) != words[digest]
        ]
        if late:
            with self.database.transaction() as db:
                for model_id, word in late:
                    set_word(db, model_id, word)
                bump(db)

    def delete(self, model_id: str) -> bool:
        with self.database.transaction() as db:
            found = db.execute("DELETE FROM models WHERE model_id = ?", (model_id,)).rowcount > 0
            if found:
                db.execute("DELETE FROM moves WHERE model_id = ?", (model_id,))
                bump(db)
        return found

    def apply_scan(
        self,
        read: Sequence[ScannedFile],
        back: Iterable[str] = (),
        gone: Iterable[str] = (),
        words: Words | None = None,
    ) -> None:
        """Store the result of a scan, in one transaction.

        Args:
            read: files that were read.
            back: ids of unchanged files that had been marked absent.
            gone: ids of files that are no longer there; their rows stay, marked absent.
            words: the user's corrections; None: they are read.
        """
        marks = [(1, model_id) for model_id in back] + [(0, model_id) for model_id in gone]
        if not read and not marks:
            return
        words = self.corrections.every() if words is None else words
        carried: list[tuple[str, str, dict[str, Any]]] = []
        with self.database.transaction() as db:
            for file in read:
                key = correction_key(file.model_id, file.row.digest)
                if (word := put_file(db, file, words)) and key not in words:
                    carried.append((key, file.model_id, word))
            db.executemany("UPDATE models SET present = ? WHERE model_id = ?", marks)
            bump(db)
        with suppress(StorageError):  # which the scan tells
            for key, model_id, word in carried:  # other content under a corrected file's name
                self.corrections.put(key, model_id, word)

    def leave_words(self, replaced: Mapping[str, str], words: Words) -> None:
        """Take corrections back from files that have other content now, where the corrected content lies elsewhere.

        Args:
            replaced: id of such a file → digest of its content of before.
            words: the user's corrections before the scan.
        """
        moved = {model_id: digest for model_id, digest in replaced.items() if digest in words}
        if not moved:
            return
        sql = "SELECT model_id, digest FROM models WHERE present = 1 AND digest IN (SELECT value FROM json_each(?))"
        elsewhere = {digest for _, digest in self._rows(sql, json.dumps([*moved.values()]))}
        for model_id in (model_id for model_id, digest in moved.items() if digest in elsewhere):
            ((digest, edits),) = self._rows(
                "SELECT digest, edits FROM models JOIN details USING (id) WHERE model_id = ?", model_id
            )
            if digest not in words and edits_of(edits).get(WORD) == words[moved[model_id]]:
                self.correct(model_id, digest, {})

    def roots(self) -> set[str]:
        """Return the scanned folders that have present models."""
        return {root for (root,) in self._rows("SELECT DISTINCT root FROM models WHERE present = 1 AND root NOT NULL")}

    def mark_absent(self, roots: Iterable[str]) -> None:
        """Mark every model of these scanned folders as absent."""
        with self.database.transaction() as db:
            sql = "UPDATE models SET present = 0 WHERE present = 1 AND root = ?"
            db.executemany(sql, [(root,) for root in roots])
            bump(db)

    def unhashed(self) -> list[UnhashedFile]:
        """Return the present files without a known hash, the small ones first."""
        sql = f"SELECT model_id, kind, local_path, size, mtime_ns FROM models WHERE {_UNHASHED} ORDER BY size, model_id"
        return [UnhashedFile(*row) for row in self._rows(sql)]

    def count_unhashed(self) -> int:
        return int(self._rows(f"SELECT count(*) FROM models WHERE {_UNHASHED}")[0][0])

    def put_hash(self, file: UnhashedFile, sha256: str, autov3: str) -> None:
        """Store the hashes of a file, unless it has changed since. The revision stays: no choice depends on hashes."""
        with self.database.transaction() as db:
            row = db.execute(
                """SELECT id, record, plain FROM models JOIN details USING (id)
                   WHERE model_id = ? AND size = ? AND mtime_ns = ?""",
                (file.model_id, file.size, file.mtime_ns),
            ).fetchone()
            if row and (known := sound(row[1])):
                record = hashed(known, sha256, autov3)
                values = (row[0], file.size, file.mtime_ns, sha256, autov3, record.digest)
                db.execute(
                    """INSERT OR REPLACE INTO hashes (id, size, mtime_ns, sha256, autov3, digest)
                       VALUES (?, ?, ?, ?, ?, ?)""",
                    values,
                )
                plain = row[2] and dump(hashed(load(row[2]), sha256, autov3))
                db.execute("UPDATE details SET record = ?, plain = ? WHERE id = ?", (dump(record), plain, row[0]))
                db.execute("UPDATE models SET sha256 = ? WHERE id = ?", (sha256, row[0]))

    def file_hash(self, path: str, size: int, mtime_ns: int) -> Hashes | None:
        """Return the hashes of a file of this size and date; None: not known."""
        sql = "SELECT sha256, autov3 FROM file_hashes WHERE local_path = ? AND size = ? AND mtime_ns = ?"
        return next((Hashes(*row) for row in self._rows(sql, path, size, mtime_ns)), None)

    def put_file_hash(self, path: str, size: int, mtime_ns: int, found: Hashes) -> None:
        """Store the hashes of a file, in the library or not."""
        with self.database.transaction() as db:
            db.execute("INSERT OR REPLACE INTO file_hashes VALUES (?, ?, ?, ?, ?)", (path, size, mtime_ns, *found))

    def _revision(self, db: sqlite3.Connection) -> int:
        """Return a number that no other state had in this process, the file replaced or not."""
        return int(db.execute("SELECT revision FROM state").fetchone()[0]) + (self.database.switches << 40)

    def _read_again(self, damaged: Iterable[str]) -> None:
        """Have the next scan read the files of damaged rows again."""
        with suppress(StorageError), self.database.transaction() as db:
            sql = "UPDATE models SET described_by = 0 WHERE model_id = ?"
            db.executemany(sql, [(model_id,) for model_id in damaged])

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        with self.database.read(create=True) as db:
            return db.execute(sql, values).fetchall()


def reasons_by_path(problems: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return path → reason: the problem of a file without the file's name, which the path says already."""
    return {path: problem.removeprefix(f"{Path(path).name}: ") for path, problem in problems}


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
