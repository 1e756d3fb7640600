"""What the machine has: the device that will sample, and its memory at hand now."""

from __future__ import annotations

import os
import platform
from typing import Any

from .plan import Resources

GIB = 2**30


def detect_resources() -> Resources:
    """The best device of this machine: CUDA (ROCm counts as CUDA), else MPS, else the CPU. Sizes in GiB.

    On CUDA `free_gb` is what the driver has left plus what torch holds in this process, because that is what one
    generation may use in all. On MPS it is the recommended working set, at most the free RAM and what this process
    holds. Without torch the CPU is reported. RAM of 0 means that it could not be read.
    """
    ram_total, ram_free = _ram()
    try:
        import torch
    except ImportError:
        return _cpu(ram_total, ram_free)
    if torch.cuda.is_available():
        index = torch.cuda.current_device()
        free, total = torch.cuda.mem_get_info(index)
        free = min(total, free + torch.cuda.memory_reserved(index))
        name = torch.cuda.get_device_name(index)
        return Resources("cuda", name, total / GIB, free / GIB, ram_total, ram_free)
    if torch.backends.mps.is_available():
        total = torch.mps.recommended_max_memory()
        return Resources(
            "mps", platform.processor() or "Apple GPU", total / GIB, _mps_free(ram_free), ram_total, ram_free
        )
    return _cpu(ram_total, ram_free)


def peak_counter(device: str) -> PeakCounter:
    """The counter of memory in use on `device` (`cuda`, `mps` or `cpu`)."""
    return {"cuda": _CudaPeak, "mps": _MpsPeak}.get(device, PeakCounter)()


class PeakCounter:
    """Counts device memory of this process; this one is for the CPU, which has no counter: always 0."""

    def reset(self) -> None:
        """Start counting anew."""

    def peak_gb(self) -> float:
        """Most that was in use since the last reset, GiB."""
        return 0.0


class _CudaPeak(PeakCounter):
    """torch's own counter of allocated bytes, convolution workspaces included, the driver's context not."""

    def reset(self) -> None:
        import torch

        torch.cuda.reset_peak_memory_stats()

    def peak_gb(self) -> float:
        import torch

        return torch.cuda.max_memory_allocated() / GIB


class _MpsPeak(PeakCounter):
    """MPS keeps no peak: what the driver holds now, caches included, is the nearest figure."""

    def peak_gb(self) -> float:
        import torch

        return torch.mps.driver_allocated_memory() / GIB


def _cpu(ram_total: float, ram_free: float) -> Resources:
    return Resources("cpu", platform.processor() or platform.machine(), ram_total, ram_free, ram_total, ram_free)


def _mps_free(ram_free: float) -> float:
    import torch

    held = torch.mps.driver_allocated_memory()
    return max(0.0, min(torch.mps.recommended_max_memory() / GIB, ram_free + held / GIB))


def _ram() -> tuple[float, float]:
    """Total and available RAM in GiB; (0, 0) where neither psutil nor POSIX can tell."""
    try:
        import psutil
    except ImportError:
        return _ram_posix()
    memory: Any = psutil.virtual_memory()
    return memory.total / GIB, memory.available / GIB


def _ram_posix() -> tuple[float, float]:
    names = getattr(os, "sysconf_names", {})
    if not {"SC_PAGE_SIZE", "SC_PHYS_PAGES", "SC_AVPHYS_PAGES"} <= names.keys():
        return 0.0, 0.0
    page = os.sysconf("SC_PAGE_SIZE") / GIB
    return os.sysconf("SC_PHYS_PAGES") * page, os.sysconf("SC_AVPHYS_PAGES") * page
