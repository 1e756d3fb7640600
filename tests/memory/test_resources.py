"""What a machine has. Devices that are not here are stood in for by objects with torch's functions."""

import os
import sys
from types import SimpleNamespace

import pytest

from intelligence.memory import quantization, resources, usage
from intelligence.units import BYTES_PER_GIB as GIB

torch = pytest.importorskip("torch")


def backend(free=6, total=8, held=1, capability=(8, 6), **more):
    """What `torch.cuda` and `torch.xpu` share, GiB."""
    return SimpleNamespace(
        is_available=lambda: True,
        current_device=lambda: 0,
        mem_get_info=lambda _: (free * GIB, total * GIB),
        memory_reserved=lambda _: held * GIB,
        get_device_name=lambda _: "Card",
        get_device_capability=lambda: capability,
        get_device_properties=lambda _: SimpleNamespace(total_memory=total * GIB, uuid="1234"),
        **more,
    )


@pytest.fixture
def on_cpu_tensors(monkeypatch):
    """Lets probes that make tensors on the card make them on the CPU."""
    for name in ("ones", "empty"):
        make = getattr(torch, name)
        monkeypatch.setattr(torch, name, lambda *a, make=make, **k: make(*a, **{**k, "device": "cpu"}))


def test_detect_resources_of_cuda_card(monkeypatch, on_cpu_tensors):
    monkeypatch.setattr(torch, "cuda", backend())
    monkeypatch.setattr(resources, "others_gb", lambda *_: 0.6)
    monkeypatch.setattr(torch.backends.cuda, "can_use_efficient_attention", lambda _: True)
    found = resources.detect_resources()
    assert (found.device, found.backend, found.name) == ("cuda", "cuda", "Card")
    assert (found.total_gb, found.free_gb) == (8, 7)  # what torch holds is at hand too
    assert found.context_gb == pytest.approx(8 - 6 - 1 - 0.6)
    assert (found.others_gb, found.attention) == (0.6, "flash")
    assert found.dtypes == (*resources.DTYPES, *quantization.installed())


@pytest.mark.parametrize(
    ("capability", "formats"),
    [((7, 0), ()), ((7, 5), ("int8",)), ((8, 9), ("int8", "float8")), ((12, 0), ("int8", "float8"))],
)
def test_multiplies_by_compute_capability(monkeypatch, on_cpu_tensors, capability, formats):
    monkeypatch.setattr(torch, "cuda", backend(capability=capability))
    assert resources.detect_resources().multiplies == formats


def test_backend_of_rocm(monkeypatch, on_cpu_tensors):
    monkeypatch.setattr(torch, "cuda", backend())
    monkeypatch.setattr(torch.version, "hip", "6.2")
    found = resources.detect_resources()
    assert (found.device, found.backend, found.attention) == ("cuda", "rocm", "math")
    assert found.multiplies == ("int8",)


def test_detect_resources_of_xpu_without_free_memory(monkeypatch, on_cpu_tensors):
    def unknown(_):
        raise RuntimeError("The device doesn't support querying the available free memory")

    xpu = backend(held=1, total=8)
    xpu.mem_get_info = unknown
    monkeypatch.setattr(torch, "xpu", xpu)
    found = resources.detect_resources()
    assert (found.device, found.backend, found.free_gb, found.context_gb) == ("xpu", "xpu", 8, 0)


@pytest.mark.parametrize(("ram", "free"), [(40, 20), (4, 5)])
def test_detect_resources_of_mps(monkeypatch, ram, free, on_cpu_tensors):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 20 * GIB)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 1 * GIB)
    monkeypatch.setattr(resources, "_ram", lambda: (64, ram))
    found = resources.detect_resources()
    assert (found.device, found.total_gb, found.free_gb, found.attention) == ("mps", 20, free, "math")


def test_detect_resources_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    found = resources.detect_resources()
    assert (found.device, found.backend) == ("cpu", "cpu")
    assert found.ram_total_gb > 0


@pytest.mark.parametrize(("outside", "others", "context"), [(0.3, None, 0.3), (5.0, None, 781 / 1024), (5.0, 4.7, 0.3)])
def test_context_gb(outside, others, context):
    assert resources.context_gb(outside, others) == pytest.approx(context)


class NVMLError(Exception):
    pass


def nvml(compute, graphics=(), fails=False):
    def init():
        if fails:
            raise NVMLError

    def processes(rows):
        return lambda _: [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in rows]

    return SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=init,
        nvmlDeviceGetHandleByUUID=lambda uuid: {"GPU-1234": object()}[uuid],
        nvmlDeviceGetComputeRunningProcesses=processes(compute),
        nvmlDeviceGetGraphicsRunningProcesses=processes(graphics),
    )


@pytest.mark.parametrize(
    ("library", "others"),
    [
        (nvml([(os.getpid(), GIB), (1, 2 * GIB)], [(2, GIB), (1, 2 * GIB)]), 3),
        (nvml([(1, 2 * GIB)]), None),  # another namespace of process ids
        (nvml([(os.getpid(), None)]), None),  # WDDM does not say
        (nvml([], fails=True), None),
        (None, None),
    ],
)
def test_others_gb(monkeypatch, library, others):
    monkeypatch.setitem(sys.modules, "pynvml", library)
    assert resources.others_gb(backend(), 0) == others


def test_dtypes_of_device():
    assert resources.dtypes("cpu") == resources.DTYPES
    assert resources.dtypes("meta") == ()  # which holds no numbers


def test_peak_counter_of_xpu(monkeypatch):
    calls = []
    xpu = backend(max_memory_allocated=lambda: 3 * GIB, reset_peak_memory_stats=lambda: calls.append("reset"))
    monkeypatch.setattr(torch, "xpu", xpu)
    counter = usage.PeakCounter("xpu")
    counter.reset()
    assert (calls, counter.peak_gb()) == (["reset"], 3)
    assert usage.PeakCounter("cpu").peak_gb() == 0


def test_detect_resources_without_psutil():
    total, free = resources._ram_posix()
    assert total == pytest.approx(resources._ram()[0], rel=0.05)
    assert 0 < free <= total
