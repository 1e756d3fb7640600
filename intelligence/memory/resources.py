"""The device that will sample, and its memory now. Sizes are GiB."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ..records import Record
from ..units import BYTES_PER_GIB, MIB_PER_GIB
from ..validation import checked
from . import quantization

OWN_MEMORY = ("cuda", "xpu")
"""Devices with memory of their own, so that keeping weights in RAM saves some."""

DTYPES = ("float16", "bfloat16", "float8_e4m3fn")
"""Torch's own types in which weights or a decode may be kept to save memory."""

MULTIPLIES_FROM = {"int8": (7, 5), "float8": (8, 9)}
"""Compute capability of NVIDIA's cards from which they multiply such numbers."""

LARGEST_CONTEXT_GB = 781 / MIB_PER_GIB
"""Largest CUDA context that was seen, on older drivers; 128–256 MiB on newer ones."""


@dataclass(frozen=True)
class Resources(Record):
    """The device that will sample and its memory now, GiB."""

    device: str
    """`cuda` (ROCm too), `xpu`, `mps` or `cpu`."""
    name: str
    total_gb: float
    free_gb: float
    """Memory that one run of this process may still take, including what torch holds already."""
    ram_total_gb: float
    ram_free_gb: float
    backend: str = ""
    """`cuda`, `rocm`, `xpu`, `mps` or `cpu`; empty: unknown."""
    context_gb: float | None = None
    """Memory that the driver holds for this process beside torch's tensors, not part of `free_gb`; None: unknown."""
    others_gb: float | None = None
    """Memory that other processes hold on the device; None: unknown."""
    dtypes: tuple[str, ...] = ()
    """Types that the device converts, of float16, bfloat16 and float8_e4m3fn, and that the installed libraries can keep
    weights in, of int8 and nf4; empty: unknown."""
    attention: str = "flash"
    """`flash` where attention does not hold all scores at once (flash or memory-efficient), else `math`."""
    multiplies: tuple[str, ...] = ()
    """Formats of fewer bits, of `int8` and `float8`, that its matrix units multiply without converting them."""
    dynamic_vram: bool = False
    """ComfyUI pages weights in and out by itself: a plan need not make room for them."""


def detect_resources() -> Resources:
    """Return the best device of this machine: CUDA or ROCm, else XPU, else MPS, else the CPU.

    On a card `free_gb` is what the driver has left plus what torch holds in this process, because that is what one
    generation may use in all. On MPS it is the recommended working set, at most the free RAM and what this process
    holds. Without torch the CPU is reported. RAM of 0 means that it could not be read.
    """
    ram_total, ram_free = _ram()
    name = device_name("cpu")
    try:
        import torch
    except ImportError:
        return Resources("cpu", name, ram_total, ram_free, ram_total, ram_free, backend="cpu")
    for device in ("cuda", "xpu"):
        if (backend := getattr(torch, device, None)) is not None and backend.is_available():
            return _own_memory_device(device, backend, ram_total, ram_free)
    if torch.backends.mps.is_available():
        total = torch.mps.recommended_max_memory() / BYTES_PER_GIB
        free = max(0.0, min(total, ram_free + torch.mps.driver_allocated_memory() / BYTES_PER_GIB))
        ram, types = (ram_total, ram_free), dtypes("mps")
        return Resources("mps", name, total, free, *ram, "mps", 0.0, dtypes=types, attention="math")
    return Resources("cpu", name, ram_total, ram_free, ram_total, ram_free, "cpu", 0.0, dtypes=dtypes("cpu"))


def weight_bytes(device: str) -> int:
    """Return the bytes of a weight as models are loaded for a kind of device: half precision, but on processors."""
    return 4 if device == "cpu" else 2


def device_name(device: str) -> str:
    """Return the name of the present device of a kind (`cuda`, `xpu`, `mps`, `cpu`): its card or processor."""
    if device in OWN_MEMORY:
        import torch

        return str(getattr(torch, device).get_device_name())
    return platform.processor() or platform.machine()


def hypothetical_gpu(vram_gb: float, machine: Resources) -> Resources:
    """Return `machine` with an idle CUDA card of `vram_gb` GiB instead. Raises InvalidInputError."""
    checked("vram", vram_gb, float, gt=0)
    name, dtypes = f"a card of {vram_gb:g} GiB", (*DTYPES, *quantization.installed())
    ram = machine.ram_total_gb, machine.ram_free_gb
    return Resources("cuda", name, vram_gb, vram_gb, *ram, backend="cuda", dtypes=dtypes)


def _own_memory_device(device: str, backend: ModuleType | Any, ram_total: float, ram_free: float) -> Resources:
    """Resources of `torch.cuda` or `torch.xpu`, which have the same functions."""
    import torch

    index = backend.current_device()
    held = backend.memory_reserved(index)
    try:
        free, total = backend.mem_get_info(index)
    except (AttributeError, RuntimeError):  # integrated XPUs do not report it: all that torch does not hold is free
        total = backend.get_device_properties(index).total_memory
        free = total - held
    outside = max(0.0, (total - free - held) / BYTES_PER_GIB)
    others = others_gb(backend, index) if device == "cuda" else None
    return Resources(
        device=device,
        name=backend.get_device_name(index),
        total_gb=total / BYTES_PER_GIB,
        free_gb=min(total, free + held) / BYTES_PER_GIB,
        ram_total_gb=ram_total,
        ram_free_gb=ram_free,
        backend="rocm" if device == "cuda" and torch.version.hip else device,  # ROCm calls itself cuda in torch
        context_gb=context_gb(outside, others),
        others_gb=others,
        dtypes=(*dtypes(device), *quantization.installed()),
        attention=attention(device),
        multiplies=multiplies(device),
    )


def multiplies(device: str) -> tuple[str, ...]:
    """Return the formats of fewer bits that the device multiplies: int8 from Turing, float8 from Ada [NVIDIA's table of
    compute capabilities]; on AMD int8 alone counts, since float8 is slow on RDNA (ComfyUI#11819)."""
    import torch

    if device != "cuda":
        return ()
    if torch.version.hip:
        return ("int8",)
    capability = torch.cuda.get_device_capability()
    return tuple(name for name, least in MULTIPLIES_FROM.items() if capability >= least)


def context_gb(outside: float, others: float | None) -> float:
    """The driver's share for this process of the memory `outside` torch's: (total − free) − reserved.

    At most the largest context that was ever seen, where the share of other processes is unknown.
    """
    return min(outside, LARGEST_CONTEXT_GB) if others is None else max(0.0, outside - others)


def others_gb(backend: Any, index: int) -> float | None:
    """Memory that other processes hold on an NVIDIA card, by NVML; None without pynvml or the driver's answer."""
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
    return sum(size for pid, size in used.items() if pid != os.getpid()) / BYTES_PER_GIB


def dtypes(device: str) -> tuple[str, ...]:
    """Return the types of `DTYPES` that the device can hold and convert, tried on one number."""
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


def _ram() -> tuple[float, float]:
    """Total and available RAM in GiB; (0, 0) where neither psutil nor POSIX can tell."""
    try:
        import psutil
    except ImportError:
        return _ram_posix()
    memory: Any = psutil.virtual_memory()
    return memory.total / BYTES_PER_GIB, memory.available / BYTES_PER_GIB


def _ram_posix() -> tuple[float, float]:
    names = getattr(os, "sysconf_names", {})
    if not {"SC_PAGE_SIZE", "SC_PHYS_PAGES", "SC_AVPHYS_PAGES"} <= names.keys():
        return 0.0, 0.0
    page = os.sysconf("SC_PAGE_SIZE") / BYTES_PER_GIB
    return os.sysconf("SC_PHYS_PAGES") * page, os.sysconf("SC_AVPHYS_PAGES") * page
