"""Job lists on Ray actors of this machine, which the tests share. `ray` is in the extra `scale`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from intelligence.generation.execution.batch_run import BatchRun
from intelligence.generation.execution.job_list import JobLine, read_job_list
from intelligence.generation.execution.job_records import Limits, RunProgress
from intelligence.generation.execution.job_run import JobRun
from intelligence.generation.execution.local_executor import JobTimeoutError
from intelligence.generation.execution.planned_run import PlannedRun
from intelligence.generation.execution.ray_executor import RayExecutor

from ..execution.kept_workers import Kept, KeptWorker

pytest.importorskip("ray", reason="the executor ray needs ray: pip install .[scale]")
pytestmark = pytest.mark.usefixtures("embedded_home")


def lines(count: int, num_steps: int) -> list[JobLine]:
    settings = {"num_steps": num_steps, "width": 64, "height": 64}
    run = {"base_model": "embedded", "run": {"prompt": "anime girl with magical powers", "settings": settings}}
    return read_job_list([json.dumps({**run, "sweep": {"seed": f"0..{count - 1}"}})])


@pytest.fixture(scope="module")
def executor() -> Iterator[Kept]:
    made = RayExecutor(2)
    yield Kept(made.start())
    made.close()


def test_cancelled_job_ends(executor: Kept, tmp_path: Path) -> None:
    with BatchRun(tmp_path) as batch:
        jobs, plan = batch.plan(lines(2, 1000)), PlannedRun(batch.planner.knowledge)
        with JobRun(executor, plan.fit, on_progress=lambda state: stop(state, run, executor.workers)) as run:
            run.submit(jobs)
            assert list(run.results()) == []


def stop(state: RunProgress, run: JobRun, workers: list[KeptWorker]) -> None:
    """Cancel once both run, and look for what runs on a while later."""
    if all(worker.step[0] for worker in state.workers):
        run.cancel()
        time.sleep(0.5)
        assert steps(workers) == [(0, 0)] * 2


def steps(workers: list[KeptWorker]) -> list[tuple[int, int]]:
    """Return the steps of the jobs that run in the actors."""
    return [worker._ray.get(worker._actor.step.remote()) for worker in workers]


def test_late_job_is_ended_and_set_aside(executor: Kept, tmp_path: Path) -> None:
    with BatchRun(tmp_path) as batch:
        jobs, plan = batch.plan(lines(1, 1000)), PlannedRun(batch.planner.knowledge)
        with JobRun(executor, plan.fit, Limits(errors=1, timeout=0.5)) as run:
            run.submit(jobs)
            (outcome,) = run.results()
    assert isinstance(outcome.error, JobTimeoutError)
    assert steps(executor.workers) == [(0, 0)] * 2


ASK = """
import sys
from ray._raylet import GcsClient
try:
    print("nodes:", len(GcsClient(address=sys.argv[1]).get_all_node_info()))
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize(
    ("variables", "answer"),
    [
        ({}, "nodes: 1"),
        ({"RAY_AUTH_TOKEN": "0" * 64}, "AuthenticationError"),
        ({"RAY_AUTH_TOKEN": "", "RAY_AUTH_MODE": "disabled"}, "AuthenticationError"),
    ],
)
def test_stranger_is_not_let_in(executor: Kept, variables: Mapping[str, str], answer: str) -> None:
    """Another process connects: with this process' token, another one, and none."""
    address = executor.workers[0]._ray.get_runtime_context().gcs_address
    assert address.startswith("127.0.0.1:")
    found = subprocess.run(
        [sys.executable, "-c", ASK, address], env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True
    )
    assert found.stdout.strip() == answer


def test_killed_worker_loses_no_job(executor: Kept, tmp_path: Path) -> None:
    killed: list[str] = []

    def kill(state: RunProgress) -> None:
        at_work = [worker.name for worker in state.workers if worker.step[0]]
        if at_work and not killed:
            killed.append(at_work[0])
            (actor,) = [actor for actor in executor.workers if actor.name == at_work[0]]
            os.kill(actor.pid, signal.SIGKILL)

    with BatchRun(tmp_path) as batch:
        summary = batch.run(batch.plan(lines(6, 30)), executor, on_progress=kill)
        rows = batch.store.pictures()
    assert (summary.done, summary.failed, len(rows)) == (6, 0, 6)
    assert sorted(row.file for row in rows) == sorted(path.name for path in tmp_path.glob("*.png"))
    assert len(killed) == 1
