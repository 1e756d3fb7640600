"""Writes the pictures of jobs into their folder: files first, each whole or not at all, then their rows."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ...whole_files import write_whole
from ..image_file import image_record, save_picture, write_record
from ..picture_history import picture_record
from .job_records import Job, Outcome
from .job_store import JobStore, MadePicture, disk_errors
from .planned_run import PlannedRun

WAITING = 32
"""Outcomes that wait to be written before the executor waits; the rows of as many are committed together."""

SUFFIX = ".png"


OnPicture = Callable[[Path, str], None]
"""Called with a picture's path and the id by which it is rated."""


def file_name(job: Job, place: int) -> str:
    """Return the name of a picture of a job: number, seed, and the first digits of the key."""
    return f"{job.number:05d}-{job.seeds[place]}-{job.key[:12]}{SUFFIX}"


def found_pictures(folder: Path, jobs: Iterable[Job]) -> Iterator[MadePicture]:
    """Yield the pictures of jobs whose files are all there, which were written just before an earlier run ended."""
    there = {path.name for path in folder.glob(f"*{SUFFIX}")}
    for job in jobs:
        names = [file_name(job, place) for place in range(len(job.seeds))]
        if there.issuperset(names):
            records = [picture_record(folder / name) for name in names]
            if all(records):
                for place, (name, record) in enumerate(zip(names, records, strict=True)):
                    assert record is not None
                    write_record(folder / name, {**record, "file": name})
                    device = str(record.get("device", ""))
                    yield MadePicture(job.key, place, name, str(record.get("image_id", "")), "", device, 0.0, 1)


class PictureWriter:
    """A thread that writes outcomes; a context manager. Its first error is raised by the next `put` or `flush`."""

    def __init__(self, store: JobStore, planned: PlannedRun, on_picture: OnPicture | None = None) -> None:
        self._store = store
        self._planned = planned
        self._on_picture = on_picture or (lambda path, image_id: None)
        self._waiting: queue.Queue[Outcome | None] = queue.Queue(WAITING)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="pictures of jobs", daemon=True)

    def __enter__(self) -> PictureWriter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what waits, and end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def put(self, outcome: Outcome) -> None:
        """Hand over an outcome; waits while too many do. Raises StorageError where an earlier one was not written."""
        self._check()
        self._waiting.put(outcome)

    def flush(self) -> None:
        """Wait until all is written. Raises StorageError where it cannot be."""
        self._waiting.join()
        self._check()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        made: list[MadePicture] = []
        taken = 0
        while True:
            outcome = self._waiting.get()
            taken += 1
            try:
                if outcome is not None and self._error is None:
                    made += self._written(outcome)
                if made and (outcome is None or self._waiting.empty() or len(made) >= WAITING):
                    self._store.put_pictures(made)
                    made = []
            except Exception as error:  # noqa: BLE001 - raised in the thread that hands outcomes over
                self._error = self._error or error
            if outcome is None or self._waiting.empty() or not made:
                for _ in range(taken):
                    self._waiting.task_done()
                taken = 0
            if outcome is None:
                return

    def _written(self, outcome: Outcome) -> list[MadePicture]:
        """Write the files of an outcome; a job without pictures is set aside. Returns the rows to store."""
        job = outcome.job
        if outcome.error is not None:
            said = str(outcome.error).strip() or type(outcome.error).__name__
            self._store.put_aside(job, said, outcome.worker, outcome.attempts)
            return []
        assert outcome.produced is not None
        as_they_are = outcome.produced.files and not self._planned.own_steps
        ids = self._server_files(outcome) if as_they_are else self._results(outcome)
        for place, image_id in enumerate(ids):
            self._on_picture(self._store.folder / file_name(job, place), image_id)
        return [
            MadePicture(
                job.key,
                place,
                file_name(job, place),
                image_id,
                outcome.worker,
                outcome.device,
                outcome.seconds,
                outcome.attempts,
            )
            for place, image_id in enumerate(ids)
        ]

    def _results(self, outcome: Outcome) -> Sequence[str]:
        results = self._planned.results(outcome, self._store.batch_id)
        for place, result in enumerate(results):
            generation, used_files = result.generation, result.used_files
            if used_files:
                generation = used_files.waited(generation)
            path = self._store.folder / file_name(outcome.job, place)
            save_picture(path, result.image, generation, place)
        return [result.id for result in results]

    def _server_files(self, outcome: Outcome) -> Sequence[str]:
        """Write the files of a server as they are, the record beside them, and store the generation for rating."""
        folder, produced = self._store.folder, outcome.produced
        _, generation = self._planned.from_server(outcome, self._store.batch_id)
        assert produced is not None
        for place, content in enumerate(produced.files):
            path = folder / file_name(outcome.job, place)
            with disk_errors(folder):
                write_whole(path, partial(_write, content))
                record = picture_record(path) or image_record(generation, place)
                write_record(path, {**record, "file": path.name})
        return generation.image_ids


def _write(content: bytes, file: BinaryIO) -> None:
    file.write(content)
