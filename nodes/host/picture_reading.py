"""Reading of the pictures that the user already has, in the background and while no prompt runs."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import folder_paths
from server import PromptServer

from ...intelligence.errors import IntelligentGenerationError
from .server_planner import planner

POLL_SECONDS = 0.5
"""Interval at which reading checks whether the running prompt has ended."""

REST = 3.0
"""Seconds of rest for each second of work: a quarter of one processor."""

MIN_INTERVAL_SECONDS = 300.0
"""Least time between two readings that nobody asked for."""


class PictureReading:
    """Reads ComfyUI's output folder and those that the user named, where that is switched on, in a thread."""

    def __init__(self) -> None:
        self.done = self.total = 0
        """Pictures of the running reading."""
        self.problem: str | None = None
        """Reason why the last reading failed."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._cancelled = threading.Event()
        self._ended: float | None = None

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> bool:
        """Start to read, unless that runs already or is switched off. Returns whether it runs."""
        with self._lock:
            if not self.running and planner().pictures.on:
                self._cancelled.clear()
                self._thread = threading.Thread(target=self._read, name="intelligent-generation-pictures", daemon=True)
                self._thread.start()
            return self.running

    def start_if_due(self) -> None:
        """Start to read, unless the last reading has just ended."""
        if self._ended is None or time.monotonic() - self._ended > MIN_INTERVAL_SECONDS:
            self.start()

    def cancel(self) -> None:
        """Stop, and keep what was read."""
        self._cancelled.set()
        if (thread := self._thread) is not None:
            thread.join(POLL_SECONDS * 4)

    def _read(self) -> None:
        from ...intelligence.history.history_reading import ReadingPace

        def cancelled() -> bool:
            """Wait while a prompt runs."""
            while not self._cancelled.is_set() and PromptServer.instance.prompt_queue.get_tasks_remaining():
                time.sleep(POLL_SECONDS)
            return self._cancelled.is_set()

        def progress(done: int, total: int) -> None:
            self.done, self.total = done, total

        self.problem = None
        try:
            pace = ReadingPace(planner().learning.keep_prompts, REST)
            planner().pictures.read([Path(folder_paths.get_output_directory())], pace, progress, cancelled)
            planner().pictures.pictures()  # remembered for the next prompt
        except IntelligentGenerationError as error:
            logging.warning("Intelligent Generation: the pictures cannot be read: %s", error)
            self.problem = str(error)
        finally:
            self.done = self.total = 0
            self._ended = time.monotonic()


picture_reading = PictureReading()
