"""SQLite files: opened on first use, shared between threads and processes, migrated; unusable ones stop nobody.

A damaged file is set aside and made anew, with the rows that can still be read. Where a file cannot be used for another
reason (locked, of a newer version, on a full or read-only disk), reads are answered from a copy in memory.
"""

from __future__ import annotations

import functools
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import RLock, Thread
from typing import Any, NamedTuple, TypeVar

from ..errors import StorageError
from .migrating import Migration, connect, in_transaction, migrate, set_up
from .repair import copy_rows, damage, is_damaged, set_aside, snapshot, version
from .storage_errors import Changed, check_space, explain, identity, storage_errors

READ_SECONDS, WRITE_SECONDS = 2.0, 30.0
"""Time that a reader and a writer wait for another thread or process before they give up."""

RETRY_SECONDS = 5.0
"""Time after which a file that could not be used is tried again."""

BACKUP_SECONDS = 24 * 3600

T = TypeVar("T")


class Recovered(NamedTuple):
    """A damaged file that was made anew."""

    aside: Path
    """The damaged file as it is called now."""
    before: int
    """Rows that came back from it."""
    added: int
    """Rows that came back from the backup alone."""


class Database:
    """The SQLite file at `path`, opened on first use and then kept; safe for several threads and processes.

    Args:
        migrations: the n-th lifts the schema from version n to n + 1 (`PRAGMA user_version`). Those that the file lacks
            run in one transaction, so a failure leaves it as it was; a copy of the old file is kept beside it as
            `<name>.v<version>.backup`.
        synchronous: `NORMAL` (the last commits may be lost with the power) or `FULL` (a commit is on the disk).
        cache: its content can be made again: while the file cannot be used, changes are kept in memory. Otherwise they
            raise StorageError.
        daily_backup: keep a copy beside the file as `<name>.backup`, not older than a day of use.
        settle: puts in order what came back from a damaged file and the backup.

    `read` and `transaction` raise StorageError with the remedy, or `Changed` where the block can be run again; classes
    that are `recovering` do so. They are not nested within each other.
    """

    def __init__(
        self,
        path: str | Path,
        migrations: Sequence[Migration],
        *,
        synchronous: str = "NORMAL",
        cache: bool = False,
        daily_backup: bool = False,
        settle: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        self.path = Path(path)
        self._migrations = migrations
        self._synchronous = synchronous
        self._cache = cache
        self._daily_backup = daily_backup
        self._settle = settle
        self._lock = RLock()
        self._file: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._empty: sqlite3.Connection | None = None
        self._stand_in: sqlite3.Connection | None = None
        self._tried = 0.0
        self._backup_checked = 0.0
        self.problem: StorageError | None = None
        """Why a copy in memory takes the file's place; None: it does not."""
        self.recovered: Recovered | None = None
        """The last damaged file that was made anew."""
        self.switches = 0
        """Times that another file, or a copy in memory, took the place of the one that was read before."""

    @property
    def backup_path(self) -> Path:
        return Path(f"{self.path}.backup")

    def check(self) -> None:
        """Open the file if it is there, so that `problem` and `recovered` say how it is."""
        with suppress(StorageError), self.read():
            pass

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            for connection in (self._file, self._empty, self._stand_in):
                if connection is not None:
                    connection.close()
            self._file = self._empty = self._stand_in = self._identity = self.problem = None

    @contextmanager
    def read(self, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        """Read one consistent state, rows as `sqlite3.Row`.

        A file that does not exist is made with `create`; without, it reads as an empty database.
        """
        with self._lock:
            connection = self._for_reading(create)
            with self._errors(connection, writing=False), in_transaction(connection, "DEFERRED"):
                yield connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Change the file, made with its folder where missing: committed at the end, undone when the block raises."""
        with self._lock:
            connection = self._for_writing()
            with self._errors(connection, writing=True), in_transaction(connection, "IMMEDIATE"):
                yield connection
            if connection is self._file and self._replaced():
                raise StorageError(f"{self.path} was replaced by another file meanwhile; nothing was stored, try again")
            if self._daily_backup and connection is self._file:
                self._back_up_daily()

    def compact(self) -> None:
        """Give free pages back to the disk, with what was deleted on them."""
        with self._lock:
            connection = self._for_writing()
            with self._errors(connection, writing=True):
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def forget_copies(self) -> None:
        """Delete the copies beside the file (backups, damaged files), and make the backup anew.

        Raises StorageError.
        """
        with self._lock:
            self.compact()
            try:
                for copy in self.path.parent.glob(f"{self.path.name}.*"):
                    if copy.name.endswith(".backup") or ".damaged-" in copy.name:
                        copy.unlink(missing_ok=True)
            except OSError as error:
                raise StorageError(f"{copy} cannot be deleted: {error.strerror}; delete it by hand") from error
            if self._daily_backup and self._file is not None:
                self.back_up()

    def back_up(self) -> None:
        """Write the copy that is kept beside the file; an unfinished one never takes its place. Raises StorageError."""
        part = Path(f"{self.backup_path}.{os.getpid()}.part")
        with storage_errors(self.path):
            try:
                with closing(sqlite3.connect(self.path, timeout=READ_SECONDS)) as db:
                    part.unlink(missing_ok=True)
                    db.execute("VACUUM INTO ?", (str(part),))
                part.replace(self.backup_path)
            finally:
                part.unlink(missing_ok=True)

    def _back_up_daily(self) -> None:
        """Start a backup in another thread where the last one is older than a day, or from the future."""
        if time.monotonic() < self._backup_checked:
            return
        self._backup_checked = time.monotonic() + 60
        with suppress(OSError):
            if 0 <= time.time() - self.backup_path.stat().st_mtime < BACKUP_SECONDS:
                return
        Thread(target=self._back_up_quietly, name="intelligent-generation-backup").start()

    def _back_up_quietly(self) -> None:
        with suppress(StorageError):  # tried again later
            self.back_up()

    def _for_reading(self, create: bool) -> sqlite3.Connection:
        if self._stand_in is not None and not self._usable_again(RETRY_SECONDS, READ_SECONDS):
            return self._stand_in
        try:
            self._notice_replaced()
            exists = create or self._file is not None or self.path.exists()
            found = self._opened(READ_SECONDS) if exists else self._empty_database()
        except StorageError as error:
            found = self._stand_in_for(error)
        found.execute(f"PRAGMA busy_timeout = {READ_SECONDS * 1000:.0f}")
        return found

    def _for_writing(self) -> sqlite3.Connection:
        after, wait = (RETRY_SECONDS, READ_SECONDS) if self._cache else (0.0, WRITE_SECONDS)
        if self._stand_in is not None and not self._usable_again(after, wait):
            if self._cache:
                return self._stand_in
            raise self.problem or StorageError(f"cannot use the database {self.path}")
        try:
            self._notice_replaced()
            found = self._opened(WRITE_SECONDS)
        except StorageError as error:
            found = self._stand_in_for(error)
            if not self._cache:
                raise
        found.execute(f"PRAGMA busy_timeout = {WRITE_SECONDS * 1000:.0f}")
        return found

    def _opened(self, wait: float) -> sqlite3.Connection:
        if self._file is None:
            with storage_errors(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    self._file = connect(self.path, self._migrations, self._synchronous, wait)
                except sqlite3.DatabaseError as error:
                    if not damage(error):
                        raise
                    self._make_anew()
                    self._file = connect(self.path, self._migrations, self._synchronous, wait)
                self._identity = identity(self.path)
        return self._file

    def _close_file(self) -> None:
        if self._file is not None:
            with suppress(sqlite3.Error):
                self._file.close()
        self._file = self._identity = None

    def _replaced(self) -> bool:
        """Return whether another file lies at the path than the one that is open."""
        return self._file is not None and identity(self.path) != self._identity

    def _notice_replaced(self) -> None:
        if self._replaced():
            self._close_file()
            self.switches += 1

    def _empty_database(self) -> sqlite3.Connection:
        if self._empty is None:
            self._empty = connect(":memory:", self._migrations, self._synchronous, READ_SECONDS)
        return self._empty

    @contextmanager
    def _errors(self, connection: sqlite3.Connection, *, writing: bool) -> Iterator[None]:
        """Answer an error of SQLite or the file system: with another file, a copy in memory, or a StorageError."""
        try:
            yield
        except StorageError:
            raise
        except (sqlite3.Error, OSError) as error:
            explained = StorageError(explain(self.path, error))
            if connection is not self._file:
                if connection is self._stand_in:  # a copy of another version's tables
                    self._stand_in = connect(":memory:", self._migrations, self._synchronous, READ_SECONDS)
                    raise Changed(str(explained)) from error
                raise explained from error
            if isinstance(error, sqlite3.Error) and damage(error):
                self._make_anew()
                raise Changed(str(explained)) from error
            if isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError):
                raise explained from error
            if not writing or self._cache:
                self._stand_in_for(explained)
                raise Changed(str(explained)) from error
            raise explained from error

    def _stand_in_for(self, error: StorageError) -> sqlite3.Connection:
        """Return a copy in memory of what can be read of the file, which takes its place until it can be used."""
        self._close_file()
        if self._stand_in is not None:
            self._stand_in.close()
        self.problem, self._tried = error, time.monotonic()
        newer = version(self.path) > len(self._migrations)
        copy = None if newer and self._cache else snapshot(self.path)
        if copy is not None:
            try:
                set_up(copy, self._synchronous)
                if not newer:
                    migrate(copy, ":memory:", self._migrations)
            except (sqlite3.Error, StorageError):
                copy.close()
                copy = None
        if copy is None:
            try:
                copy = connect(":memory:", self._migrations, self._synchronous, READ_SECONDS)
            except sqlite3.Error:
                raise error from None
        self._stand_in = copy
        self.switches += 1
        return copy

    def _usable_again(self, after: float, wait: float) -> bool:
        """Return whether the file can be used by now; it is tried when `after` seconds have passed since the last."""
        if time.monotonic() - self._tried < after:
            return False
        self._tried = time.monotonic()
        try:
            with storage_errors(self.path):
                check_space(self.path.parent)
            file = self._opened(wait)
            with storage_errors(self.path), in_transaction(file, "IMMEDIATE"):
                pass
        except StorageError as error:
            self._close_file()
            self.problem = error
            return False
        if self._stand_in is not None:
            self._stand_in.close()
        self._stand_in = self.problem = None
        self.switches += 1
        return True

    def _make_anew(self) -> None:
        """Set a damaged file aside, and make a new one with the rows of it and of the backup that can be read."""
        failed = self._identity
        self._close_file()
        self.switches += 1
        with storage_errors(self.path):
            if (failed is not None and failed != identity(self.path)) or not is_damaged(self.path):
                return  # another process has made it anew
            schema, aside = version(self.path), set_aside(self.path)
            readable = min(schema, len(self._migrations)) or len(self._migrations)
            part = Path(f"{self.path}.{os.getpid()}.part")
            part.unlink(missing_ok=True)
            made = connect(part, self._migrations[:readable], "OFF", READ_SECONDS)
            with closing(made) as new, in_transaction(new, "IMMEDIATE"):
                before = copy_rows(aside, new)
            with closing(connect(part, self._migrations, "OFF", READ_SECONDS)) as new:
                with in_transaction(new, "IMMEDIATE"):
                    added = copy_rows(self.backup_path, new)
                    if self._settle:
                        self._settle(new)
                new.execute("PRAGMA journal_mode = DELETE")
            Path(f"{part}.v{readable}.backup").unlink(missing_ok=True)
            part.replace(self.path)
            self.recovered = Recovered(aside, before, added)


def recovering(store: type[T]) -> type[T]:
    """Have the public methods and properties of a class that holds Databases run again where one was made anew."""
    for name, member in list(vars(store).items()):
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            getter, setter = (each and _again(each) for each in (member.fget, member.fset))
            setattr(store, name, property(getter, setter, doc=member.__doc__))
        elif callable(member) and not isinstance(member, type):
            setattr(store, name, _again(member))
    return store


def _again(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        for _ in range(3):
            with suppress(Changed):
                return method(*arguments, **named)
        return method(*arguments, **named)

    return call
