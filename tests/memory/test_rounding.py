"""Which plans round weights or the decode, and how far."""

import pytest

from intelligence.config import MemorySettings, OffloadStrategy
from intelligence.memory import MemoryManager
from intelligence.models import Architecture
from tests.memory.test_manager import DTYPES, INTEGERS, card

FULL, WHOLE_MODELS, STREAMED = OffloadStrategy.FULL_GPU, OffloadStrategy.CPU_OFFLOAD, OffloadStrategy.SEQUENTIAL

manager = MemoryManager()


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (8, (FULL, "float16", "float32", 256)),
        (7.2, (FULL, "float16", "bfloat16", 256)),
        (6, (FULL, "int8", "float32", 256)),
        (5, (FULL, "float8", "float32", 256)),
        (4, (WHOLE_MODELS, "int8", "float32", 768)),
        (3, (WHOLE_MODELS, "nf4", "float32", 512)),
        (2, (STREAMED, "float16", "float32", 512)),
    ],
)
def test_plan_rounds_least_with_integer_formats(free, expected):
    """The least rounding of each strategy, and 4 bits against streaming alone."""
    plan = manager.plan(1024, 1024, resources=card(free, dtypes=INTEGERS))
    assert (plan.strategy, plan.weight_dtype, plan.vae_dtype, plan.tile_size) == expected
    said = {reason.setting: reason.evidence for reason in plan.reasons}
    assert ("weight_dtype" in said) == (plan.weight_dtype != "float16")
    assert plan.vae_dtype in said["vae_dtype"]
    streamed = manager.plan(1024, 1024, settings=MemorySettings(STREAMED), resources=card(1, dtypes=INTEGERS))
    assert streamed.weight_dtype in ("float16", "float8")


@pytest.mark.parametrize(
    ("architecture", "configs", "device", "dtypes", "expected"),
    [
        (Architecture.SDXL, {}, "cuda", DTYPES, "bfloat16"),
        (Architecture.SDXL, {}, "cuda", ("float16",), "float32"),
        (Architecture.SDXL, {"vae": {"force_upcast": True}}, "cuda", DTYPES, "bfloat16"),
        (Architecture.SDXL, {"vae": {"force_upcast": False}}, "cuda", DTYPES, "float16"),
        (Architecture.SD1, {}, "cuda", DTYPES, "float16"),
        (Architecture.SDXL, {}, "cpu", DTYPES, "float32"),
    ],
)
def test_plan_vae_dtype(architecture, configs, device, dtypes, expected):
    """With little memory: with much of it SDXL's decodes in float32 everywhere, since float16 overflows."""
    tight = {"settings": MemorySettings(STREAMED), "resources": card(0.7, device, dtypes=dtypes)}
    alike = {"architecture": architecture, "configs": configs}
    assert manager.plan(1024, 1024, **alike, **tight).vae_dtype == expected
    roomy = manager.plan(1024, 1024, **alike, resources=card(24, device, dtypes=dtypes))
    assert roomy.vae_dtype == ("float16" if expected == "float16" else "float32")
    asked = manager.plan(1024, 1024, **alike, vae_dtype="bfloat16", resources=card(24, device, dtypes=dtypes))
    assert asked.vae_dtype == ("float32" if device == "cpu" else "bfloat16")


def test_plan_rounds_weights_only_for_other_strategy():
    """With 10 GiB four images would be decoded whole if weights were rounded; they are decoded in tiles."""
    plan = manager.plan(1024, 1024, 4, resources=card(10))
    assert (plan.strategy, plan.weight_dtype) == (FULL, "float16")
    settings_ = MemorySettings(exact_weights=True)
    for free in (3, 6, 10):
        assert manager.plan(1024, 1024, settings=settings_, resources=card(free)).weight_dtype == "float16"
