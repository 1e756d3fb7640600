"""Job lists run to their end whatever is killed on the way: each picture once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from intelligence import BatchConfig, IntelligentGenerationPipeline, PipelineConfig, StorageError
from intelligence.generation.execution.batch_run import BatchRun, HostOfList
from intelligence.generation.execution.contact_sheet import write_contact_sheet
from intelligence.generation.execution.job_list import JobLine, read_job_list
from intelligence.generation.execution.job_records import Job, Limits, Produced
from intelligence.generation.execution.job_run import JobRun
from intelligence.generation.execution.local_executor import LocalExecutor, LocalWorker
from intelligence.generation.execution.planned_run import PlannedRun
from intelligence.generation.pipeline import BatchProgress
from intelligence.generation.stages import GenerationPlan
from intelligence.learning import LearningEngine
from intelligence.memory import detect_resources
from tests.tools.told_answers import assert_is_answer

pytestmark = pytest.mark.usefixtures("embedded_home")

SETTINGS = {"num_steps": 2, "width": 64, "height": 64}
PROMPT = "anime girl <b>with</b> magical powers"


def lines(count: int, **settings: int) -> list[str]:
    run = {"prompt": PROMPT, "settings": {**SETTINGS, **settings}}
    return [json.dumps({"base_model": "embedded", "run": run, "sweep": {"seed": f"0..{count - 1}"}})]


def read(count: int, **settings: int) -> list[JobLine]:
    return read_job_list(lines(count, **settings))


@pytest.fixture(scope="module")
def hosts() -> HostOfList:
    return HostOfList()


class Failing(LocalExecutor):
    """Fails jobs as it is told, at a host that samples."""

    def __init__(self, hosts: HostOfList, errors: dict[int, list[Exception]]) -> None:
        super().__init__(hosts)
        self.errors = errors

    def start(self) -> list[LocalWorker]:
        executor = self

        class Worker(LocalWorker):
            def run(self, job: Job, *arguments: object) -> Produced:  # type: ignore[override]
                if executor.errors.get(job.seeds[0]):
                    raise executor.errors[job.seeds[0]].pop()
                return super().run(job, *arguments)  # type: ignore[arg-type]

        return [Worker(self._host_of)]


def test_killed_batch_goes_on(tmp_path: Path, hosts: HostOfList) -> None:
    """The process is killed by SIGKILL in the middle; the same list is made to its end here."""
    listed, out = tmp_path / "jobs.jsonl", tmp_path / "out"
    listed.write_text("\n".join(lines(6)))
    command = [sys.executable, "-m", "intelligence", "batch", str(listed), "--out", str(out)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
        while process.poll() is None and len(list(out.glob("*.png"))) < 2:
            time.sleep(0.01)
        process.kill()
        process.wait()
    for left in out.glob(".*.tmp"):
        os.utime(left, (0, 0))
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    with BatchRun(out) as batch:
        summary = batch.run(batch.plan(read(6)), LocalExecutor(hosts))
        rows = batch.store.pictures()
    assert (summary.total, summary.done, summary.failed) == (6, 6, 0)
    assert [worker.device for worker in summary.workers] == [detect_resources().name]
    assert_is_answer("batch", summary.to_dict())
    assert sorted(row.file for row in rows) == sorted(path.name for path in out.glob("*.png"))
    assert len(rows) == 6
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert not list(out.glob(".*.tmp"))


def test_pictures_equal_those_of_generate(tmp_path: Path, hosts: HostOfList) -> None:
    with BatchRun(tmp_path) as batch:
        batch.run(batch.plan(read(2)), LocalExecutor(hosts))
        files = [row.file for row in batch.store.pictures()]
    pipeline = IntelligentGenerationPipeline(PipelineConfig(base_model="embedded"))
    for seed, file in enumerate(files):
        alone = pipeline.generate(PROMPT, seed=seed, **SETTINGS)
        assert (np.asarray(Image.open(tmp_path / file)) == np.asarray(alone.image)).all()


def test_batch_of_an_executor_keeps_its_order(hosts: HostOfList) -> None:
    pipeline, batch = IntelligentGenerationPipeline(PipelineConfig(base_model="embedded")), BatchConfig(3, base_seed=5)
    told: list[int] = []

    def note(state: BatchProgress) -> None:
        told.append(state.images_done)

    made = pipeline.generate_batch(PROMPT, batch, executor=LocalExecutor(hosts), on_progress=note, **SETTINGS)
    here = pipeline.generate_batch(PROMPT, batch, **SETTINGS)
    assert [result.metadata.seed for result in made] == [5, 6, 7]
    assert [result.image.tobytes() for result in made] == [result.image.tobytes() for result in here]
    assert told == sorted(told) and told[-1] == 3


def test_results_come_in_the_order_of_numbers(tmp_path: Path, hosts: HostOfList) -> None:
    """Jobs of one set of LoRAs are made together, so these are made in another order than they have."""
    with BatchRun(tmp_path) as batch:
        plan, planned = PlannedRun(batch.planner.knowledge), batch.plan(read(2))
        other = json.dumps({"base_model": "embedded", "run": {"prompt": "a lake", "seed": 9, "settings": SETTINGS}})
        (between,) = batch.plan(read_job_list([other]))
        jobs = [replace(job, number=number) for job, number in zip((*planned, between), (0, 2, 1), strict=True)]
        assert jobs[0].setup == jobs[1].setup != jobs[2].setup
        for in_order, numbers in ((False, [0, 2, 1]), (True, [0, 1, 2])):
            with JobRun(LocalExecutor(hosts), plan.fit) as run:
                run.submit(jobs)
                assert [outcome.job.number for outcome in run.results(in_order=in_order)] == numbers


def test_picture_without_row_is_found_again(tmp_path: Path, hosts: HostOfList) -> None:
    with BatchRun(tmp_path) as batch:
        batch.run(batch.plan(read(2)), LocalExecutor(hosts))
        batch.store._db.execute("DELETE FROM pictures")
    (first, *_) = sorted(tmp_path.glob("*.png"))
    first.with_suffix(".json").unlink()
    with BatchRun(tmp_path) as batch:
        assert batch.plan(read(2)) == []
        assert len(batch.store.pictures()) == 2
    assert first.with_suffix(".json").is_file()


def test_poison_job_is_set_aside_with_its_error(tmp_path: Path, hosts: HostOfList) -> None:
    errors: dict[int, list[Exception]] = {0: [RuntimeError("it broke")], 1: [RuntimeError("it breaks")] * 9}
    with BatchRun(tmp_path) as batch:
        jobs = batch.plan(read(3))
        summary = batch.run(jobs, Failing(hosts, errors), Limits(errors=3))
        assert (summary.done, summary.failed) == (2, 1)
        assert [(row.error, row.attempts) for row in summary.set_aside] == [("it breaks", 3)]
        assert {row.attempts for row in batch.store.pictures()} == {1, 2}
        sheet = write_contact_sheet(tmp_path, batch.store.pictures(), batch.store.set_aside(), LearningEngine())
        assert batch.store.try_again() == 1
        assert batch.run(batch.plan(read(3)), LocalExecutor(hosts)).done == 3
    text = sheet.read_text()
    assert text.count("<figure>") == 2 and "it breaks" in text
    assert "<b>with</b>" not in text and "&lt;b&gt;" in text


def test_late_job_is_set_aside(tmp_path: Path, hosts: HostOfList) -> None:
    with BatchRun(tmp_path) as batch:
        summary = batch.run(batch.plan(read(1)), LocalExecutor(hosts), Limits(errors=2, timeout=0.0))
    assert [row.attempts for row in summary.set_aside] == [2]
    assert "took longer" in summary.set_aside[0].error


def test_cancel_ends_within_a_step(hosts: HostOfList, tmp_path: Path) -> None:
    with BatchRun(tmp_path) as batch:
        jobs, plan = batch.plan(read(2, num_steps=20)), PlannedRun(batch.planner.knowledge)
        steps: list[int] = []
        with JobRun(LocalExecutor(hosts), plan.fit) as run:

            def told(_: object) -> None:
                steps.append(run.progress().workers[0].step[0])
                if steps[-1] == 3:
                    run.cancel()

            run._on_progress = told
            run.submit(jobs)
            assert list(run.results()) == []
    assert max(steps) == 3


def test_unwritable_file_stops_and_goes_on(tmp_path: Path, hosts: HostOfList) -> None:
    """Folders lie where the records beside pictures would, so that these cannot be written."""
    with BatchRun(tmp_path) as batch:
        jobs = batch.plan(read(2))
        stem = f"{jobs[1].number:05d}-{jobs[1].seeds[0]}-{jobs[1].key[:12]}"
        blocking = [tmp_path / f"{stem}.json", tmp_path / f"{stem}.png.json"]
        for folder in blocking:
            folder.mkdir()
        with pytest.raises(StorageError):
            batch.run(jobs, LocalExecutor(hosts))
    for folder in blocking:
        folder.rmdir()
    with BatchRun(tmp_path) as batch:
        assert batch.run(batch.plan(read(2)), LocalExecutor(hosts)).done == 2
        assert len(batch.store.pictures()) == 2


def test_content_then_name_then_row_reach_the_disk(
    tmp_path: Path, hosts: HostOfList, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the disk is told is noted, and told."""
    told: list[tuple[str, int]] = []
    sync, replace_file = os.fsync, Path.replace

    def noted_sync(handle: int) -> None:
        sync(handle)
        told.append(("synced", os.fstat(handle).st_ino))

    def noted_replace(path: Path, target: Path) -> Path:
        if target.suffix == ".png":
            told.append(("named", path.stat().st_ino))
        return replace_file(path, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    with BatchRun(tmp_path) as batch:
        jobs = batch.plan(read(1))
        batch.store._db.set_trace_callback(lambda sql: told.append((sql[:20], 0)))
        batch.run(jobs, LocalExecutor(hosts))
        batch.store._db.set_trace_callback(None)
        (row,) = batch.store.pictures()
        assert batch.store._db.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL: commits are on the disk
    picture, folder = (tmp_path / row.file).stat().st_ino, tmp_path.stat().st_ino
    row_at = told.index(("INSERT INTO pictures", 0))
    order = [told.index(("synced", picture)), told.index(("named", picture)), row_at, told.index(("COMMIT", 0), row_at)]
    assert order == sorted(order)
    assert ("synced", folder) in told[order[1] : order[2]]


class Negative:
    name = "negative"

    def process(self, image: Image.Image, plan: GenerationPlan) -> Image.Image:
        return ImageOps.invert(image)


def test_own_steps_are_taken_before_pictures_are_written(tmp_path: Path) -> None:
    made = []
    for name, steps in (("plain", ()), ("stepped", (Negative(),))):
        with BatchRun(tmp_path / name, own_steps=steps) as batch:
            batch.run(batch.plan(read(1)), LocalExecutor(HostOfList()))
        (picture,) = (tmp_path / name).glob("*.png")
        made.append(Image.open(picture).convert("RGB"))
    assert ImageOps.invert(made[0]).tobytes() == made[1].tobytes()
