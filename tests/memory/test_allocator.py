"""The model of torch's caching allocator, by the rules of its source."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tools.allocator import Event, least_limit, replay

KIB, MIB = 2**10, 2**20


def held(*sizes):
    return [Event(key, size) for key, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("events", "allocated", "reserved"),
    [
        (held(1), 512, 2 * MIB),
        (held(513), 1024, 2 * MIB),
        (held(MIB), MIB, 2 * MIB),
        (held(MIB, MIB), 2 * MIB, 2 * MIB),
        (held(MIB + 1), MIB + 512, 20 * MIB),
        (held(9 * MIB, 9 * MIB), 18 * MIB, 20 * MIB),
        (held(11 * MIB), 12 * MIB, 12 * MIB),  # what is left, 1 MiB, is too little to split
        (held(12 * MIB + 1), 14 * MIB - MIB * 2 + 512, 14 * MIB),
        (held(100 * MIB, 3 * MIB), 103 * MIB, 120 * MIB),
    ],
)
def test_replay_rounds_sizes_to_segments(events, allocated, reserved):
    assert replay(events) == (allocated, reserved)


def test_replay_reuses_freed_blocks_by_best_fit():
    events = [Event(1, 40 * MIB), Event(2, 20 * MIB), Event(1, 0), Event(2, 0), Event(3, 16 * MIB), Event(4, 40 * MIB)]
    assert replay(events).reserved == 60 * MIB


def test_replay_joins_free_neighbours():
    events = [*held(6 * MIB, 6 * MIB, 6 * MIB), Event(0, 0), Event(2, 0), Event(1, 0), Event(9, 20 * MIB)]
    assert replay(events).reserved == 20 * MIB


def test_replay_returns_unused_segments_at_limit():
    events = [Event(1, 40 * MIB), Event(1, 0), Event(2, 60 * MIB)]
    assert replay(events).reserved == 100 * MIB
    assert replay(events, 60 * MIB) == (60 * MIB, 60 * MIB)
    assert replay(events, 59 * MIB) is None


def test_replay_does_without_workspaces():
    events = [Event(1, 40 * MIB), Event(2, 60 * MIB, optional=True), Event(2, 0), Event(3, 20 * MIB)]
    assert replay(events).allocated == 100 * MIB
    assert replay(events, 60 * MIB) == (60 * MIB, 60 * MIB)
    assert least_limit(events) <= 61 * MIB


jobs = st.lists(st.tuples(st.integers(1, 64 * MIB), st.integers(0, 30)), min_size=1, max_size=60)


@given(jobs)
def test_replay_reserves_at_least_allocated(sizes):
    events, live = [], []
    for key, (size, lives) in enumerate(sizes):
        events.append(Event(key, size))
        live.append((len(events) + lives, key))
        for end, other in sorted(live):
            if end <= len(events):
                events.append(Event(other, 0))
                live.remove((end, other))
    peak = replay(events)
    largest = max(size for size, _ in sizes)
    assert largest <= peak.allocated <= peak.reserved
    limit = least_limit(events)
    assert peak.allocated * 0.99 <= limit <= peak.reserved
    assert replay(events, limit) is not None
    assert replay(events, largest - 1) is None
