"""Forged inputs: each is read, or refused with one of the pack's errors. The benchmark `fuzz` goes on for minutes."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tools.fuzz_reader import own_seconds
from tests.tools.fuzz_targets import TARGETS, inputs, read_or_refuse


@pytest.mark.parametrize("name", TARGETS)
def test_sound_inputs_are_read(name: str, tmp_path: Path) -> None:
    assert any(read_or_refuse(name, data, tmp_path) for data in TARGETS[name][1])


@pytest.mark.parametrize(("name", "data"), [("sidecars", b"\0,"), ("sidecars", b"\0; ,\n")])
def test_inputs_that_once_crashed(name: str, data: bytes, tmp_path: Path) -> None:
    """A note that holds separators alone ended the reading of its model."""
    assert read_or_refuse(name, data, tmp_path)


@pytest.mark.skipif(not Path("/proc/thread-self/schedstat").exists(), reason="the system tells no waits of threads")
def test_own_seconds_count_sleep_too() -> None:
    """An input that waits without using the processor is a hang as well."""
    begun = own_seconds()
    time.sleep(0.05)
    assert own_seconds() - begun >= 0.05


@pytest.mark.parametrize("name", TARGETS)
def test_forged_inputs_are_read_or_refused(name: str) -> None:
    checks = (HealthCheck.too_slow, HealthCheck.data_too_large)

    @settings(max_examples=120, deadline=None, derandomize=True, database=None, suppress_health_check=checks)
    @given(st.data())
    def run(drawn: st.DataObject) -> None:
        with tempfile.TemporaryDirectory() as folder:
            read_or_refuse(name, drawn.draw(inputs(name)), Path(folder))

    run()
