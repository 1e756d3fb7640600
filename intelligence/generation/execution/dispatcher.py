"""Decides which worker runs which job next. Pure bookkeeping: threads, devices and time are the caller's.

Workers that are free ask for a job, so that each gets as many as it can do. Jobs of one setup (checkpoint and LoRAs)
stay with a worker that has it loaded. At the end a job goes to a slow worker only where the others would not have
finished everything before it; a free worker takes over a job that it would end sooner than the one at it. The first
result of a job counts.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from .job_records import Job, Limits, Setup, WorkerProgress

LEARNING = 0.4
"""Weight of a job's time against what was known of its worker."""

LOOK_AHEAD = 256
"""Open jobs that are dealt out in thought; with more, no worker is too slow to help."""

TAKE_OVER = 1.25
"""Times that the rest of a running job must outlast a whole one elsewhere, to be worth running twice."""

OVERDUE = 0.5
"""Share of the time since its start that an overdue job is thought to need still."""

TOLD = 0.2
"""Share of a job's steps from which they tell its time."""

Fits = Callable[[Job, str], bool]


@dataclass
class _Worker:
    account: WorkerProgress
    factor: float | None = None
    """Seconds for a predicted second; None: unknown."""
    setup: Setup | None = None
    job: Job | None = None
    started: float = 0.0
    fraction: float = 0.0


@dataclass
class _History:
    errors: int = 0
    losses: int = 0
    failed_on: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Settled:
    """Consequences of a job's end."""

    counts: bool
    """It is settled now; False: it was before, or runs again."""
    stop: tuple[str, ...] = ()
    """Workers that still run it."""


class Dispatcher:
    """Open jobs and workers. `fits(job, worker)` tells where a job's memory plan fits; not safe for threads."""

    def __init__(self, limits: Limits | None = None, fits: Fits | None = None) -> None:
        self.limits = limits or Limits()
        self._fits = fits or (lambda job, worker: True)
        self._workers: dict[str, _Worker] = {}
        self._pending: dict[Setup, deque[Job]] = {}
        self._histories: dict[str, _History] = {}
        self._running: dict[str, set[str]] = {}
        """Workers at each job that runs."""
        self._settled: set[str] = set()
        self._known: set[str] = set()
        self._waiting = 0.0
        """Predicted seconds of the pending jobs."""
        self.open = 0
        """Jobs that are not settled."""
        self.retried = 0

    def add_worker(self, name: str, device: str = "", factor: float | None = None, *, alive: bool = True) -> None:
        """Make a worker known, or usable again. `factor`: its seconds for a predicted second, where it is known."""
        worker = self._workers.setdefault(name, _Worker(WorkerProgress(name), factor))
        worker.account.alive, worker.setup = alive, None
        self.tell_device(name, device)

    def tell_device(self, name: str, device: str) -> None:
        """Note what a worker runs on; of some only their results tell. Empty: not told."""
        account = self._workers[name].account
        account.device = device or account.device

    def submit(self, jobs: Iterable[Job]) -> int:
        """Take jobs; one whose key is known already is left out. Returns how many were new."""
        new = 0
        for job in jobs:
            if job.key not in self._known:
                self._known.add(job.key)
                self._put(job)
                new += 1
        self.open += new
        return new

    def take(self, name: str, now: float) -> Job | None:
        """Return the job that the worker should start now; None: none, for the time being."""
        worker = self._workers[name]
        job = self._next_pending(worker, now) or self._stealable(worker, now)
        if job is not None:
            setup = job.setup
            worker.account.setups += worker.setup not in (None, setup)
            worker.setup, worker.job, worker.started, worker.fraction = setup, job, now, 0.0
            worker.account.step = (0, 0)
            self._running.setdefault(job.key, set()).add(name)
        return job

    def report(self, name: str, done: int, total: int) -> None:
        """Note the steps of the job that a worker runs."""
        worker = self._workers[name]
        worker.account.step = (done, total)
        worker.fraction = done / total if total else 0.0

    def finished(self, name: str, job: Job, now: float) -> Settled:
        """Note a result. It counts if it is the job's first."""
        worker = self._workers[name]
        taken = now - worker.started
        factor = taken / max(job.seconds, 1e-9)
        old = worker.factor
        worker.factor = factor if old is None or not worker.account.done else old + LEARNING * (factor - old)
        self._leave(worker, now)
        settled = self._settle(job)
        worker.account.done += settled.counts
        return settled

    def failed(self, name: str, job: Job, now: float, *, permanent: bool = False) -> Settled:
        """Note an error of the job itself: it is tried again, elsewhere where it can be, or set aside for good."""
        history = self._history(job)
        history.errors += 1
        history.failed_on.add(name)
        self._leave(self._workers[name], now)
        return self._again(job, permanent or history.errors >= self.limits.errors)

    def lost(self, name: str, job: Job, now: float) -> Settled:
        """Note that a worker was lost under a job; it takes none until `add_worker`."""
        history = self._history(job)
        history.losses += 1
        worker = self._workers[name]
        self._leave(worker, now)
        worker.account.alive = False
        return self._again(job, history.losses >= self.limits.losses)

    def stopped(self, name: str, job: Job, now: float) -> None:
        """Note that a worker ended a job early, as it was told: the job is open unless it is settled."""
        self._leave(self._workers[name], now)
        self._again(job, False, counted=False)

    def attempts(self, job: Job) -> int:
        """Return how often the job was started and came to an end."""
        history = self._histories.get(job.key, _History())
        return history.errors + history.losses + 1

    def is_idle(self) -> bool:
        """Return True where no worker has a job."""
        return not self._running

    def unplaceable(self) -> list[Job]:
        """Take out, settled, the pending jobs that fit no worker."""
        waiting = [job for jobs in self._pending.values() for job in jobs]
        found = [job for job in waiting if not any(self._fits(job, name) for name in self._workers)]
        for job in found:
            self._remove(job, self._pending[job.setup].index(job))
            self._settle(job)
        return found

    def accounts(self) -> tuple[WorkerProgress, ...]:
        """Return the account of each worker."""
        return tuple(worker.account for worker in self._workers.values())

    def seconds_left(self, now: float) -> float | None:
        """Return the time until all is done, by the speeds seen so far; None: none was seen."""
        alive = [worker for worker in self._workers.values() if worker.account.alive]
        if not alive or all(worker.factor is None for worker in alive):
            return None
        speed = sum(1 / self._factor(worker) for worker in alive)
        running = sum(self._remaining(worker, now) / self._factor(worker) for worker in alive if worker.job)
        return (self._waiting + running) / speed

    def _next_pending(self, worker: _Worker, now: float) -> Job | None:
        for setup in self._by_preference(worker):
            jobs = self._pending[setup]
            for place, job in enumerate(jobs):
                if self._may_run(worker, job):
                    if not self._helps(worker, job, now):
                        return None
                    self._remove(job, place)
                    return job
        return None

    def _by_preference(self, worker: _Worker) -> Iterator[Setup]:
        """Setups with open jobs: the one that is loaded, then those of its checkpoint, then those with most to do."""
        if worker.setup in self._pending:
            yield worker.setup
        setups = {setup: len(jobs) for setup, jobs in self._pending.items() if setup != worker.setup}
        base = worker.setup.base_model if worker.setup else None
        at_it = [other.setup for other in self._workers.values() if other.job is not None]

        def order(setup: Setup) -> tuple[bool, float]:
            return setup.base_model != base, -setups[setup] / (1 + at_it.count(setup))

        yield from sorted(setups, key=order)

    def _may_run(self, worker: _Worker, job: Job) -> bool:
        name = worker.account.name
        if not self._fits(job, name):
            return False
        failed_on = self._histories[job.key].failed_on if job.key in self._histories else ()
        return name not in failed_on or not any(
            other.account.alive and each not in failed_on and self._fits(job, each)
            for each, other in self._workers.items()
        )

    def _helps(self, worker: _Worker, job: Job, now: float) -> bool:
        """Return False where the other workers alone would end everything before this one ends the job."""
        others = [other for other in self._workers.values() if other is not worker and other.account.alive]
        waiting = [each for jobs in self._pending.values() for each in jobs] if self.open <= LOOK_AHEAD else []
        if not others or not waiting:
            return True
        free = [(self._remaining(other, now) if other.job else 0.0, place) for place, other in enumerate(others)]
        heapq.heapify(free)
        end = 0.0
        for each in waiting:
            at, place = heapq.heappop(free)
            at += each.seconds * self._factor(others[place])
            end = max(end, at)
            heapq.heappush(free, (at, place))
        return job.seconds * self._factor(worker) <= end

    def _stealable(self, worker: _Worker, now: float) -> Job | None:
        """Return the running job that this worker would shorten most by starting it anew."""
        if self._pending:
            return None
        best, most = None, 0.0
        for other in self._workers.values():
            job = other.job
            if job is None or job.key in self._settled or self._copies(job) > 1 or not self._may_run(worker, job):
                continue
            gain = self._remaining(other, now) - TAKE_OVER * job.seconds * self._factor(worker)
            if gain > most:
                best, most = job, gain
        self.retried += best is not None
        return best

    def _copies(self, job: Job) -> int:
        return len(self._running.get(job.key, ()))

    def _remaining(self, worker: _Worker, now: float) -> float:
        assert worker.job is not None
        elapsed = now - worker.started
        if worker.fraction >= TOLD:
            return elapsed / worker.fraction - elapsed
        return max(worker.job.seconds * self._factor(worker) - elapsed, OVERDUE * elapsed)

    def _factor(self, worker: _Worker) -> float:
        """Seconds for a predicted second: its own, else the usual one of the others."""
        if worker.factor is not None:
            return worker.factor
        known = [other.factor for other in self._workers.values() if other.factor is not None]
        return sum(known) / len(known) if known else 1.0

    def _history(self, job: Job) -> _History:
        return self._histories.setdefault(job.key, _History())

    def _leave(self, worker: _Worker, now: float) -> None:
        worker.account.busy_seconds += now - worker.started
        worker.account.step = (0, 0)
        if worker.job is not None:
            at_it = self._running[worker.job.key]
            at_it.discard(worker.account.name)
            if not at_it:
                del self._running[worker.job.key]
        worker.job = None

    def _settle(self, job: Job) -> Settled:
        if job.key in self._settled:
            return Settled(False)
        self._settled.add(job.key)
        self.open -= 1
        return Settled(True, tuple(self._running.get(job.key, ())))

    def _again(self, job: Job, set_aside: bool, *, counted: bool = True) -> Settled:
        if job.key in self._settled or self._copies(job):
            return Settled(False)
        if set_aside:
            return self._settle(job)
        self.retried += counted
        self._put(job)
        return Settled(False)

    def _put(self, job: Job) -> None:
        self._pending.setdefault(job.setup, deque()).append(job)
        self._waiting += job.seconds

    def _remove(self, job: Job, place: int) -> None:
        jobs = self._pending[job.setup]
        del jobs[place]
        self._waiting -= job.seconds
        if not jobs:
            del self._pending[job.setup]
