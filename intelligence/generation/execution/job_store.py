"""The store of a job list, beside its pictures: what was planned, what is made, what was set aside.

The coordinator alone writes it. Its journal is no WAL, so that the folder may lie on a network share.
"""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ...config import PipelineConfig
from ...database.migrating import connect, in_transaction
from ...errors import StorageError
from ...whole_files import keep_names, remove_leftovers
from ..stages import Recommendations
from .job_records import Job

STORE_FILE = "jobs.db"
LOCK_FILE = "jobs.lock"

WAIT_SECONDS = 10.0

MIGRATIONS = (
    """
    CREATE TABLE batch (id TEXT PRIMARY KEY);
    CREATE TABLE plans (digest TEXT PRIMARY KEY, data BLOB NOT NULL);
    CREATE TABLE jobs (
        key TEXT PRIMARY KEY,
        number INTEGER NOT NULL,
        line TEXT NOT NULL,
        plan TEXT NOT NULL REFERENCES plans,
        seeds TEXT NOT NULL,
        seconds REAL NOT NULL,
        name TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE lines (line TEXT PRIMARY KEY, jobs INTEGER NOT NULL);
    CREATE TABLE pictures (
        key TEXT NOT NULL REFERENCES jobs,
        place INTEGER NOT NULL,
        file TEXT NOT NULL,
        image_id TEXT NOT NULL,
        worker TEXT NOT NULL,
        device TEXT NOT NULL,
        seconds REAL NOT NULL,
        attempts INTEGER NOT NULL,
        made_ms INTEGER NOT NULL,
        PRIMARY KEY (key, place)
    ) WITHOUT ROWID;
    CREATE TABLE set_aside (
        key TEXT PRIMARY KEY REFERENCES jobs,
        error TEXT NOT NULL,
        worker TEXT NOT NULL,
        attempts INTEGER NOT NULL
    );
    """,
)


@dataclass(frozen=True)
class MadePicture:
    """A row of a finished picture."""

    key: str
    place: int
    """Among the pictures of its job, from 0."""
    file: str
    """Name in the folder of the batch."""
    image_id: str
    worker: str
    device: str
    seconds: float
    """From the start of the last attempt to all pictures of the job; 0: found finished after a restart."""
    attempts: int


@dataclass(frozen=True)
class SetAside:
    """A job that was given up."""

    key: str
    number: int
    error: str
    worker: str
    attempts: int


class JobStore:
    """`jobs.db` of a folder of pictures; one process at a time has it open for writing.

    Raises StorageError where another process does, or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / STORE_FILE
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = self._locked(folder / LOCK_FILE)
            remove_leftovers(folder)
            self._db = connect(self.path, MIGRATIONS, "FULL", WAIT_SECONDS, "truncate")
        with self._transaction() as db:
            db.execute("INSERT INTO batch SELECT ? WHERE NOT EXISTS (SELECT 1 FROM batch)", (uuid.uuid4().hex,))
            self.batch_id = str(db.execute("SELECT id FROM batch").fetchone()[0])

    def close(self) -> None:
        """Close the store, and let another process have it. The journal goes, the empty lock file stays."""
        with suppress(sqlite3.Error):  # a full disk: the journal is empty in any case
            self._db.execute("PRAGMA journal_mode = DELETE")
        self._db.close()
        self._lock.close()

    def planned_lines(self) -> dict[str, int]:
        """Return the lines that are planned already, with the number of jobs of each."""
        return {row["line"]: row["jobs"] for row in self._db.execute("SELECT line, jobs FROM lines")}

    def put_line(self, line: str, jobs: Iterable[Job]) -> None:
        """Store the jobs of a line of the list, all or none; a job that another line has already stays its."""
        jobs = list(jobs)
        plans: dict[int, str] = {}
        with self._transaction() as db:
            for job in jobs:
                digest = plans.get(id(job.recommendations))
                if digest is None:
                    text = _plan_text(job).encode()
                    digest = plans[id(job.recommendations)] = sha256(text).hexdigest()[:32]
                    values = (digest, zlib.compress(text, 6))
                    db.execute("INSERT INTO plans VALUES (?, ?) ON CONFLICT DO NOTHING", values)
                row = (job.key, job.number, line, digest, json.dumps(job.seeds), job.seconds, job.name)
                db.execute("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", row)
            db.execute("INSERT INTO lines VALUES (?, ?) ON CONFLICT DO NOTHING", (line, len(jobs)))

    def open_jobs(self, lines: Iterable[str]) -> list[Job]:
        """Return the jobs of these lines that are neither made nor set aside, by number."""
        wanted, plans = set(lines), {}
        query = """SELECT * FROM jobs WHERE key NOT IN (SELECT key FROM set_aside)
                   AND key NOT IN (SELECT key FROM pictures) ORDER BY number"""
        found = []
        for row in self._db.execute(query):
            if row["line"] not in wanted:
                continue
            if row["plan"] not in plans:
                data = self._db.execute("SELECT data FROM plans WHERE digest = ?", (row["plan"],)).fetchone()[0]
                plans[row["plan"]] = _read_plan(zlib.decompress(data).decode())
            found.append(_job(row, *plans[row["plan"]]))
        return found

    def put_pictures(self, pictures: Iterable[MadePicture]) -> int:
        """Store finished pictures, whose files are in the folder; one that is there already stays as it is.

        Returns how many were new.
        """
        keep_names(self.folder)
        now = time.time_ns() // 1_000_000
        rows = [(*vars(picture).values(), now) for picture in pictures]
        with self._transaction() as db:
            before = db.total_changes
            db.executemany("INSERT INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", rows)
            return db.total_changes - before

    def put_aside(self, job: Job, error: str, worker: str, attempts: int) -> None:
        """Store that a job was given up."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO set_aside VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", (job.key, error, worker, attempts)
            )

    def try_again(self) -> int:
        """Open the jobs that were set aside. Returns how many."""
        with self._transaction() as db:
            return db.execute("DELETE FROM set_aside").rowcount

    def pictures(self) -> list[MadePicture]:
        """Return all finished pictures, by the numbers of their jobs."""
        query = """SELECT pictures.* FROM pictures JOIN jobs USING (key) ORDER BY number, place"""
        return [
            MadePicture(*(row[name] for name in MadePicture.__dataclass_fields__)) for row in self._db.execute(query)
        ]

    def set_aside(self) -> list[SetAside]:
        """Return the jobs that were given up."""
        query = """SELECT key, number, error, set_aside.worker, attempts FROM set_aside JOIN jobs USING (key)
                   ORDER BY number"""
        return [SetAside(*row) for row in self._db.execute(query)]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with disk_errors(self.folder), in_transaction(self._db, "IMMEDIATE"):
            yield self._db

    def _locked(self, path: Path) -> sqlite3.Connection:
        """Return a connection that locks the file until it is closed or this process ends, on every system."""
        lock = sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)
        try:
            lock.execute("PRAGMA journal_mode = MEMORY")  # nothing is ever written there
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            lock.close()
            if "locked" not in str(error):
                raise
            raise StorageError(f"{self.folder} is being filled by another process; wait for it, or end it") from None
        return lock


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn errors of SQLite and the file system into a StorageError with the remedy."""
    try:
        yield
    except StorageError:
        raise
    except (sqlite3.Error, OSError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise StorageError(
            f"{folder} cannot be written ({why}); once it can be, the same command goes on where it stopped"
        ) from error


def _plan_text(job: Job) -> str:
    plan = {"recommendations": job.recommendations.to_dict(), "config": job.config.to_dict()}
    return json.dumps(plan, ensure_ascii=False, separators=(",", ":"))


def _read_plan(text: str) -> tuple[Recommendations, PipelineConfig]:
    plan = json.loads(text)
    return Recommendations.from_dict(plan["recommendations"]), PipelineConfig.from_dict(plan["config"])


def _job(row: sqlite3.Row, recommendations: Recommendations, config: PipelineConfig) -> Job:
    seeds = tuple(json.loads(row["seeds"]))
    return Job(recommendations, seeds, row["key"], config, row["number"], row["seconds"], row["name"])
