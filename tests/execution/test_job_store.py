"""The store of a job list: jobs once, pictures once, one process at a time."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from intelligence import StorageError
from intelligence.generation.execution.job_records import job_key
from intelligence.generation.execution.job_store import JobStore, MadePicture

from .jobs import job, recommendations


def picture(key: str, file: str = "a.png") -> MadePicture:
    return MadePicture(key, 0, file, f"image-{key}", "local", "cpu", 1.0, 1)


def test_open_jobs_come_back_as_planned(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    jobs = [job(number, ["anime"]) for number in range(3)]
    store.put_line("line", jobs)
    store.close()
    again = JobStore(tmp_path)
    assert again.open_jobs(["line"]) == jobs
    assert again.open_jobs(["another line"]) == []
    assert again.planned_lines() == {"line": 3}
    again.close()


def test_put_pictures_counts_each_once(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    store.put_line("line", [job(0), job(1)])
    assert store.put_pictures([picture("key-0"), picture("key-0", "b.png")]) == 1
    assert store.put_pictures([picture("key-0", "c.png")]) == 0
    assert [row.file for row in store.pictures()] == ["a.png"]
    assert [each.key for each in store.open_jobs(["line"])] == ["key-1"]
    store.close()


def test_put_aside_keeps_error_until_tried_again(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    store.put_line("line", [job(0)])
    store.put_aside(job(0), "it broke", "local", 3)
    assert [row.error for row in store.set_aside()] == ["it broke"]
    assert store.open_jobs(["line"]) == []
    assert store.try_again() == 1
    assert len(store.open_jobs(["line"])) == 1
    store.close()


def test_store_belongs_to_one_process(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    with pytest.raises(StorageError, match="being filled by another process"):
        JobStore(tmp_path)
    store.close()
    JobStore(tmp_path).close()


def test_close_leaves_no_journal(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    store.put_line("line", [job(0)])
    store.close()
    assert {file.name for file in tmp_path.iterdir()} == {"jobs.db", "jobs.lock"}
    assert (tmp_path / "jobs.lock").stat().st_size == 0


def test_store_needs_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        JobStore(tmp_path / "file")


def test_job_key_depends_on_what_is_sampled_alone() -> None:
    chosen = recommendations(["anime"])
    files = ["model", "lora"]
    key = job_key(chosen, [1], files)
    estimated = replace(chosen, suggested_params=replace(chosen.suggested_params, estimated_time_seconds=3.0))
    assert job_key(estimated, [1], files) == key
    others = [
        job_key(chosen, [2], files),
        job_key(chosen, [1], ["another model", "lora"]),
        job_key(recommendations(["other"]), [1], files),
        job_key(recommendations(["anime"], steps=5), [1], files),
        job_key(recommendations(["anime"], prompt="an owl"), [1], files),
        job_key(chosen, [1], files, repair=False),
    ]
    assert len({key, *others}) == 1 + len(others)


def test_store_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    old, fresh, other = tmp_path / ".0123456789abcdef.tmp", tmp_path / ".fedcba9876543210.tmp", tmp_path / ".mine.tmp"
    for file in (old, fresh, other):
        file.touch()
    for file in (old, other):
        os.utime(file, (0, 0))
    JobStore(tmp_path).close()
    assert [file.exists() for file in (old, fresh, other)] == [False, True, True]
