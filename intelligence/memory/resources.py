"""What the machine has: the device that will sample, and its memory at hand now. Sizes are GiB."""

from __future__ import annotations

import os
import platform
from types import ModuleType
from typing import Any

from ..config import is_number, require
from . import quantization
from .plan import Resources

GIB = 2**30

DTYPES = ("float16", "bfloat16", "float8_e4m3fn")
"""What weights or a decode may be kept in to save memory, of torch's own."""

LARGEST_CONTEXT = 781 / 1024
"""Most that a CUDA context was seen to take (facts of older stacks; 128–256 MiB on newer ones)."""


def detect_resources() -> Resources:
    """The best device of this machine: CUDA or ROCm, else XPU, else MPS, else the CPU.

    On a card `free_gb` is what the driver has left plus what torch holds in this process, because that is what one
    generation may use in all. On MPS it is the recommended working set, at most the free RAM and what this process
    holds. Without torch the CPU is reported. RAM of 0 means that it could not be read.
    """
    ram_total, ram_free = _ram()
    try:
        import torch
    except ImportError:
        name = platform.processor() or platform.machine()
        return Resources("cpu", name, ram_total, ram_free, ram_total, ram_free, backend="cpu")
    for device in ("cuda", "xpu"):
        if (backend := getattr(torch, device, None)) is not None and backend.is_available():
            return _card(device, backend, ram_total, ram_free)
    name = platform.processor() or platform.machine()
    if torch.backends.mps.is_available():
        total = torch.mps.recommended_max_memory() / GIB
        free = max(0.0, min(total, ram_free + torch.mps.driver_allocated_memory() / GIB))
        return Resources(
            "mps", name, total, free, ram_total, ram_free, "mps", 0.0, dtypes=dtypes("mps"), attention="math"
        )
    return Resources("cpu", name, ram_total, ram_free, ram_total, ram_free, "cpu", 0.0, dtypes=dtypes("cpu"))


def card(vram_gb: float, machine: Resources) -> Resources:
    """`machine` with an idle CUDA card of `vram_gb` GiB of its own, to see what would fit there."""
    require(is_number(vram_gb) and vram_gb > 0, f"vram must be a number above 0, got {vram_gb!r}")
    return Resources(
        "cuda",
        f"a card of {vram_gb:g} GiB",
        vram_gb,
        vram_gb,
        machine.ram_total_gb,
        machine.ram_free_gb,
        backend="cuda",
        dtypes=(*DTYPES, *quantization.installed()),
    )


def _card(device: str, backend: ModuleType | Any, ram_total: float, ram_free: float) -> Resources:
    """A device with memory of its own, through `torch.cuda` or `torch.xpu`, which have the same functions."""
    index = backend.current_device()
    free, total = _memory(backend, index)
    held = backend.memory_reserved(index)
    outside = max(0.0, (total - free - held) / GIB)
    others = others_gb(backend, index) if device == "cuda" else None
    return Resources(
        device=device,
        name=backend.get_device_name(index),
        total_gb=total / GIB,
        free_gb=min(total, free + held) / GIB,
        ram_total_gb=ram_total,
        ram_free_gb=ram_free,
        backend=backend_of(device),
        context_gb=context_gb(outside, others),
        others_gb=others,
        dtypes=(*dtypes(device), *quantization.installed()),
        attention=attention(device),
    )


def _memory(backend: Any, index: int) -> tuple[int, int]:
    """Free and total bytes. Integrated XPUs do not tell what is free: what torch does not hold counts as free there."""
    try:
        free, total = backend.mem_get_info(index)
    except (AttributeError, RuntimeError):
        total = backend.get_device_properties(index).total_memory
        free = total - backend.memory_reserved(index)
    return free, total


def context_gb(outside: float, others: float | None) -> float:
    """The driver's share for this process, of what lies `outside` torch's: (total − free) − reserved.

    Where other processes cannot be told apart it is at most the largest context that was ever seen.
    """
    return min(outside, LARGEST_CONTEXT) if others is None else max(0.0, outside - others)


def others_gb(backend: Any, index: int) -> float | None:
    """What other processes hold on an NVIDIA card, by NVML; None where pynvml is missing or the driver does not say."""
    try:
        import pynvml
    except ImportError:
        return None
    uuid = getattr(backend.get_device_properties(index), "uuid", None)
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        processes = [
            *pynvml.nvmlDeviceGetComputeRunningProcesses(handle),
            *pynvml.nvmlDeviceGetGraphicsRunningProcesses(handle),
        ]
    except pynvml.NVMLError:
        return None
    used = {process.pid: process.usedGpuMemory for process in processes}
    if os.getpid() not in used or None in used.values():
        return None
    return sum(size for pid, size in used.items() if pid != os.getpid()) / GIB


def backend_of(device: str) -> str:
    """The name of the stack behind torch's `device`: ROCm calls itself cuda there."""
    import torch

    return "rocm" if device == "cuda" and torch.version.hip else device


def dtypes(device: str) -> tuple[str, ...]:
    """Which of `DTYPES` the device can hold and convert, tried on one number."""
    import torch

    def works(name: str) -> bool:
        try:
            return bool(torch.ones(1, device=device).to(getattr(torch, name)).float().item() == 1)
        except (AttributeError, RuntimeError, TypeError):
            return False

    return tuple(name for name in DTYPES if works(name))


def attention(device: str) -> str:
    """`flash` where scaled_dot_product_attention of the UNet's shapes does not hold all scores at once, else `math`."""
    import torch

    if device == "xpu":
        return "flash"  # its only kernel, oneDNN's fused one
    sample = torch.empty(1, 1, 64, 64, device=device, dtype=torch.float16)
    parameters = torch.backends.cuda.SDPAParams(sample, sample, sample, None, 0.0, False, False)
    kernels = (torch.backends.cuda.can_use_flash_attention, torch.backends.cuda.can_use_efficient_attention)
    return "flash" if any(kernel(parameters) for kernel in kernels) else "math"


def peak_counter(device: str) -> PeakCounter:
    """The counter of memory in use on `device`."""
    return {"cuda": _CardPeak, "xpu": _CardPeak, "mps": _MpsPeak}.get(device, PeakCounter)(device)


class PeakCounter:
    """Counts device memory of this process; this one is for the CPU, which has no counter: always 0."""

    def __init__(self, device: str) -> None:
        self._device = device

    def reset(self) -> None:
        """Start counting anew."""

    def peak_gb(self) -> float:
        """Most that was in use since the last reset, GiB."""
        return 0.0


class _CardPeak(PeakCounter):
    """torch's own counter of allocated bytes, convolution workspaces included, the driver's context not."""

    def reset(self) -> None:
        self._backend().reset_peak_memory_stats()

    def peak_gb(self) -> float:
        return float(self._backend().max_memory_allocated() / GIB)

    def _backend(self) -> Any:
        import torch

        return getattr(torch, self._device)


class _MpsPeak(PeakCounter):
    """MPS keeps no peak: what the driver holds now, caches included, is the nearest figure."""

    def peak_gb(self) -> float:
        import torch

        return torch.mps.driver_allocated_memory() / GIB


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
