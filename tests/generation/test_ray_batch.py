"""A job list on Ray actors of this machine: one is killed, each picture is made once. `ray` is in the extra `scale`."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from intelligence.generation.execution.batch_run import BatchRun
from intelligence.generation.execution.job_list import JobLine, read_job_list
from intelligence.generation.execution.job_records import RunProgress
from intelligence.generation.execution.job_run import JobRun
from intelligence.generation.execution.planned_run import PlannedRun
from intelligence.generation.execution.ray_executor import RayActor, RayExecutor

pytest.importorskip("ray", reason="the executor ray needs ray: pip install .[scale]")
pytestmark = pytest.mark.usefixtures("embedded_home")


def lines(count: int, steps: int) -> list[JobLine]:
    settings = {"num_steps": steps, "width": 64, "height": 64}
    run = {"base_model": "embedded", "run": {"prompt": "anime girl with magical powers", "settings": settings}}
    return read_job_list([json.dumps({**run, "sweep": {"seed": f"0..{count - 1}"}})])


@pytest.fixture
def executor() -> Iterator[RayExecutor]:
    made = RayExecutor(2)
    yield made
    made.close()


def test_killed_ray_worker_loses_no_job(executor: RayExecutor, tmp_path: Path) -> None:
    killed: list[str] = []

    def kill(state: RunProgress) -> None:
        at_work = [worker.name for worker in state.workers if worker.step[0]]
        if at_work and not killed:
            killed.append(at_work[0])
            (actor,) = [actor for actor in executor._workers if actor.name == at_work[0]]
            os.kill(actor.pid, signal.SIGKILL)

    with BatchRun(tmp_path) as batch:
        summary = batch.run(batch.plan(lines(6, 30)), executor, on_progress=kill)
        rows = batch.store.pictures()
    assert (summary.done, summary.failed, len(rows)) == (6, 0, 6)
    assert sorted(row.file for row in rows) == sorted(path.name for path in tmp_path.glob("*.png"))
    assert len(killed) == 1


def test_cancelled_ray_job_ends(executor: RayExecutor, tmp_path: Path) -> None:
    with BatchRun(tmp_path) as batch:
        jobs, plan = batch.plan(lines(2, 1000)), PlannedRun(batch.planner.knowledge)
        with JobRun(executor, plan.fit, on_progress=lambda state: stop(state, run, executor._workers)) as run:
            run.submit(jobs)
            assert list(run.results()) == []


def stop(state: RunProgress, run: JobRun, actors: list[RayActor]) -> None:
    """Cancel once both run, and look for what runs on a while later."""
    if all(worker.step[0] for worker in state.workers):
        run.cancel()
        time.sleep(0.5)
        assert [actor._ray.get(actor._actor.step.remote()) for actor in actors] == [(0, 0)] * 2
