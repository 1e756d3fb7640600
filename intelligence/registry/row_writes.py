"""Rows of registry.db as they are written: a model's record, its history, and the user's word over it."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ..errors import InvalidInputError
from ..models.metadata import ModelMetadata
from .describe import DESCRIBE_VERSION
from .model_rows import COLUMNS, DamagedRowError, ModelRow, dump, fields_from_json, load, row_of
from .user_corrections import Correction, corrected, correction_key
from .walk import Stamp

WORD = "correction"
"""Key of the user's correction among the edits of a row."""

Words = Mapping[str, dict[str, Any]]
"""Corrections by `correction_key`, as `CorrectionStore.every` gives them."""


class ScannedFile(NamedTuple):
    """A file that a scan has read."""

    model_id: str
    row: ModelRow
    root: str | None
    """None: outside all scanned folders."""
    stamp: Stamp
    moved_from: str | None = None
    """Id of the row whose file this was before it was moved; its history becomes that of this one."""


def bump(db: sqlite3.Connection) -> None:
    db.execute("UPDATE state SET revision = revision + 1")


def put_file(db: sqlite3.Connection, file: ScannedFile, words: Words) -> dict[str, Any] | None:
    """Store a file that was read, with its computed hashes and the user's changes; return the correction of it."""
    if file.moved_from:
        _move(db, file, file.moved_from)
    row = db.execute(
        """SELECT edits, hashes.size, hashes.mtime_ns, hashes.sha256, hashes.autov3, hashes.digest
           FROM models JOIN details USING (id) LEFT JOIN hashes USING (id) WHERE model_id = ?""",
        (file.model_id,),
    ).fetchone()
    word = words.get(correction_key(file.model_id, file.row.digest))
    if row is None and word is None:
        upsert(db, file.row, file)
        return None
    text, size, mtime, sha256, autov3, digest = row or ("{}", None, None, None, None, None)
    edits = edits_of(text)
    record = load(file.row.record)
    if sha256 and size == file.stamp[0] and (mtime == file.stamp[1] or (digest and digest == record.digest)):
        record = hashed(record, sha256, autov3)
    plain = replace(record, **fields_from_json(edits))
    put_plain(db, plain, edits if word is None else {**edits, WORD: word}, file)
    return word or edits.get(WORD)


def put_plain(
    db: sqlite3.Connection, plain: ModelMetadata, edits: Mapping[str, Any], file: ScannedFile | None = None
) -> None:
    """Store a record as it is without the user's correction, which is among `edits`, and with it."""
    word = edits.get(WORD)
    try:
        correction = Correction.from_dict(word) if word else None
    except InvalidInputError:  # of another version
        correction = None
    number = upsert(db, row_of(corrected(plain, correction)), file)
    values = (dump(plain) if correction else None, json.dumps(edits), number)
    db.execute("UPDATE details SET plain = ?, edits = ? WHERE id = ?", values)


def set_word(db: sqlite3.Connection, model_id: str, word: dict[str, Any]) -> None:
    """Give a row the user's correction in place of an earlier one; an empty one takes it back."""
    present, text, record = db.execute(
        "SELECT present, edits, COALESCE(plain, record) FROM models JOIN details USING (id) WHERE model_id = ?",
        (model_id,),
    ).fetchone()
    edits = {name: value for name, value in edits_of(text).items() if name != WORD}
    try:
        plain = load(record)
    except DamagedRowError:  # its file is read again
        return
    put_plain(db, plain, {**edits, WORD: word} if word else edits)
    db.execute("UPDATE models SET present = ? WHERE model_id = ?", (present, model_id))


def row_edits(db: sqlite3.Connection, model_id: str) -> dict[str, Any]:
    """Return the user's changes of a model, by the name of the field."""
    sql = "SELECT edits FROM models JOIN details USING (id) WHERE model_id = ?"
    row = db.execute(sql, (model_id,)).fetchone()
    return edits_of(row[0]) if row else {}


def edits_of(text: str) -> dict[str, Any]:
    """Return the user's changes in a row; none where it is damaged."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def hashed(record: ModelMetadata, sha256: str, autov3: str | None) -> ModelMetadata:
    return replace(record, sha256=sha256, autov2=sha256[:10], autov3=autov3 or record.autov3)


def upsert(db: sqlite3.Connection, record: ModelRow, file: ScannedFile | None = None) -> int:
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


def _move(db: sqlite3.Connection, file: ScannedFile, old: str) -> None:
    """Give the row of a moved file its new id, and store the old one, in the row's edits too."""
    new = file.model_id
    found = db.execute(
        "SELECT id, edits, local_path FROM models JOIN details USING (id) WHERE model_id = ? AND present = 0", (old,)
    ).fetchone()
    if found is None:  # another process has seen the move, or the file is back
        return
    row, text, path = found
    edits = edits_of(text)
    listed = db.execute("SELECT id, edits FROM models JOIN details USING (id) WHERE model_id = ?", (new,)).fetchone()
    if listed is not None:  # another process took it for a new file
        edits |= edits_of(listed[1])
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
