"""Loaded models within a memory limit."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from threading import RLock
from typing import Any

from ..config import require
from ..validation import checked
from .offload import weights_gb


class EvictionPolicy(StrEnum):
    """Model that leaves a full pool first: the least recently used, the least frequently used, or the largest."""

    LRU = "lru"
    LFU = "lfu"
    SIZE = "size"


@dataclass
class _Entry:
    model: Any
    size_gb: float
    uses: int
    used_at: int
    pins: int = 0
    """Blocks that hold it in use."""


_FIRST_TO_GO: dict[EvictionPolicy, Callable[[_Entry], tuple[float, ...]]] = {
    EvictionPolicy.LRU: lambda entry: (entry.used_at,),
    EvictionPolicy.LFU: lambda entry: (entry.uses, entry.used_at),
    EvictionPolicy.SIZE: lambda entry: (-entry.size_gb, entry.used_at),
}


class ModelPool:
    """Models by key, at most `max_size_gb` GiB in all. Safe for threads: one load at a time, each key loaded once.

    A model in use (`use`) is never evicted. One for which there is no room is handed out but not kept.
    """

    def __init__(self, max_size_gb: float, eviction_policy: EvictionPolicy | str = EvictionPolicy.LRU) -> None:
        """Raises InvalidInputError for a limit that is no number above 0 or an unknown policy."""
        policies = [policy.value for policy in EvictionPolicy]
        require(eviction_policy in policies, f"eviction_policy must be one of {policies}, got {eviction_policy!r}")
        self.max_size_gb = checked("max_size_gb", max_size_gb, float, gt=0)
        self.eviction_policy = EvictionPolicy(eviction_policy)
        self._entries: dict[Hashable, _Entry] = {}
        self._clock = count()
        self._lock = RLock()

    def get(self, key: Hashable, loader: Callable[[], Any], size_gb: float | None = None) -> Any:
        """The model of `key`, loaded with `loader()` unless the pool has it.

        With `size_gb` (GiB) room is made before loading, so that old and new models are never held together; without it
        the model's weights are measured afterwards.
        """
        with self._lock:
            if (entry := self._entries.get(key)) is not None:
                entry.uses += 1
                entry.used_at = next(self._clock)
                return entry.model
            if size_gb is not None:
                self._make_room(_checked(size_gb))
            model = loader()
            self.put(key, model, size_gb)
            return model

    @contextmanager
    def use(self, key: Hashable, loader: Callable[[], Any], size_gb: float | None = None) -> Iterator[Any]:
        """The model of `key`, as `get` finds it, which stays in the pool as long as the block runs."""
        with self._lock:
            model = self.get(key, loader, size_gb)
            entry = self._entries.get(key)
            if entry is not None:
                entry.pins += 1
        try:
            yield model
        finally:
            with self._lock:
                if entry is not None:
                    entry.pins -= 1

    def put(self, key: Hashable, model: Any, size_gb: float | None = None) -> bool:
        """Keep `model` under `key`, replacing what was there; False when there is no room for it.

        Raises InvalidInputError where `size_gb` is missing for something that is no torch module or pipeline.
        """
        size = _checked(weights_gb(model) if size_gb is None else size_gb)
        with self._lock:
            self._entries.pop(key, None)
            if not self._make_room(size):
                return False
            self._entries[key] = _Entry(model, size, 1, next(self._clock))
            return True

    def evict(self, key: Hashable) -> bool:
        """Drop the model of `key`; False when it was not there or is in use."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry.pins:
                return False
            del self._entries[key]
            return True

    def clear(self) -> None:
        """Drop all models but those in use."""
        with self._lock:
            for key in list(self._entries):
                self.evict(key)

    @property
    def size_gb(self) -> float:
        """GiB held now."""
        with self._lock:
            return sum(entry.size_gb for entry in self._entries.values())

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._entries

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)

    def _make_room(self, size_gb: float) -> bool:
        """Evict as little as possible for `size_gb`; False, and nothing evicted, where there is no room even then."""
        pinned = sum(entry.size_gb for entry in self._entries.values() if entry.pins)
        if pinned + size_gb > self.max_size_gb:
            return False
        first = _FIRST_TO_GO[self.eviction_policy]
        while self._entries and self.size_gb + size_gb > self.max_size_gb:
            idle = (key for key, entry in self._entries.items() if not entry.pins)
            del self._entries[min(idle, key=lambda key: first(self._entries[key]))]
        return True


def _checked(size_gb: float | None) -> float:
    return checked("size_gb (GiB, of what is neither a torch module nor a pipeline)", size_gb, float, ge=0)
