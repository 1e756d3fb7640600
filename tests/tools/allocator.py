"""A model of torch's caching allocator: what a sequence of allocations makes it reserve. Plain integers, no torch.

The rules are those of c10/cuda/CUDACachingAllocator.cpp with its defaults (no expandable segments, no split limit).
Sizes are bytes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

MIN_BLOCK = 512
"""Sizes are rounded up to a multiple of it. This and the next four: c10/core/AllocatorConfig.h (kMinBlockSize …)."""
SMALL_SIZE = 2**20
"""Largest allocation of the small pool, and more than this must be left over for a large block to be split."""
SMALL_SEGMENT = 2 * 2**20
"""Segments of the small pool."""
MIN_LARGE = 10 * 2**20
"""Allocations from here on get segments of their own size, rounded up to `ROUND_LARGE`."""
ROUND_LARGE = 2 * 2**20
LARGE_SEGMENT = 20 * 2**20
"""Segments for the sizes between the small pool and `MIN_LARGE` (kLargeBuffer)."""


class Event(NamedTuple):
    """An allocation of `size` bytes under `key`; size 0: its release."""

    key: int
    size: int
    optional: bool = False
    """A workspace, which a convolution does without where it cannot be had."""


class Peak(NamedTuple):
    """The most that was held, bytes."""

    allocated: int
    reserved: int


def replay(events: Sequence[Event], limit: int | None = None) -> Peak | None:
    """What `events` take at most, from an empty allocator; None when they cannot be met within `limit` reserved bytes.

    At the limit the allocator first gives back its unused segments, as torch does before it raises.
    """
    allocator = _Allocator(limit)
    return allocator.peak if all(allocator.apply(event) for event in events) else None


def least_limit(events: Sequence[Event]) -> int:
    """The smallest number of reserved bytes, to 1 %, within which `events` can be met."""
    everything, needed = replay(events), replay([event for event in events if not event.optional])
    assert everything is not None and needed is not None
    low, high = needed.allocated - 1, everything.reserved
    while high - low > high / 100:
        middle = (low + high) // 2
        if replay(events, middle) is None:
            low = middle
        else:
            high = middle
    return high


@dataclass(eq=False)
class _Block:
    """A piece of a segment, between its neighbours there."""

    size: int
    small: bool
    serial: int
    free: bool = False
    before: _Block | None = None
    after: _Block | None = None

    @property
    def order(self) -> tuple[int, int]:
        return self.size, self.serial


class _Allocator:
    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._free: dict[bool, list[tuple[tuple[int, int], _Block]]] = {True: [], False: []}
        self._live: dict[int, _Block] = {}
        self._serial = self._allocated = self._reserved = 0
        self.peak = Peak(0, 0)

    def apply(self, event: Event) -> bool:
        """Carry `event` out; False when it cannot be."""
        if not event.size:
            block = self._live.pop(event.key, None)
            if block is not None:
                self._allocated -= block.size
                self._release(block)
            return True
        size = -(-event.size // MIN_BLOCK) * MIN_BLOCK
        block = self._fitting(size) or self._segment(size)
        if block is None:
            return event.optional
        self._split(block, size)
        self._live[event.key] = block
        self._allocated += block.size
        self.peak = Peak(max(self.peak.allocated, self._allocated), max(self.peak.reserved, self._reserved))
        return True

    def _fitting(self, size: int) -> _Block | None:
        """The smallest free block that holds `size`, taken out of its pool."""
        pool = self._free[size <= SMALL_SIZE]
        index = bisect_left(pool, ((size, 0),))
        return self._taken(pool[index][1]) if index < len(pool) else None

    def _segment(self, size: int) -> _Block | None:
        small = size <= SMALL_SIZE
        rounded = -(-size // ROUND_LARGE) * ROUND_LARGE
        whole = SMALL_SEGMENT if small else LARGE_SEGMENT if size < MIN_LARGE else rounded
        if self._limit is not None and self._reserved + whole > self._limit:
            self._give_back()
            if self._reserved + whole > self._limit:
                return None
        self._reserved += whole
        return self._block(whole, small)

    def _give_back(self) -> None:
        for pool in self._free.values():
            for _, block in list(pool):
                if block.before is None and block.after is None:
                    self._reserved -= self._taken(block).size

    def _split(self, block: _Block, size: int) -> None:
        left = block.size - size
        if left < MIN_BLOCK if block.small else left <= SMALL_SIZE:
            return
        rest = self._block(left, block.small, before=block, after=block.after)
        if block.after is not None:
            block.after.before = rest
        block.size, block.after = size, rest
        self._put(rest)

    def _release(self, block: _Block) -> None:
        if block.before is not None and block.before.free:
            block = _joined(self._taken(block.before), block)
        if block.after is not None and block.after.free:
            block = _joined(block, self._taken(block.after))
        self._put(block)

    def _block(self, size: int, small: bool, before: _Block | None = None, after: _Block | None = None) -> _Block:
        self._serial += 1
        return _Block(size, small, self._serial, before=before, after=after)

    def _put(self, block: _Block) -> None:
        block.free = True
        insort(self._free[block.small], (block.order, block))

    def _taken(self, block: _Block) -> _Block:
        pool = self._free[block.small]
        del pool[bisect_left(pool, (block.order,))]
        block.free = False
        return block


def _joined(first: _Block, second: _Block) -> _Block:
    """`first`, grown by its neighbour `second`."""
    first.size += second.size
    first.after = second.after
    if second.after is not None:
        second.after.before = first
    return first
