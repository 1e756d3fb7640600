"""Jobs under way on an executor: submitted, followed, cancelled; results as they come or in order."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

from ...errors import IntelligentGenerationError, InvalidInputError, OutOfMemoryError, UnsupportedModelError
from ..stages import GenerationPlan
from .dispatcher import Dispatcher, Settled
from .job_records import (
    Executor,
    Job,
    JobStoppedError,
    Limits,
    Outcome,
    Produced,
    RunProgress,
    Worker,
    WorkerLostError,
)

ASK_AGAIN = 0.25
"""Seconds after which a worker that had nothing to do asks again: estimates change with time."""

REVIVE_SECONDS = 2.0
"""Between attempts to get a lost worker back."""

GONE_SECONDS = 600.0
"""Time without any work after which lost workers are no longer waited for."""

WAITING = 2
"""Results a worker that wait to be taken, before workers wait too."""

PERMANENT = (InvalidInputError, UnsupportedModelError, OutOfMemoryError)
"""Errors that another attempt would only repeat."""

Fit = Callable[[Job, Worker], GenerationPlan]
"""Makes the plan of a job for the device of a worker."""

OnProgress = Callable[[RunProgress], None]


class NoWorkerLeftError(IntelligentGenerationError, RuntimeError):
    """No worker that could run the open jobs came back."""


class JobRun:
    """Runs jobs on the workers of an executor; a context manager that releases them.

    Args:
        fit: makes the plan for a worker's device, just before a job is run there.
        limits: bounds on attempts and time.
        on_progress: called with the state of the run after each step and each job, from one thread at a time.
    """

    def __init__(
        self, executor: Executor, fit: Fit, limits: Limits | None = None, on_progress: OnProgress | None = None
    ) -> None:
        self._executor = executor
        self._fit = fit
        self._limits = limits or Limits()
        self._on_progress = on_progress
        self._dispatcher = Dispatcher(self._limits, self._fits)
        self._changed = threading.Condition(threading.RLock())
        self._cancelled = False
        self._worked = time.monotonic()
        """When a worker last did anything."""
        self._workers: dict[str, Worker] = {}
        self._plans: dict[tuple[str, object], bool] = {}
        self._outcomes: queue.Queue[Outcome | None] = queue.Queue()
        self._threads: list[threading.Thread] = []
        self._total = self._done = self._failed = 0

    def __enter__(self) -> JobRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, factors: Callable[[Worker], float | None] = lambda worker: None) -> Sequence[Worker]:
        """Get the workers ready. `factors`: the known speed of each, see `Dispatcher.add_worker`."""
        if not self._workers:
            for worker in self._executor.start():
                self._workers[worker.name] = worker
                self._add(worker, factors(worker), alive=worker.ready)
            self._worked = time.monotonic()
        return list(self._workers.values())

    def submit(self, jobs: Iterable[Job]) -> int:
        """Take jobs, also while others run. One whose key is known already is left out. Returns how many were new."""
        with self._changed:
            new = self._dispatcher.submit(jobs)
            self._total += new
            self._changed.notify_all()
        return new

    def results(self, *, in_order: bool = False) -> Iterator[Outcome]:
        """Yield what became of each job, as it comes or by the jobs' numbers, until all are settled or cancelled.

        Raises NoWorkerLeftError where jobs are open and no worker for them came back in `GONE_SECONDS`.
        """
        self.start()
        found = self._inline() if self._executor.inline else self._threaded()
        return self._ordered(found) if in_order else found

    def cancel(self) -> None:
        """End every running job within a step, and start no other."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()
        for worker in self._workers.values():
            worker.stop()

    def close(self) -> None:
        """Cancel what runs, and release the workers."""
        self.cancel()
        with suppress(queue.Empty):  # a thread that waits to hand over its result goes on
            while True:
                self._outcomes.get_nowait()
        for thread in self._threads:
            while thread.is_alive():
                with suppress(queue.Empty):
                    self._outcomes.get(timeout=0.05)
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()
        self._executor.close()

    def progress(self) -> RunProgress:
        """Return the state of the run."""
        with self._changed:
            left = self._dispatcher.seconds_left(time.monotonic())
            accounts, retried = self._dispatcher.accounts(), self._dispatcher.retried
            return RunProgress(self._done, self._total, self._failed, retried, left, accounts)

    def _fits(self, job: Job, worker: str) -> bool:
        """Tell, once for each setup and size, whether a job's plan fits a worker's memory."""
        if len(self._workers) < 2 or (resources := self._workers[worker].resources) is None:
            return True
        parameters = job.recommendations.suggested_params
        place = (worker, (job.setup, parameters.width, parameters.height, len(job.seeds), resources.total_gb))
        if place not in self._plans:
            self._plans[place] = self._fit(job, self._workers[worker]).memory.fits
        return self._plans[place]

    def _inline(self) -> Iterator[Outcome]:
        (worker,) = self._workers.values()
        while not self._cancelled and (job := self._dispatcher.take(worker.name, time.monotonic())):
            if outcome := self._attempt(worker, job):
                yield outcome
                self._tell()

    def _threaded(self) -> Iterator[Outcome]:
        self._outcomes = queue.Queue(WAITING * len(self._workers))
        for job in self._dispatcher.unplaceable():
            yield self._count(Outcome(job, error=OutOfMemoryError("it fits into the memory of no worker")))
        self._threads = [
            threading.Thread(target=self._serve, args=(worker,), name=f"jobs on {worker.name}", daemon=True)
            for worker in self._workers.values()
        ]
        for thread in self._threads:
            thread.start()
        while True:
            if any(thread.is_alive() for thread in self._threads):
                try:
                    outcome = self._outcomes.get(timeout=ASK_AGAIN)
                except queue.Empty:
                    self._tell()
                    continue
            else:
                try:
                    outcome = self._outcomes.get_nowait()
                except queue.Empty:
                    break
            if outcome is not None:
                yield outcome
                self._tell()
        if self._dispatcher.open and not self._cancelled:
            raise NoWorkerLeftError(
                f"{self._dispatcher.open} jobs are open and no worker for them came back; run the same again to go on"
            )

    def _serve(self, worker: Worker) -> None:
        if not worker.ready:
            self._revive(worker)
        while job := self._wait_for_job(worker):
            if outcome := self._attempt(worker, job):
                self._outcomes.put(outcome)
        self._outcomes.put(None)  # wakes who waits for results

    def _wait_for_job(self, worker: Worker) -> Job | None:
        """Return the next job of a worker; None: there is nothing left for it."""
        with self._changed:
            while self._goes_on():
                if worker.ready and (job := self._dispatcher.take(worker.name, time.monotonic())):
                    return job
                self._changed.wait(ASK_AGAIN)
        return None

    def _attempt(self, worker: Worker, job: Job) -> Outcome | None:
        """Run a job once. Returns its outcome where it is settled now."""
        plan: GenerationPlan | None = None
        produced: Produced | None = None
        problem: Exception | None = None
        started = time.monotonic()
        try:
            plan = self._fit(job, worker)
            produced = worker.run(job, plan, lambda done, total: self._on_step(worker, done, total), self._timeout)
        except Exception as error:  # noqa: BLE001 - a job may fail in any way; it is set aside with its error
            problem = error
        now = time.monotonic()
        device = worker.resources.name if worker.resources else ""
        if produced and produced.execution:
            device = produced.execution.device or device
        with self._changed:
            self._worked = now
            self._dispatcher.tell_device(worker.name, device)
            attempts = self._dispatcher.attempts(job)
            settled = self._settle(worker, job, problem, now)
            self._changed.notify_all()
        for name in settled.stop:
            self._workers[name].stop(job.key)
        if isinstance(problem, WorkerLostError):
            self._revive(worker)
        if not settled.counts:
            return None
        outcome = Outcome(
            job, plan, produced, problem, worker.name, device, self._executor.inline, now - started, attempts
        )
        return self._count(outcome)

    @property
    def _timeout(self) -> float:
        return self._limits.timeout

    def _settle(self, worker: Worker, job: Job, problem: Exception | None, now: float) -> Settled:
        name, jobs = worker.name, self._dispatcher
        if problem is None:
            return jobs.finished(name, job, now)
        if isinstance(problem, JobStoppedError):
            jobs.stopped(name, job, now)
            return Settled(False)
        if isinstance(problem, WorkerLostError):
            return jobs.lost(name, job, now)
        return jobs.failed(name, job, now, permanent=isinstance(problem, PERMANENT))

    def _revive(self, worker: Worker) -> None:
        """Wait until a lost worker is usable again, or nothing is left to do."""
        while self._goes_on():
            with suppress(IntelligentGenerationError):  # another program may answer in a server's place
                if worker.revive():
                    with self._changed:
                        self._worked = time.monotonic()
                        self._add(worker)
                    return
            with self._changed:
                self._changed.wait(REVIVE_SECONDS)

    def _goes_on(self) -> bool:
        """Return True while jobs are open and there is hope for them."""
        with self._changed:
            hope = time.monotonic() - self._worked < GONE_SECONDS or not self._dispatcher.is_idle()
            return hope and not self._cancelled and self._dispatcher.open > 0

    def _add(self, worker: Worker, factor: float | None = None, *, alive: bool = True) -> None:
        device = worker.resources.name if worker.resources else ""
        self._dispatcher.add_worker(worker.name, device, factor, alive=alive)

    def _count(self, outcome: Outcome) -> Outcome:
        with self._changed:
            self._done += outcome.error is None
            self._failed += outcome.error is not None
        return outcome

    def _on_step(self, worker: Worker, done: int, total: int) -> None:
        if self._cancelled:
            raise JobStoppedError
        with self._changed:
            self._dispatcher.report(worker.name, done, total)
        if self._executor.inline:
            self._tell()

    def _tell(self) -> None:
        if self._on_progress:
            self._on_progress(self.progress())

    def _ordered(self, found: Iterator[Outcome]) -> Iterator[Outcome]:
        held: dict[int, Outcome] = {}
        following = 0
        for outcome in found:
            held[outcome.job.number] = outcome
            while following in held:
                yield held.pop(following)
                following += 1
        yield from (held[number] for number in sorted(held))
