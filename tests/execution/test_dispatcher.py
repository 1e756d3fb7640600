"""Jobs go to workers: all of them once, few changes of weights, and a slow worker never makes it later."""

from __future__ import annotations

import pytest

from intelligence.generation.execution.dispatcher import Dispatcher
from intelligence.generation.execution.job_records import Limits

from .jobs import job, play


def dispatcher(*workers: str, limits: Limits | None = None) -> Dispatcher:
    made = Dispatcher(limits)
    for name in workers:
        made.add_worker(name)
    return made


def test_submit_leaves_out_known_keys() -> None:
    jobs = dispatcher("a")
    assert jobs.submit([job(0), job(1), job(0)]) == 2
    assert jobs.submit([job(1)]) == 0


@pytest.mark.parametrize(
    ("count", "slow"), [(1, 4.0), (2, 4.0), (3, 4.0), (5, 4.0), (7, 50.0), (40, 4.0), (200, 1.0), (200, 4.0)]
)
def test_take_is_never_slower_than_fast_worker_alone(count: int, slow: float) -> None:
    jobs = dispatcher("fast", "slow")
    jobs.submit(job(number) for number in range(count))
    end, done = play(jobs, {"fast": 1.0, "slow": slow})
    assert end <= count
    assert sum(done.values()) == count


def test_take_reaches_sum_of_speeds() -> None:
    jobs = dispatcher("fast", "slow")
    jobs.submit(job(number) for number in range(200))
    end, done = play(jobs, {"fast": 1.0, "slow": 4.0})
    assert end <= 200 / 1.25 / 0.97
    assert done["slow"] == pytest.approx(40, abs=2)


def test_take_keeps_setups_together() -> None:
    jobs = dispatcher("a", "b")
    jobs.submit(job(number, [f"lora{number % 4}"], f"base{number % 2}") for number in range(80))
    play(jobs, {"a": 1.0, "b": 1.0})
    assert sum(worker.setups for worker in jobs.accounts()) <= 6


def test_take_goes_only_where_job_fits() -> None:
    jobs = Dispatcher(fits=lambda one, worker: worker == "large" or not one.setup.loras)
    for name in ("large", "small"):
        jobs.add_worker(name)
    jobs.submit([job(0, ["big"]), job(1, ["big"])])
    assert jobs.take("small", 0.0) is None
    assert jobs.take("large", 0.0) is not None
    jobs.submit([job(2)])
    found = jobs.take("small", 0.0)
    assert found is not None and found.number == 2


def test_unplaceable_settles_what_fits_nowhere() -> None:
    jobs = Dispatcher(fits=lambda one, worker: not one.setup.loras)
    jobs.add_worker("a")
    jobs.submit([job(0, ["big"]), job(1)])
    assert [each.number for each in jobs.unplaceable()] == [0]
    assert jobs.open == 1


def test_failed_goes_elsewhere_then_is_set_aside() -> None:
    jobs = dispatcher("a", "b", limits=Limits(errors=2))
    jobs.submit([job(0)])
    first = jobs.take("a", 0.0)
    assert first is not None and not jobs.failed("a", first, 1.0).counts
    assert jobs.take("a", 1.0) is None
    assert jobs.take("b", 1.0) == first
    assert jobs.failed("b", first, 2.0).counts
    assert jobs.open == 0


def test_failed_permanently_is_not_tried_again() -> None:
    jobs = dispatcher("a")
    jobs.submit([job(0)])
    first = jobs.take("a", 0.0)
    assert first is not None and jobs.failed("a", first, 1.0, permanent=True).counts


def test_lost_job_runs_elsewhere_and_killer_is_set_aside() -> None:
    jobs = dispatcher("a", "b", limits=Limits(losses=2))
    jobs.submit([job(0)])
    first = jobs.take("a", 0.0)
    assert first is not None and not jobs.lost("a", first, 1.0).counts
    assert jobs.take("b", 1.0) == first
    assert jobs.lost("b", first, 2.0).counts


def test_stuck_job_is_taken_over_and_counts_once() -> None:
    jobs = dispatcher("a", "b")
    jobs.submit([job(0), job(1)])
    stuck, other = jobs.take("a", 0.0), jobs.take("b", 0.0)
    assert stuck is not None and other is not None
    jobs.finished("b", other, 1.0)
    assert jobs.take("b", 1.1) is None
    assert jobs.take("b", 9.0) == stuck
    assert jobs.finished("b", stuck, 10.0).stop == ("a",)
    assert not jobs.finished("a", stuck, 11.0).counts
    assert sum(worker.done for worker in jobs.accounts()) == 2


def test_absent_worker_is_not_counted_on_until_it_is_added() -> None:
    jobs = dispatcher("slow")
    jobs.add_worker("fast", factor=0.1, alive=False)
    jobs.submit([job(0)])
    assert jobs.take("slow", 0.0) is not None
    jobs.add_worker("fast", "card")
    assert [(worker.alive, worker.device) for worker in jobs.accounts()] == [(True, ""), (True, "card")]
