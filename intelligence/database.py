"""SQLite files: opened on first use, shared between threads and processes, migrated, errors with a remedy."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import RLock

from .config import HOME_VARIABLE
from .errors import StorageError

BUSY_SECONDS = 30.0
"""Time that a writer waits for another thread or process before it gives up."""

MAX_FREE_SHARE, MIN_FREE_PAGES = 0.5, 1000
"""Share and number of free pages from which a migrated file is made smaller."""

Step = str | Callable[[sqlite3.Connection], None]
"""An SQL script, or a function that changes rows; without BEGIN or COMMIT."""

Migration = Step | Sequence[Step]


class Database:
    """The SQLite file at `path`, opened on first use and then kept; safe for several threads and processes.

    Args:
        migrations: the n-th lifts the schema from version n to n + 1 (`PRAGMA user_version`). Those that the file lacks
            run in one transaction, so a failure leaves it as it was; a copy of the old file is kept beside it as
            `<name>.v<version>.backup`.
        synchronous: `NORMAL` (the last commits may be lost with the power) or `FULL` (a commit is on the disk).

    `read` and `transaction` raise StorageError when the file cannot be opened, is no database, or was written by a
    newer version. They are not nested within each other.
    """

    def __init__(self, path: str | Path, migrations: Sequence[Migration], *, synchronous: str = "NORMAL") -> None:
        self.path = Path(path)
        self._migrations = migrations
        self._synchronous = synchronous
        self._lock = RLock()
        self._file: sqlite3.Connection | None = None
        self._empty: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            for connection in (self._file, self._empty):
                if connection is not None:
                    connection.close()
            self._file = self._empty = None

    def compact(self) -> None:
        """Give free pages back to the disk, with what was deleted on them."""
        with self._lock, _storage_errors(self.path):
            self._opened().execute("VACUUM")
            self._opened().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def read(self, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        """Read one consistent state, rows as `sqlite3.Row`.

        A file that does not exist is made with `create`; without, it reads as an empty database.
        """
        with self._lock, _storage_errors(self.path):
            exists = create or self._file is not None or self.path.exists()
            connection = self._opened() if exists else self._empty_database()
            with _transaction(connection, "DEFERRED"):
                yield connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Change the file, made with its folder where missing: committed at the end, undone when the block raises."""
        with self._lock, _storage_errors(self.path):
            connection = self._opened()
            with _transaction(connection, "IMMEDIATE"):
                yield connection

    def _opened(self) -> sqlite3.Connection:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _connect(self.path, self._migrations, self._synchronous)
        return self._file

    def _empty_database(self) -> sqlite3.Connection:
        if self._empty is None:
            self._empty = _connect(":memory:", self._migrations, self._synchronous)
        return self._empty


def _connect(path: Path | str, migrations: Sequence[Migration], synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        if _migrate(connection, path, migrations):
            _give_back(connection)
        if connection.execute("PRAGMA journal_mode").fetchone()[0] not in ("wal", "memory"):
            connection.execute("PRAGMA journal_mode = WAL")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _transaction(connection: sqlite3.Connection, mode: str) -> Iterator[None]:
    connection.execute(f"BEGIN {mode}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and the file system into a StorageError with the remedy."""
    try:
        yield
    except StorageError:
        raise
    except (sqlite3.Error, OSError) as error:
        raise StorageError(_explain(path, error)) from error


def _explain(path: Path, error: Exception) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return (
            f"{path} is damaged or is not a SQLite database ({error}); "
            "move it away (nothing was deleted) and a new one is made on the next use"
        )
    if code == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) == errno.ENOSPC:
        return f"the disk that holds {path} is full; free some space and try again (what was stored before is intact)"
    return (
        f"cannot use the database {path}: {error}; make its folder writable, or name another data folder "
        f"in the environment variable {HOME_VARIABLE}"
    )


def _migrate(connection: sqlite3.Connection, path: Path | str, migrations: Sequence[Migration]) -> bool:
    """Bring the file to the newest version. Returns whether it was older."""
    if _version(connection) == len(migrations):
        return False
    with _transaction(connection, "IMMEDIATE"):
        version = _version(connection)  # another process may have migrated while this one waited
        if version > len(migrations):
            raise StorageError(
                f"{path} was written by a newer version (schema {version}, this one reads up to {len(migrations)}); "
                "update Intelligent Generation"
            )
        if 0 < version < len(migrations):
            with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(f"{path}.v{version}.backup")) as backup:
                old.backup(backup)
        for migration in migrations[version:]:
            for step in (migration,) if isinstance(migration, str) or callable(migration) else migration:
                _run(connection, step)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
    return version > 0


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
