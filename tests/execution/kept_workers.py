"""Workers that several runs share: starting Ray's takes longer than the runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from intelligence.generation.execution.job_records import Worker


class Kept:
    """The executor of workers that were started before."""

    name = "kept"
    inline = False

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.workers = [KeptWorker(worker) for worker in workers]

    def start(self) -> Sequence[Any]:
        return self.workers

    def close(self) -> None:
        pass


class KeptWorker:
    """A worker that is not closed with its run."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._worker, name)

    def close(self) -> None:
        pass
