"""The script for a graphics card's day: what is written, what is run again, what becomes of a failure."""

import json
import sys

from tests.benchmarks import gpu_day
from tests.benchmarks.gpu_day import STEPS, Step, run_all

FAILING = Step("failing", "no_such_benchmark")


def test_run_all_goes_on_where_it_stopped(tmp_path):
    (tmp_path / "failing.json").write_text("{}")
    assert run_all([FAILING], tmp_path, 60, rehearse=True) == {"failing": "done before"}


def test_run_all_says_why_a_step_failed(tmp_path):
    ended = run_all([FAILING, FAILING], tmp_path, 60, rehearse=True)
    assert "no_such_benchmark" in ended["failing"]
    assert "no_such_benchmark" in (tmp_path / "failing.log").read_text()
    assert not list(tmp_path.glob("*.json*"))


def test_run_all_begins_nothing_after_its_time(tmp_path):
    assert run_all([FAILING], tmp_path, 1, rehearse=True) == {"failing": "not begun: the time is up"}


def test_run_writes_figures_with_machine_and_date(tmp_path, monkeypatch):
    monkeypatch.setattr(Step, "command", lambda self, rehearse: [sys.executable, "-c", "print('{\"figure\": 1.5}')"])
    assert run_all([FAILING], tmp_path, 60, rehearse=True) == {"failing": "done"}
    figures = json.loads((tmp_path / "failing.json").read_text())
    assert figures["figure"] == 1.5
    assert {"machine", "device", "memory_gib", "torch", "date", "command", "run_seconds"} <= figures.keys()


def test_steps_are_benchmarks_with_options_they_know():
    for step in STEPS:
        assert (gpu_day.REPOSITORY / "tests" / "benchmarks" / f"{step.module}.py").exists()
    assert len({step.name for step in STEPS}) == len(STEPS)
