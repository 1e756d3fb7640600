"""Runs of jobs on workers that come late, are lost, or never come back."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from intelligence.generation.execution import job_run
from intelligence.generation.execution.job_records import Job, Limits, OnJobStep, Produced, Worker, WorkerLostError
from intelligence.generation.execution.job_run import JobRun, NoWorkerLeftError
from intelligence.generation.stages import GenerationPlan
from intelligence.memory import Resources

from .jobs import fit, job

LIMITS = Limits(losses=100)


class Machine:
    """A worker that is there as its script says: at the start, and then at each question."""

    resources: Resources | None = None

    def __init__(self, name: str, ready: bool, comes: Sequence[bool] = (), dies_at: Sequence[int] = ()) -> None:
        self.name, self.ready = name, ready
        self._comes, self._dies_at = list(comes), list(dies_at)
        self.made: list[int] = []
        self.asked = 0

    def run(self, job: Job, plan: GenerationPlan, on_step: OnJobStep, timeout: float) -> Produced:
        assert self.ready
        if job.number in self._dies_at:
            self._dies_at.remove(job.number)
            self.ready = False
            raise WorkerLostError(f"{self.name} died")
        self.made.append(job.number)
        return Produced(files=(b"",))

    def stop(self, key: str = "") -> None:
        pass

    def revive(self) -> bool:
        self.asked += 1
        self.ready = self._comes.pop(0) if self._comes else False
        return self.ready

    def close(self) -> None:
        pass


class Machines:
    name = "machines"
    inline = False

    def __init__(self, *workers: Machine) -> None:
        self.workers = workers

    def start(self) -> Sequence[Worker]:
        return self.workers

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_run, "REVIVE_SECONDS", 0.01)
    monkeypatch.setattr(job_run, "GONE_SECONDS", 0.3)


def made(*machines: Machine, count: int = 6) -> list[int]:
    with JobRun(Machines(*machines), fit, LIMITS) as run:
        run.submit(job(number) for number in range(count))
        return sorted(outcome.job.number for outcome in run.results() if outcome.error is None)


def test_run_waits_for_workers_that_are_not_ready() -> None:
    late = Machine("late", False, comes=[False, False, True])
    assert made(late) == [*range(6)]
    assert late.asked == 3


def test_lost_worker_comes_back_and_each_job_counts_once() -> None:
    first = Machine("first", True, comes=[False, True, True], dies_at=[1, 3])
    second = Machine("second", False, comes=[True, False, True], dies_at=[2])
    assert made(first, second) == [*range(6)]
    assert {*first.made, *second.made} == {*range(6)}  # at the end an idle worker may make a slow one's job too


def test_run_ends_where_nobody_comes_back() -> None:
    with pytest.raises(NoWorkerLeftError, match="6 jobs are open"):
        made(Machine("gone", False), Machine("dying", True, dies_at=[0]))


def test_workers_wait_while_nobody_takes_results() -> None:
    machines = [Machine("one", True), Machine("two", True)]
    bound = 1 + (job_run.WAITING + 1) * len(machines)  # taken; waiting to be taken, and in each worker's hands
    count = lambda: sum(len(machine.made) for machine in machines)  # noqa: E731
    with JobRun(Machines(*machines), fit, LIMITS) as run:
        run.submit(job(number) for number in range(50))
        results = run.results()
        next(results)
        until = time.monotonic() + 30
        while count() < bound and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.1)
        assert count() == bound
        assert sum(1 for _ in results) == 49
