"""The executor of this process: one job after another in the caller's thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ...memory import Resources
from ..run import Host
from ..stages import GenerationPlan
from .job_records import Job, JobStoppedError, OnJobStep, Produced, Worker


class JobTimeoutError(Exception):
    """A job took longer than an attempt may."""


class LocalExecutor:
    """Runs jobs on hosts of this process. `host_of` returns the host of a base model."""

    name = "local"
    inline = True

    def __init__(self, host_of: Callable[[str], Host]) -> None:
        self._host_of = host_of

    def start(self) -> Sequence[Worker]:
        """Return the one worker."""
        return [LocalWorker(self._host_of)]

    def close(self) -> None:
        """Release nothing: hosts keep their models for their owner."""


class LocalWorker:
    """The device of this process."""

    name = "local"
    resources: Resources | None = None
    ready = True

    def __init__(self, host_of: Callable[[str], Host]) -> None:
        self._host_of = host_of
        self._key = ""
        self._stopped = False

    def run(self, job: Job, plan: GenerationPlan, on_step: OnJobStep, timeout: float) -> Produced:
        """Make the pictures. Raises JobStoppedError, JobTimeoutError and what the host raises."""
        self._key, self._stopped = job.key, False
        end = time.monotonic() + timeout

        def step(done: int, total: int) -> None:
            if self._stopped:
                raise JobStoppedError
            if time.monotonic() > end:
                raise JobTimeoutError(f"took longer than {timeout:g} s")
            on_step(done, total)

        return Produced(self._host_of(job.base_model).execute(plan, job.seeds, step))

    def stop(self, key: str = "") -> None:
        """End the running job at its next step."""
        if key in ("", self._key):
            self._stopped = True

    def revive(self) -> bool:
        """Return True: this process is there."""
        return True

    def close(self) -> None:
        """Do nothing: the host belongs to its owner."""
