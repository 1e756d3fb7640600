"""Reading the files that a scan found: here, and for large libraries in a second process beside it.

Describing a file is work for the processor that holds Python's lock from start to end. A second interpreter halves the
time of a first scan, and leaves the lock of the program that scans to its other threads.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

from .describe import describe
from .kinds import ModelKind
from .metadata import ModelMetadata
from .sidecars import PREVIEWS
from .stored import Row, row_of
from .walk import PICKLED, FoundFile, encodable

CHUNK = 16
"""Files that are read in one go."""

AHEAD = 4
"""Chunks that are read ahead, side by side, so that the describing finds files in memory; it helps on slow disks."""

PRELOADED = 128 * 1024
"""Bytes; headers of LoRAs and most sidecars are smaller."""

SECOND_READER_FROM = 500
"""Files from which a second process is worth its start."""

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
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(AHEAD, thread_name_prefix="registry-read-ahead"))
        stack.callback(pool.shutdown, cancel_futures=True)
        second = None
        if len(files) >= SECOND_READER_FROM and (os.cpu_count() or 1) > 1 and sys.executable:
            second = SecondReader(waiting, hub)
            stack.callback(second.stop)
        ahead = iter(list(waiting))
        for chunk in _first(ahead, AHEAD):
            pool.submit(_preload, chunk)
        while True:
            try:
                chunk = waiting.popleft()
            except IndexError:
                if second is None or not second.working():
                    break
                chunk = ()
            for following in _first(ahead, 2):
                pool.submit(_preload, following)
            for file in chunk:
                if cancelled and cancelled():
                    return
                yield file, row_of(describe_file(file, hub.get(file.path)))
            for read in second.results(wait=not chunk) if second else ():
                if cancelled and cancelled():
                    return
                yield read


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


class SecondReader:
    """A process that describes chunks of files for this one.

    It takes its chunks from `waiting`, as this process does; when it ends before its time, for whatever reason, the
    chunk that it had goes back there.
    """

    def __init__(self, waiting: deque[Chunk], hub: Mapping[str, ModelMetadata]) -> None:
        self._waiting = waiting
        self._hub = hub
        self._done: queue.SimpleQueue[list[Read]] = queue.SimpleQueue()
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="registry-second-reader", daemon=True)
        self._thread.start()

    def working(self) -> bool:
        """Whether more results may come."""
        return self._thread.is_alive() or not self._done.empty() or bool(self._waiting)

    def results(self, wait: bool = False) -> Generator[Read]:
        """What it has read; with `wait`, of at least one chunk, unless it takes longer than a moment."""
        with suppress(queue.Empty):
            while True:
                yield from self._done.get(timeout=0.05) if wait else self._done.get_nowait()
                wait = False

    def stop(self) -> None:
        """End the process; chunks that it has not finished are lost."""
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
    """What the second process does: chunks as lines of JSON in, one row as a line of JSON out for each file."""
    for line in sys.stdin:
        for model_id, kind, root, path, stamp, sidecars, partial in json.loads(line):
            file = FoundFile(model_id, ModelKind(kind), root, path, tuple(stamp), sidecars)
            row = row_of(describe_file(file, ModelMetadata.from_json(partial) if partial else None))
            sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
        sys.stdout.flush()


def _row(line: str) -> Row:
    columns, *texts = json.loads(line)
    return Row(tuple(columns), *texts)


def _first(chunks: Iterable[Chunk], count: int) -> list[Chunk]:
    return [chunk for _, chunk in zip(range(count), chunks, strict=False)]


def _preload(chunk: Chunk) -> None:
    """Have the system read the start of each file, where a model's header is; `describe` tells what cannot be read."""
    for file in chunk:
        for path in (file.path, *(beside for suffix, beside in file.sidecars.items() if suffix not in PREVIEWS)):
            with suppress(OSError), Path(path).open("rb", buffering=0) as opened:
                opened.read(PRELOADED)


def _unusable(file: FoundFile, path: Path, reason: str) -> ModelMetadata:
    return ModelMetadata(
        model_id=file.model_id,
        name=encodable(path.stem),
        kind=file.kind,
        local_path=encodable(file.path),
        size_bytes=file.stamp[0],
        problem=f"{encodable(path.name)}: {reason}",
    )
