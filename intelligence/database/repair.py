"""Database files that cannot be used: set aside, read as far as they can be, and copied into memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

BESIDE = ("", "-wal", "-shm", "-journal")
"""Endings of the files that make up one SQLite database."""


def set_aside(path: Path) -> Path:
    """Rename a damaged database with its -wal and -shm; return where it is now. Raises OSError."""
    stem = f"{path}.damaged-{datetime.now():%Y%m%d-%H%M%S}"
    target = next(each for each in (stem, *(f"{stem}-{n}" for n in range(1, 1000))) if not Path(each).exists())
    for ending in BESIDE[1:]:
        with suppress(FileNotFoundError):
            Path(f"{path}{ending}").rename(f"{target}{ending}")
    path.rename(target)
    return Path(target)


def is_damaged(path: Path) -> bool:
    """Return whether a file is no sound SQLite database, read anew."""
    try:
        with closing(_read_only(path)) as db:
            return bool(db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
    except sqlite3.DatabaseError as error:
        return damage(error)


def damage(error: Exception) -> bool:
    """Return whether an error says that the file itself is damaged."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def snapshot(path: Path) -> sqlite3.Connection | None:
    """Return a copy in memory of what can be read of a database; None: it cannot be read.

    A file in a folder that cannot be written is read without its -wal, whose last changes are missing then.
    """
    for options in ("mode=ro", "immutable=1"):
        copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{options}", timeout=0.2, uri=True)) as file:
                file.execute("BEGIN")
                file.execute("SELECT count(*) FROM sqlite_master").fetchone()  # `backup` waits for locks for ever
                file.backup(copy)
            if copy.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok":
                return copy
        except sqlite3.Error:
            pass
        copy.close()
    return None


def version(path: Path) -> int:
    """Return the schema version in the header of a file, 0 where it cannot be read."""
    with suppress(sqlite3.Error, OSError), closing(_read_only(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])
    return 0


def copy_rows(source: Path, target: sqlite3.Connection) -> int:
    """Copy the rows that can be read and that `target` lacks, of tables that both have. Returns how many."""
    copied = 0
    with suppress(sqlite3.Error, OSError), closing(_read_only(source)) as file:
        for table in _tables(target):
            with suppress(sqlite3.Error):
                copied += _copy_table(file, target, table)
    return copied


def _copy_table(file: sqlite3.Connection, target: sqlite3.Connection, table: str) -> int:
    columns = _columns(target, table)
    if not columns or columns != _columns(file, table):
        return 0
    places = ", ".join("?" for _ in columns)
    names = ", ".join(columns)
    copied = 0
    for row in _readable(file, table, names):
        with suppress(sqlite3.IntegrityError):
            copied += target.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({places})", row).rowcount
    return copied


def _readable(file: sqlite3.Connection, table: str, names: str) -> Iterator[tuple[object, ...]]:
    """Yield the readable rows of a table, around damaged pages: a span that fails is halved."""
    try:
        (last,) = file.execute(f"SELECT max(rowid) FROM {table}").fetchone()
    except sqlite3.Error:
        last = _last_number(file, table)
    if last is None:
        with suppress(sqlite3.Error):  # a table without row numbers, or an empty one
            yield from file.execute(f"SELECT {names} FROM {table}")
        return
    spans = [(0, int(last))]
    while spans:
        first, end = spans.pop()
        rows: list[tuple[object, ...]] = []
        try:
            for row in file.execute(f"SELECT {names} FROM {table} WHERE rowid BETWEEN ? AND ?", (first, end)):
                rows.append(row)
        except sqlite3.Error:
            if end > first:
                middle = (first + end) // 2
                spans += [(middle + 1, end), (first, middle)]
                continue
        yield from rows


def _last_number(file: sqlite3.Connection, table: str) -> int | None:
    with suppress(sqlite3.Error):
        row = file.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        return int(row[0]) if row else None
    return None


def _tables(db: sqlite3.Connection) -> list[str]:
    """Return the tables that hold rows of their own: not indexes of full text, which triggers fill."""
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    found = db.execute(query).fetchall()
    virtual = tuple(name for name, sql in found if sql.upper().startswith("CREATE VIRTUAL"))
    return [name for name, _ in found if not name.startswith(virtual)] if virtual else [name for name, _ in found]


def _columns(db: sqlite3.Connection, table: str) -> list[str]:
    return [str(row[1]) for row in db.execute(f"PRAGMA table_info({table})").fetchall()]


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", timeout=0.2, uri=True, isolation_level=None)
