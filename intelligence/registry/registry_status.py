"""Numbers of models in the registry, and the progress of scans."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..models.kinds import ModelKind
from ..records import Record
from .model_store import ModelStore


@dataclass(frozen=True)
class RegistryStatus(Record):
    """Numbers of models in the registry, and the progress of its scan."""

    counts: dict[str, int] = field(default_factory=dict)
    """Model kind → present, usable models."""
    with_problems: int = 0
    absent: int = 0
    """Models whose files are no longer there."""
    unhashed: int = 0
    """Files without a known SHA-256."""
    scanning: bool = False
    done: int = 0
    """Files that the running scan has read."""
    total: int = 0
    """Files that the running scan has to read; 0 while it still walks the folders."""
    errors: dict[str, str] = field(default_factory=dict)
    """Path → why it was skipped or cannot be used."""
    revision: int = 0


class ScanProgress:
    """The progress of the scans that run in this process; safe for several threads."""

    def __init__(self) -> None:
        self.done = 0
        self.total = 0
        self.scans = 0
        """Number of running scans."""
        self.problems: dict[str, str] = {}
        """Path → why the last scan skipped it or it cannot be used."""
        self._lock = threading.Lock()

    @contextmanager
    def following(self, on_progress: Callable[[int, int], None] | None) -> Iterator[Callable[[int, int], None]]:
        """Yield the callback of one scan, which passes (done, total) on to `on_progress`."""

        def report(done: int, total: int) -> None:
            self.done, self.total = done, total
            if on_progress:
                on_progress(done, total)

        with self._lock:
            self.scans += 1
        try:
            yield report
        finally:
            with self._lock:
                self.scans -= 1
                if not self.scans:
                    self.done = self.total = 0


def registry_status(store: ModelStore, progress: ScanProgress) -> RegistryStatus:
    """Return the numbers of models in `store`, and the progress of running scans."""
    counts = dict.fromkeys(map(str, ModelKind), 0)
    with_problems = absent = 0
    for kind, present, usable, number in store.counts():
        if present and usable:
            counts[kind] += number
        with_problems += number * (present and not usable)
        absent += number * (not present)
    return RegistryStatus(
        counts=counts,
        with_problems=with_problems,
        absent=absent,
        unhashed=store.count_unhashed(),
        scanning=progress.scans > 0,
        done=progress.done,
        total=progress.total,
        errors={**progress.problems, **store.problems()},
        revision=store.revision(),
    )
