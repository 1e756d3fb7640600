"""Connections to SQLite files of the newest schema version."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from ..config import HOME_VARIABLE
from ..errors import StorageError
from .database_messages import DatabaseMessage as Text

MAX_FREE_SHARE, MIN_FREE_PAGES = 0.5, 1000
"""Share and number of free pages from which a migrated file is made smaller."""

Step = str | Callable[[sqlite3.Connection], None]
"""An SQL script, or a function that changes rows; without BEGIN or COMMIT."""

Migration = Step | Sequence[Step]


def connect(
    path: Path | str, migrations: Sequence[Migration], synchronous: str, wait: float, journal: str = "wal"
) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=wait, isolation_level=None, check_same_thread=False)
    try:
        set_up(connection, synchronous)
        if migrate(connection, path, migrations):
            _give_back(connection)
        _set_journal(connection, journal, wait)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_journal(connection: sqlite3.Connection, journal: str, wait: float) -> None:
    """Set the journal mode; `wait`: seconds for a writer to end, for which SQLite itself does not wait here."""
    end = time.monotonic() + wait
    while connection.execute("PRAGMA journal_mode").fetchone()[0] not in (journal, "memory"):
        try:
            connection.execute(f"PRAGMA journal_mode = {journal}")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)


def set_up(connection: sqlite3.Connection, synchronous: str) -> None:
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA synchronous = {synchronous}")


@contextmanager
def in_transaction(connection: sqlite3.Connection, mode: str) -> Iterator[None]:
    connection.execute(f"BEGIN {mode}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def migrate(connection: sqlite3.Connection, path: Path | str, migrations: Sequence[Migration]) -> bool:
    """Bring the file to the newest version. Returns whether it was older."""
    if _version(connection) == len(migrations):
        return False
    with in_transaction(connection, "IMMEDIATE"):
        found = _version(connection)  # another process may have migrated while this one waited
        if found > len(migrations):
            raise StorageError(Text.NEWER.format(path=path, found=found, known=len(migrations), variable=HOME_VARIABLE))
        if 0 < found < len(migrations) and str(path) != ":memory:":
            with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(f"{path}.v{found}.backup")) as backup:
                old.backup(backup)
        for migration in migrations[found:]:
            for step in (migration,) if isinstance(migration, str) or callable(migration) else migration:
                _run(connection, step)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
    return found > 0


def _give_back(connection: sqlite3.Connection) -> None:
    """Give pages that a migration left empty back to the disk, where they are many."""
    free, pages = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_count"))
    if free >= MIN_FREE_PAGES and free > MAX_FREE_SHARE * pages:
        with suppress(sqlite3.Error):  # it is only larger than it has to be
            connection.execute("VACUUM")


def _run(connection: sqlite3.Connection, step: Step) -> None:
    if callable(step):
        step(connection)
        return
    for statement in _statements(step):
        connection.execute(statement)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _statements(script: str) -> Iterator[str]:
    """Split an SQL script into statements: `executescript` would commit the transaction around them."""
    pending = ""
    for part in script.split(";"):
        pending += part + ";"
        if sqlite3.complete_statement(pending):
            if pending.strip(" \n\t;"):
                yield pending
            pending = ""
