"""kill -9 at random moments: whatever was acknowledged is still there, and nothing is half there."""

from __future__ import annotations

import pytest

from tests.benchmarks.kill import JOBS, kills

KILLS = 5


@pytest.mark.parametrize("job", JOBS)
def test_killed_scans_hashes_and_migrations_lose_nothing(job: str) -> None:
    figures = kills(job, KILLS, seed=JOBS.index(job))
    assert figures["kills"] == KILLS
    assert (figures["lost_facts"], figures["half_files"], figures["broken"]) == (0, 0, 0)
