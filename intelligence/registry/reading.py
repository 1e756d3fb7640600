"""Reading the files that a scan found: here, and for large libraries in processes of their own.

Describing a file is work for the processor, during which Python's lock is held. Readers in other processes share it
between them, and leave lock and memory of the program that scans to its other threads.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path

from ..models.kinds import ModelKind
from ..models.metadata import ModelMetadata
from .describe import describe
from .model_rows import Row, row_of
from .walk import PICKLED, FoundFile, encodable

CHUNK = 16
"""Files that are read in one go."""

MAX_READERS = 4
"""Processes; each takes some 40 MB while it reads."""

FILES_PER_READER = 250
"""From which on a process is worth its start of a third of a second."""

Chunk = Sequence[FoundFile]
Read = tuple[FoundFile, Row]


def read_all(
    files: Chunk, hub: Mapping[str, ModelMetadata], cancelled: Callable[[], bool] | None = None
) -> Generator[Read]:
    """Each of `files` with its row as soon as it is read, until `cancelled`; in any order.

    Args:
        hub: path → what a hub said of the file there.
    """
    waiting = deque(files[start : start + CHUNK] for start in range(0, len(files), CHUNK))
    done: queue.SimpleQueue[list[Read]] = queue.SimpleQueue()
    count = min(MAX_READERS, os.cpu_count() or 1, len(files) // FILES_PER_READER) if sys.executable else 0
    readers = [Reader(waiting, hub, done) for _ in range(count)]
    try:
        # Looked at before the rest: a reader's last chunk lies in `done` or `waiting` once it no longer works.
        while (helped := any(reader.working for reader in readers)) or waiting or not done.empty():
            if cancelled and cancelled():
                return
            for read in _next(waiting, hub, done, helped):
                if cancelled and cancelled():
                    return
                yield read
    finally:
        for reader in readers:
            reader.stop()


def _next(
    waiting: deque[Chunk], hub: Mapping[str, ModelMetadata], done: queue.SimpleQueue[list[Read]], helped: bool
) -> Generator[Read]:
    """What the readers have read; where there are none, the next chunk, read here."""
    try:
        yield from done.get(timeout=0.1) if helped else done.get_nowait()
    except queue.Empty:
        for file in waiting.popleft() if waiting and not helped else ():
            yield file, row_of(describe_file(file, hub.get(file.path)))


def describe_file(file: FoundFile, partial: ModelMetadata | None = None) -> ModelMetadata:
    """The record of one file; what cannot be used gets its `problem` named.

    Args:
        partial: what a hub said of it.
    """
    path = Path(file.path)
    if path.suffix.lower() in PICKLED:
        reason = "a pickled file can run code when loaded; it is never opened. Use its .safetensors version"
        return _unusable(file, path, reason)
    if encodable(file.path) != file.path:
        return _unusable(file, path, "its name is not valid UTF-8; rename it")
    sidecars = {suffix: Path(beside) for suffix, beside in file.sidecars.items()}
    return describe(path, file.model_id, file.kind, sidecars, partial)


class Reader:
    """A process that describes chunks of files for this one.

    It takes them from `waiting` and puts their rows into `done`; when it ends before its time, for whatever reason, the
    chunk that it had goes back.
    """

    def __init__(
        self, waiting: deque[Chunk], hub: Mapping[str, ModelMetadata], done: queue.SimpleQueue[list[Read]]
    ) -> None:
        self._waiting = waiting
        self._hub = hub
        self._done = done
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="registry-reader", daemon=True)
        self._thread.start()

    @property
    def working(self) -> bool:
        """Whether it may still put something into `done`, or back into `waiting`."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End the process; a chunk that it has not finished is lost."""
        self._stopped = True
        if self._process is not None:
            self._process.kill()
        self._thread.join()

    def _run(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        code = f"import sys; sys.path.insert(0, {root!r}); from intelligence.registry.reading import serve; serve()"
        try:
            self._process = process = subprocess.Popen(
                [sys.executable, "-X", "utf8", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError:
            return
        with process:
            while not self._stopped:
                try:
                    chunk = self._waiting.popleft()
                except IndexError:
                    break
                try:
                    self._done.put(self._ask(process, chunk))
                except (OSError, ValueError):
                    self._waiting.append(chunk)
                    break

    def _ask(self, process: subprocess.Popen[str], chunk: Chunk) -> list[Read]:
        """Raises OSError or ValueError when there is no sound answer."""
        assert process.stdin and process.stdout
        asked = [(file, self._hub.get(file.path)) for file in chunk]
        process.stdin.write(json.dumps([(*file, partial and partial.to_json()) for file, partial in asked]) + "\n")
        process.stdin.flush()
        return [(file, _row(process.stdout.readline())) for file in chunk]


def serve() -> None:
    """What a reader's process does: chunks as lines of JSON in, one row as a line of JSON out for each file."""
    for line in sys.stdin:
        for model_id, kind, root, path, stamp, sidecars, partial in json.loads(line):
            file = FoundFile(model_id, ModelKind(kind), root, path, tuple(stamp), sidecars)
            row = row_of(describe_file(file, ModelMetadata.from_json(partial) if partial else None))
            sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
        sys.stdout.flush()


def _row(line: str) -> Row:
    columns, *texts = json.loads(line)
    return Row(tuple(columns), *texts)


def _unusable(file: FoundFile, path: Path, reason: str) -> ModelMetadata:
    return ModelMetadata(
        model_id=file.model_id,
        name=encodable(path.stem),
        kind=file.kind,
        local_path=encodable(file.path),
        size_bytes=file.stamp[0],
        problem=f"{encodable(path.name)}: {reason}",
    )
