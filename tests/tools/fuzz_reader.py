"""A process that reads forged inputs, apart from what makes them: its memory and its end are the readers' own."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import tempfile
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from tests.tools.fuzz_targets import read_or_refuse

READ, REFUSED, DIED, STUCK = "read", "refused", "died", "stuck"
PATIENCE_SECONDS = 600
"""Wait for one input, where other programs may keep the processor."""
AHEAD = 50
"""Inputs that the process is given at a time: on a busy machine each wait for an answer is one for the processor."""
_COLLECT = b"\0collect"


class Read(NamedTuple):
    """What became of an input."""

    seconds: float
    """Run or slept; not those in which other programs had the processor, where the system tells them (Linux)."""
    processor_seconds: float
    ended: str
    """READ, REFUSED, DIED, STUCK, or an error that is not the pack's."""


def own_seconds() -> float:
    """Return a clock that stands still while this thread is ready to run and others have the processor.

    Unlike the processor's time, it counts what is slept or waited for a disk, a lock or the network.
    """
    try:
        ready = int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return time.process_time()
    return time.perf_counter() - ready


def memory_mb(process: int) -> float:
    """Return the resident memory of a process, where the system tells it."""
    status = Path(f"/proc/{process}/statm")
    return int(status.read_text().split()[1]) * 4096 / 1e6 if status.exists() else 0.0


class Reader:
    """Reads inputs of one target in a process, which is made anew when one ends it."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.processor_seconds = 0.0
        self._start()

    def read(self, inputs: Sequence[bytes]) -> list[Read]:
        """Return what became of each input."""
        found: list[Read] = []
        while len(found) < len(inputs):
            given = inputs[len(found) :][:AHEAD]
            with suppress(OSError):  # a process that has ended gives no answer either
                for data in given:
                    self._pipe.send_bytes(data)
            for _ in given:
                found.append(self._answer())
                if found[-1].ended in (DIED, STUCK):
                    self.close()
                    self._start()
                    break
        self.processor_seconds += sum(one.processor_seconds for one in found)
        return found

    def _answer(self) -> Read:
        try:
            arrived = self._pipe.poll(PATIENCE_SECONDS)
            found: Read = self._pipe.recv() if arrived else Read(PATIENCE_SECONDS, 0.0, STUCK)
        except (EOFError, OSError):
            found = Read(0.0, 0.0, DIED)
        return found

    def memory_mb(self) -> float:
        """Return what the process holds once its garbage is collected."""
        self._pipe.send_bytes(_COLLECT)
        return float(self._pipe.recv())

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self.target), daemon=True)
        self._process.start()
        theirs.close()


def _serve(pipe: Connection, target: str) -> None:
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what makes the inputs ends this
    while True:
        data = pipe.recv_bytes()
        if data == _COLLECT:
            gc.collect()
            pipe.send(memory_mb(os.getpid()))
            continue
        with tempfile.TemporaryDirectory() as folder:
            begun, begun_processor = own_seconds(), time.process_time()
            try:
                ended = READ if read_or_refuse(target, data, Path(folder)) else REFUSED
            except Exception as error:  # noqa: BLE001 - that is what is looked for
                ended = f"{type(error).__name__}: {error}"[:200]
            pipe.send(Read(own_seconds() - begun, time.process_time() - begun_processor, ended))
