"""Peak memory of blocks of code, by the device's own counter. Sizes are GiB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from threading import RLock
from typing import Any

from ..units import BYTES_PER_GIB
from .resources import OWN_MEMORY, detect_resources


@dataclass
class Usage:
    """Memory that a tracked block took; final after the block."""

    peak_vram_gb: float = 0.0
    """GiB on the device; 0 on a CPU, which has no counter."""


def track_usage() -> AbstractContextManager[Usage]:
    """Measure the peak device memory of a block."""
    return UsageTracker().track()


class UsageTracker:
    """Peaks of blocks that may nest; safe for threads."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._counter: PeakCounter | None = None
        self._active: list[Usage] = []
        self._last = Usage()

    @contextmanager
    def track(self) -> Iterator[Usage]:
        """Measure the peak device memory of a block."""
        usage = Usage()
        with self._lock:
            if self._counter is None:
                self._counter = PeakCounter(detect_resources().device)
            self._collect()
            self._active.append(usage)
            self._counter.reset()
        try:
            yield usage
        finally:
            with self._lock:
                self._collect()
                self._active.remove(usage)
                self._last = usage

    def peak_gb(self) -> float:
        """Peak of the innermost running block, or of the last one."""
        with self._lock:
            self._collect()
            return (self._active[-1] if self._active else self._last).peak_vram_gb

    def _collect(self) -> None:
        peak = self._counter.peak_gb() if self._counter is not None and self._active else 0.0
        for usage in self._active:
            usage.peak_vram_gb = max(usage.peak_vram_gb, peak)


class PeakCounter:
    """Counts the memory that this process holds on a device; a CPU has no counter, and its peak is 0."""

    def __init__(self, device: str) -> None:
        self._device = device

    def reset(self) -> None:
        """Start counting anew; MPS cannot."""
        if self._device in OWN_MEMORY:
            self._backend().reset_peak_memory_stats()

    def peak_gb(self) -> float:
        """Return the peak since the last reset, GiB, with the workspaces of convolutions, without the driver's context.

        MPS keeps no peak: the driver's memory of this moment, caches included, is the nearest figure.
        """
        if self._device in OWN_MEMORY:
            return float(self._backend().max_memory_allocated() / BYTES_PER_GIB)
        return self._backend().driver_allocated_memory() / BYTES_PER_GIB if self._device == "mps" else 0.0

    def _backend(self) -> Any:
        import torch

        return getattr(torch, self._device)
