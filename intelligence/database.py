"""One way to use a SQLite file: shared between processes, migrated before first use, errors with a remedy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from .config import HOME_VARIABLE
from .errors import StorageError

BUSY_SECONDS = 30.0
"""How long a writer waits for another thread or process before it gives up."""


def open_database(path: str | Path, migrations: Sequence[str], *, synchronous: str = "NORMAL") -> sqlite3.Connection:
    """A connection to the database at `path`, created with its folder where missing, at the newest schema.

    The file is in WAL mode, foreign keys are enforced, rows are `sqlite3.Row`, and the connection is in autocommit:
    open transactions with `transaction`. Several threads may share it if they hold a lock around each use.

    Args:
        migrations: SQL scripts; the n-th lifts the schema from version n to n + 1 (`PRAGMA user_version`). Those that
            the file lacks run in one transaction, so a failure leaves it as it was; a copy of the old file is kept
            beside it as `<name>.v<version>.backup`. They hold no BEGIN or COMMIT.
        synchronous: `NORMAL` (the last commits may be lost with the power) or `FULL` (a commit is on the disk).

    Raises:
        StorageError: the file cannot be opened, is no database, or was written by a newer version.
    """
    path = Path(path)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            _migrate(connection, path, migrations)
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode = WAL")
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, mode: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
    """One transaction (`DEFERRED`: a consistent read): committed at the end, rolled back when the block raises."""
    connection.execute(f"BEGIN {mode}")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def storage_errors(path: str | Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise in this block into a StorageError with the remedy."""
    try:
        yield
    except StorageError:
        raise
    except (sqlite3.Error, OSError) as error:
        raise StorageError(_explain(path, error)) from error


def _explain(path: str | Path, error: Exception) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return (
            f"{path} is damaged or is not a SQLite database ({error}); "
            "move it away (nothing was deleted) and a new one is made on the next use"
        )
    return (
        f"cannot use the database {path}: {error}; make its folder writable, or name another data folder "
        f"in the environment variable {HOME_VARIABLE}"
    )


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> None:
    before = _version(connection)
    if before == len(migrations):
        return
    if 0 < before < len(migrations):
        with closing(sqlite3.connect(f"{path}.v{before}.backup")) as backup:
            connection.backup(backup)
    with transaction(connection):
        version = _version(connection)  # another process may have migrated while this one waited
        if version > len(migrations):
            raise StorageError(
                f"{path} was written by a newer version (schema {version}, this one reads up to {len(migrations)}); "
                "update Intelligent Generation"
            )
        for script in migrations[version:]:
            for statement in _statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _statements(script: str) -> Iterator[str]:
    """The statements of an SQL script (`executescript` would commit the transaction around them)."""
    pending = ""
    for part in script.split(";"):
        pending += part + ";"
        if sqlite3.complete_statement(pending):
            if pending.strip(" \n\t;"):
                yield pending
            pending = ""
