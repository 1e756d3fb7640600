"""Reading the files that a scan found: in this process, and for large libraries in reader processes.

Describing a file keeps the processor busy and holds Python's global lock. Reader processes share this work, and leave
lock and memory of the scanning process to its other threads. What they answer is parsed by the scanning thread alone:
each further thread that wants the lock may take it before the one that serves requests.
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
from .model_rows import ModelRow, row_of
from .walk import FoundFile

CHUNK_FILES = 16
"""Files that a reader takes at a time."""

MAX_READERS = 4
"""Reader processes; each takes some 40 MB."""

FILES_PER_READER = 250
"""Files for which a process, which takes a third of a second to start, is worth it."""

Chunk = Sequence[FoundFile]
Read = tuple[FoundFile, ModelRow]
Answer = tuple[Chunk, bytes]
"""A chunk and its rows as JSON."""


def read_files(
    files: Chunk, facts: Mapping[str, ModelMetadata], cancelled: Callable[[], bool] | None = None
) -> Generator[Read]:
    """Yield each of `files` with its row as soon as it is read, in any order, until `cancelled`.

    `facts` maps paths to a hub's facts about the files there.
    """
    waiting = deque(files[start : start + CHUNK_FILES] for start in range(0, len(files), CHUNK_FILES))
    done: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    count = min(MAX_READERS, os.cpu_count() or 1, len(files) // FILES_PER_READER) if sys.executable else 0
    readers = [Reader(waiting, facts, done) for _ in range(count)]
    try:
        # `working` is read first: once it is False, the reader's last chunk is in `done` or back in `waiting`.
        while (helped := any(reader.working for reader in readers)) or waiting or not done.empty():
            if cancelled and cancelled():
                return
            for read in _next(waiting, facts, done, helped):
                if cancelled and cancelled():
                    return
                yield read
    finally:
        for reader in readers:
            reader.stop()


def _next(
    waiting: deque[Chunk], facts: Mapping[str, ModelMetadata], done: queue.SimpleQueue[Answer], helped: bool
) -> Generator[Read]:
    """Yield files that the readers have read; without readers, the next chunk, read here."""
    try:
        yield from rows_in(done.get(timeout=0.1) if helped else done.get_nowait())
    except queue.Empty:
        for file in waiting.popleft() if waiting and not helped else ():
            yield file, row_of(describe(file, facts.get(file.path)))


def rows_in(answer: Answer) -> Generator[Read]:
    """Yield the files of a reader's answer."""
    chunk, text = answer
    for file, (columns, *texts) in zip(chunk, json.loads(text), strict=True):
        yield file, ModelRow(tuple(columns), *texts)


class Reader:
    """A process that describes chunks of files for this one.

    It takes them from `waiting` and puts their rows into `done`; the chunk of a process that ends early goes back.
    """

    def __init__(
        self, waiting: deque[Chunk], facts: Mapping[str, ModelMetadata], done: queue.SimpleQueue[Answer]
    ) -> None:
        self._waiting = waiting
        self._facts = facts
        self._done = done
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="registry-reader", daemon=True)
        self._thread.start()

    @property
    def working(self) -> bool:
        """True while it may still put a chunk into `done`, or back into `waiting`."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End the process; a chunk that it has not finished is lost."""
        self._stopped = True
        if self._process is not None:
            self._process.kill()
        self._thread.join()

    def _run(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        module = "intelligence.registry.reader_processes"
        code = f"import sys; sys.path.insert(0, {root!r}); from {module} import serve; serve()"
        try:
            self._process = process = subprocess.Popen(
                [sys.executable, "-X", "utf8", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
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

    def _ask(self, process: subprocess.Popen[bytes], chunk: Chunk) -> Answer:
        """Raises OSError or ValueError when the process ends, or writes no rows."""
        assert process.stdin and process.stdout
        facts = [self._facts.get(file.path) for file in chunk]
        lines = [(*file, known and known.to_json()) for file, known in zip(chunk, facts, strict=True)]
        process.stdin.write(json.dumps(lines).encode() + b"\n")
        process.stdin.flush()
        size = int(process.stdout.readline())
        rows = process.stdout.read(size)
        if len(rows) < size:
            raise ValueError("the reader has ended")
        return chunk, rows


def serve() -> None:
    """Run a reader process: read chunks as lines of JSON; write the rows of each as JSON after a line with its size."""
    for line in sys.stdin.buffer:
        rows = []
        for model_id, kind, root, path, stamp, sidecars, facts in json.loads(line):
            file = FoundFile(model_id, ModelKind(kind), root, path, tuple(stamp), sidecars)
            rows.append(row_of(describe(file, ModelMetadata.from_json(facts) if facts else None)))
        text = json.dumps(rows, ensure_ascii=False).encode()
        sys.stdout.buffer.write(b"%d\n" % len(text) + text)
        sys.stdout.buffer.flush()
