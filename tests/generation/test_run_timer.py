"""The pace of a run: what is foretold, and when it is said that the time will not do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pytest

from intelligence.generation import run_timer
from intelligence.generation.run_timer import RunTimer, decoding_items, planned_items
from intelligence.parameters import Improvements, OptimizedParameters

SIGMAS = (14.6, 5.0, 2.0, 1.0, 0.5, 0.1, 0.0)


def parameters(**settings: Any) -> OptimizedParameters:
    usual = {"num_steps": 6, "guidance_scale": 7.0, "width": 1024, "height": 1024, "sampler_name": "euler"}
    return OptimizedParameters(**{**usual, "scheduler": "normal", **settings})


@pytest.mark.parametrize(
    ("settings", "items"),
    [
        ({}, 12),
        ({"guidance_scale": 1.0}, 6),
        ({"sampler_name": "heun"}, 22),
        ({"improvements": Improvements(cfg_cutoff_sigma=0.5)}, 10),
        ({"improvements": Improvements(cfg_cutoff_sigma=0.5, cfg_start_sigma=6.0)}, 9),
        ({"improvements": Improvements(cfg_cutoff_sigma=0.5), "sampler_name": "euler_cfg_pp"}, 12),
        ({"improvements": Improvements(cfg_cutoff_sigma=0.5), "guidance_scale": 1.0}, 6),
    ],
)
def test_planned_items(settings: dict[str, Any], items: int) -> None:
    assert planned_items(parameters(**settings), SIGMAS) == items
    assert planned_items(parameters(**settings), SIGMAS, 3) == 3 * items


@pytest.mark.parametrize("sigmas", [(), (0.0,)])
def test_planned_items_without_steps(sigmas: tuple[float, ...]) -> None:
    assert planned_items(parameters(), sigmas) == 0


def test_decoding_items_by_default() -> None:
    assert 1 < decoding_items(parameters()) < 2
    assert decoding_items(parameters(), 4) == pytest.approx(4 * decoding_items(parameters()))


def test_decoding_items_learned() -> None:
    assert decoding_items(parameters(decode_items=12.5), 2) == 25


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time, to be moved by hand."""
    now = [0.0]
    monkeypatch.setattr(run_timer.time, "perf_counter", lambda: now[0])
    yield now


def go(clock: list[float], run: RunTimer, durations: list[float], items: list[int]) -> list[str | None]:
    said = []
    for seconds, done in zip(durations, accumulate(items), strict=True):
        clock[0] += seconds
        said.append(run.step(done))
    return said


def test_run_timer_warns_once_after_second_step(clock: list[float]) -> None:
    """5 s for the first step, 2 s for each other; 10 steps and a decode that takes as long as one."""
    said = go(clock, run := RunTimer(20, after=2, limit=20), [5, 2, 2, 2], [2, 2, 2, 2])
    assert said == [None, run.warning, None, None]
    assert run.warning == "the limit of 20 s will be exceeded: about 25 s in all at this speed"


@pytest.mark.parametrize(("limit", "told"), [(None, False), (9, False), (8, True)])
def test_run_timer_verdict_tells_of_a_limit_missed_at_the_end(
    clock: list[float], limit: float | None, told: bool
) -> None:
    """Two steps of 2 s, and decoding that takes 5 s instead of what a step takes."""
    run = RunTimer(4, after=2, limit=limit)
    go(clock, run, [2, 2], [2, 2])
    assert run.verdict() is None
    clock[0] += 5
    assert (run.warning, run.verdict() is not None) == (None, told)


def test_run_timer_without_warning(clock: list[float]) -> None:
    assert go(clock, RunTimer(20, after=2, limit=25), [5] + [2] * 9, [2] * 10) == [None] * 10


def test_run_timer_counts_items_not_steps(clock: list[float]) -> None:
    """Ten guided steps would take 20 s, but half of them are not guided: 15 s will do."""
    assert go(clock, RunTimer(15, limit=16), [2] * 5 + [1] * 5, [2] * 5 + [1] * 5) == [None] * 10


def test_run_timer_warns_when_run_slows_down(clock: list[float]) -> None:
    said = go(clock, RunTimer(20, limit=22), [2, 2, 2, 6, 6, 6], [2] * 6)
    assert [text is not None for text in said].index(True) == 3


@pytest.mark.parametrize(
    ("slow", "asked"),
    [([6, 6], [3]), ([6, 2, 2], []), ([2.4, 2.4, 2.4], [])],
    ids=["two slow steps", "one slow step", "a little slower"],
)
def test_run_timer_shortens_a_run_that_slows_down_late(clock: list[float], slow: list[float], asked: list[int]) -> None:
    """20 steps of 2 s and a limit of 60 s: after 12 steps the rest would take 36 s at 6 s a step, and 24 s are left."""
    affordable: list[int] = []

    def shorten(items: float, expected: float) -> float:
        affordable.append(round(items))
        return items

    run = RunTimer(20, limit=60)
    for done, seconds in enumerate([2.0] * 12 + slow, 1):
        clock[0] += seconds
        run.step(done, change=shorten)
    assert affordable == asked


@pytest.mark.parametrize(
    ("seconds", "after", "limit", "late"),
    [
        ([2.0] * 10, 0, 41, False),
        ([2.0] * 10, 0, 40.2, True),
        ([1.0, 3.0] * 5, 0, 41, True),
        ([2.0] * 10, 10, 64, False),
        ([2.0] * 10, 10, 62, True),
    ],
    ids=["even", "even, too close", "uneven", "with a long decode", "a long decode, too close"],
)
def test_run_timer_leaves_room_for_steps_and_decodes_that_take_longer(
    clock: list[float], seconds: list[float], after: float, limit: float, late: bool
) -> None:
    """20 steps of about 2 s, of which 10 are done, and a decode of `after` steps: a limit just above what is expected
    is kept by what varies least."""
    asked: list[float] = []

    def shorten(items: float, expected: float) -> float:
        asked.append(items)
        assert expected == pytest.approx(40 + 2 * after, abs=2)
        return items

    run = RunTimer(20, after=after, limit=limit)
    for done, each in enumerate(seconds, 1):
        clock[0] += each
        run.step(done, change=shorten if done == len(seconds) else None)
    assert bool(asked) == late
    assert all(items < 10 for items in asked)


def test_run_timer_medians(clock: list[float]) -> None:
    run = RunTimer(20)
    assert (run.seconds_per_step, run.seconds_per_item) == (None, None)
    go(clock, run, [9, 2, 4, 2], [2, 2, 2, 1])
    assert (run.seconds_per_step, run.seconds_per_item) == (2, 2)


def test_run_timer_skips_pauses_and_cached_steps(clock: list[float]) -> None:
    run = RunTimer(20)
    go(clock, run, [1, 2], [2, 2])
    run.pause()
    clock[0] += 100
    run.step(6)
    clock[0] += 50
    run.step(6)
    assert run.seconds_per_step == 2
    assert run.seconds == 153
