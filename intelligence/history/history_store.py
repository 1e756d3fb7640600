"""history.db: what pictures told, made anew from them at any time."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..database import Database, recovering
from ..pictures.picture_info import PictureInfo, UsedLoRA
from .past_pictures import Fate, PastPicture

MIGRATIONS = (
    """
    CREATE TABLE state (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        revision INTEGER NOT NULL,
        switched_on INTEGER,
        folders TEXT NOT NULL,
        read_at REAL,
        prompts_kept INTEGER NOT NULL
    );
    INSERT INTO state VALUES (1, 0, NULL, '[]', NULL, 1);
    CREATE TABLE texts (
        id INTEGER PRIMARY KEY,
        digest BLOB NOT NULL UNIQUE,
        text TEXT
    );
    CREATE TABLE pictures (
        id INTEGER PRIMARY KEY,
        path TEXT NOT NULL UNIQUE,
        root TEXT NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        fate TEXT NOT NULL,
        problem TEXT,
        program TEXT,
        prompt INTEGER REFERENCES texts,
        negative INTEGER REFERENCES texts,
        checkpoint INTEGER REFERENCES texts,
        loras TEXT,
        settings TEXT
    );
    """,
)


class KnownPicture(NamedTuple):
    """A picture's file as it was read."""

    root: str
    size: int
    mtime_ns: int
    fate: Fate


class ReadFile(NamedTuple):
    """A picture that was read: `info` where it tells how it was made, else perhaps a `problem`."""

    path: str
    root: str
    size: int
    mtime_ns: int
    info: PictureInfo | None = None
    problem: str | None = None


class State(NamedTuple):
    """The user's switch, the folders beside the host's own, and when they were read last."""

    revision: int
    switched_on: bool | None
    """None: the user was not asked yet."""
    folders: tuple[str, ...]
    read_at: float | None


@recovering
class HistoryStore:
    """Rows of history.db at `path`. Methods raise StorageError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = Database(path, MIGRATIONS)

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self._database.close()

    def state(self) -> State:
        with self._database.read() as db:
            revision, switched, folders, read_at = db.execute(
                "SELECT revision, switched_on, folders, read_at FROM state"
            ).fetchone()
        return State(revision, None if switched is None else bool(switched), tuple(json.loads(folders)), read_at)

    def switch(self, on: bool, folders: Sequence[str]) -> None:
        with self._database.transaction() as db:
            db.execute("UPDATE state SET switched_on = ?, folders = ?", (on, json.dumps(list(folders))))
            _bump(db)

    def known(self) -> dict[str, KnownPicture]:
        """Return path → the file that was read there."""
        with self._database.read() as db:
            rows = db.execute("SELECT path, root, size, mtime_ns, fate FROM pictures").fetchall()
        return {path: KnownPicture(root, size, mtime, Fate(fate)) for path, root, size, mtime, fate in rows}

    def counts(self) -> tuple[int, int, int]:
        """Return the numbers of pictures that tell how they were made, that do not, and that could not be read."""
        sql = "SELECT count(program), sum(program IS NULL AND problem IS NULL), count(problem) FROM pictures"
        with self._database.read() as db:
            told, silent, broken = db.execute(sql).fetchone()
        return told, silent or 0, broken

    def pictures(self) -> list[PastPicture]:
        """Return the pictures that tell how they were made, oldest first."""
        sql = """SELECT path, program, prompt.text, negative.text, checkpoint.text, loras, settings, mtime_ns, fate,
                        prompt.digest
                 FROM pictures LEFT JOIN texts AS prompt ON prompt.id = prompt
                 LEFT JOIN texts AS negative ON negative.id = negative
                 LEFT JOIN texts AS checkpoint ON checkpoint.id = checkpoint
                 WHERE program IS NOT NULL ORDER BY mtime_ns, path"""
        with self._database.read() as db:
            rows = db.execute(sql).fetchall()
        return [_picture(*row) for row in rows]

    def put(self, files: Sequence[ReadFile], *, keep_prompts: bool) -> None:
        """Store what files told. Args: keep_prompts: False: of prompts only a digest."""
        with self._database.transaction() as db:
            for file in files:
                _put(db, file, keep_prompts)
            _bump(db)

    def move(self, moves: Sequence[tuple[str, str, str]]) -> None:
        """Give pictures their new path and root: (old path, new path, new root) each."""
        with self._database.transaction() as db:
            for old, new, root in moves:
                db.execute("DELETE FROM pictures WHERE path = ?", (new,))
                db.execute(
                    "UPDATE pictures SET path = ?, root = ?, fate = ? WHERE path = ?", (new, root, Fate.THERE, old)
                )
            _bump(db)

    def set_fates(self, fates: Sequence[tuple[Fate, str]]) -> None:
        """Store where files are: (fate, path) each."""
        with self._database.transaction() as db:
            db.executemany("UPDATE pictures SET fate = ? WHERE path = ?", fates)
            _bump(db)

    def keep_roots(self, roots: Sequence[str]) -> None:
        """Forget the pictures of all other folders."""
        with self._database.transaction() as db:
            sql = "DELETE FROM pictures WHERE root NOT IN (SELECT value FROM json_each(?))"
            if db.execute(sql, (json.dumps(roots),)).rowcount:
                _drop_texts(db)
                _bump(db)

    def keep_prompts(self, keep: bool) -> None:
        """Take the words of all prompts out, or have all pictures read again for them, where that changes."""
        with self._database.transaction() as db:
            if db.execute("UPDATE state SET prompts_kept = ?1 WHERE prompts_kept != ?1", (keep,)).rowcount:
                if keep:
                    db.execute("UPDATE pictures SET size = -1")
                else:
                    of_prompts = "SELECT prompt FROM pictures UNION SELECT negative FROM pictures"
                    db.execute(f"UPDATE texts SET text = NULL WHERE id IN ({of_prompts})")
                _bump(db)

    def set_read(self) -> None:
        with self._database.transaction() as db:
            db.execute("UPDATE state SET read_at = ?", (time.time(),))

    def forget(self, prompt: str | None = None) -> int:
        """Forget all pictures, or those with this prompt. Returns their number; the files themselves stay."""
        with self._database.transaction() as db:
            if prompt is None:
                number = db.execute("DELETE FROM pictures").rowcount
            else:
                sql = "DELETE FROM pictures WHERE prompt = (SELECT id FROM texts WHERE digest = ?)"
                number = db.execute(sql, (_digest(prompt),)).rowcount
            _drop_texts(db)
            _bump(db)
        if self.path.exists():
            self._database.forget_copies()
        return number


def _bump(db: sqlite3.Connection) -> None:
    db.execute("UPDATE state SET revision = revision + 1")


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=12).digest()


def _put(db: sqlite3.Connection, file: ReadFile, keep_prompts: bool) -> None:
    row: dict[str, Any] = {
        "path": file.path,
        "root": file.root,
        "size": file.size,
        "mtime_ns": file.mtime_ns,
        "fate": Fate.THERE,
        "problem": file.problem,
        **dict.fromkeys(("program", "prompt", "negative", "checkpoint", "loras", "settings")),
    }
    if (info := file.info) is not None:
        row |= {
            "program": info.program,
            "prompt": _text_id(db, info.prompt, keep_prompts),
            "negative": _text_id(db, info.negative_prompt, keep_prompts),
            "checkpoint": _text_id(db, info.model, True),
            "loras": json.dumps([[lora.name, lora.strength] for lora in info.loras], ensure_ascii=False),
            "settings": json.dumps(info.settings, ensure_ascii=False),
        }
    names = ", ".join(row)
    db.execute(f"INSERT OR REPLACE INTO pictures ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))


def _text_id(db: sqlite3.Connection, text: str, keep: bool) -> int | None:
    if not text:
        return None
    digest = _digest(text)
    db.execute("INSERT OR IGNORE INTO texts (digest, text) VALUES (?, NULL)", (digest,))
    if keep:
        db.execute("UPDATE texts SET text = ? WHERE digest = ? AND text IS NULL", (text, digest))
    return int(db.execute("SELECT id FROM texts WHERE digest = ?", (digest,)).fetchone()[0])


def _drop_texts(db: sqlite3.Connection) -> None:
    used = "SELECT prompt FROM pictures UNION SELECT negative FROM pictures UNION SELECT checkpoint FROM pictures"
    db.execute(f"DELETE FROM texts WHERE id NOT IN (SELECT * FROM ({used}) WHERE prompt IS NOT NULL)")


def _picture(
    path: str,
    program: str,
    prompt: str | None,
    negative: str | None,
    checkpoint: str | None,
    *others: Any,
) -> PastPicture:
    loras, settings, mtime_ns, fate, digest = others
    return PastPicture(
        path,
        program,
        prompt or "",
        negative or "",
        checkpoint or "",
        tuple(UsedLoRA(name, strength) for name, strength in json.loads(loras)),
        json.loads(settings),
        mtime_ns / 1e9,
        Fate(fate),
        digest.hex() if digest else "",
    )
