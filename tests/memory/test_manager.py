"""Predictions against the published figures, and the plan."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelligence.config import MemorySettings, OffloadStrategy
from intelligence.errors import InvalidInputError
from intelligence.memory import MemoryManager, MemoryPlan, Resources
from intelligence.registry import Architecture

FULL, WHOLE_MODELS, STREAMED = OffloadStrategy.FULL_GPU, OffloadStrategy.CPU_OFFLOAD, OffloadStrategy.SEQUENTIAL
MIB = 1 / 1024
WEIGHTS = 6616 * MIB

manager = MemoryManager()


def card(free, device="cuda"):
    return Resources(device, "Test", free, free, 64, 48)


@pytest.mark.parametrize(
    ("side", "batch", "cfg", "mib"),
    [(1024, 1, False, 166), (1024, 1, True, 326), (1536, 1, True, 726), (2048, 1, True, 1287)],
)
def test_the_unets_activation_is_at_most_five_percent_above_the_replay(side, batch, cfg, mib):
    stages = manager.predict(side, side, batch, cfg=cfg, vae_dtype="float16")
    activation = stages["unet"] - WEIGHTS - 0.4
    assert mib * MIB * 0.999 <= activation <= mib * MIB * 1.05


@pytest.mark.parametrize(
    ("dtype", "tile", "mib"),
    [
        ("float16", 0, 2433),
        ("float32", 0, 4867),
        ("float16", 512, 615),
        ("float32", 512, 1229),
        ("bfloat16", 0, 2177),
        ("bfloat16", 512, 545),
    ],
)
def test_the_vae_decode(dtype, tile, mib):
    stages = manager.predict(1024, 1024, strategy=STREAMED, tile_size=tile, vae_dtype=dtype)
    leaf = 113 * MIB
    assert stages["vae"] - leaf - 0.4 == pytest.approx(mib * MIB, rel=0.015)


@pytest.mark.parametrize(("strategy", "mib"), [(FULL, 7528), (WHOLE_MODELS, 5809), (STREAMED, 950)])
def test_the_process_peaks_of_the_facts(strategy, mib):
    """Those count what torch reserves, these the floor: a little below, never far."""
    stages = manager.predict(1024, 1024, strategy=strategy, tile_size=512, vae_dtype="float16")
    peak = max(stages["text"], stages["unet"])
    assert 0.85 <= peak / (mib * MIB) <= 1.02


@pytest.mark.parametrize(
    ("free", "images", "expected"),
    [
        (24, 1, (FULL, 0, 1)),
        (24, 4, (FULL, 0, 4)),
        (10, 1, (FULL, 512, 1)),
        (8, 1, (WHOLE_MODELS, 0, 1)),
        (6, 4, (WHOLE_MODELS, 0, 2)),
        (4, 1, (STREAMED, 512, 1)),
    ],
)
def test_the_fastest_plan_that_fits(free, images, expected):
    plan = manager.plan(1024, 1024, images, resources=card(free))
    assert (plan.strategy, plan.tile_size, plan.batch_size) == expected
    assert plan.fits
    assert plan.predicted_peak_gb <= plan.budget_gb == free


def test_without_parallel_every_image_is_a_forward_batch():
    assert manager.plan(1024, 1024, 4, resources=card(24), parallel=False).batch_size == 1


@pytest.mark.parametrize(
    ("limit", "setting", "free", "budget"), [(None, None, 20, 20), (8, None, 20, 8), (8, 6, 20, 6), (30, 40, 20, 20)]
)
def test_the_budget_is_the_smallest_limit(limit, setting, free, budget):
    plan = manager.plan(
        1024, 1024, max_vram_gb=limit, settings=MemorySettings(max_vram_gb=setting), resources=card(free)
    )
    assert plan.budget_gb == budget


def test_what_nothing_fits_comes_back_as_the_nearest_plan():
    plan = manager.plan(1024, 1024, 2, resources=card(1))
    assert not plan.fits
    assert (plan.strategy, plan.tile_size) == (STREAMED, 512)
    assert "even the smallest plan" in plan.reasons[-1].evidence


@pytest.mark.parametrize("strategy", [FULL, WHOLE_MODELS, STREAMED])
def test_a_strategy_that_was_asked_for_is_kept(strategy):
    settings_ = MemorySettings(strategy)
    assert manager.plan(1024, 1024, settings=settings_, resources=card(24)).strategy is strategy
    assert manager.plan(1024, 1024, settings=settings_, resources=card(1)).strategy is strategy


@pytest.mark.parametrize("tile", [0, 256, 768])
def test_a_tile_size_that_was_asked_for_is_kept(tile):
    assert manager.plan(1024, 1024, tile_size=tile, resources=card(9)).tile_size == tile


@pytest.mark.parametrize("device", ["cpu", "mps"])
@pytest.mark.parametrize("strategy", OffloadStrategy)
def test_shared_memory_is_never_offloaded(device, strategy):
    plan = manager.plan(1024, 1024, settings=MemorySettings(strategy), resources=card(64, device))
    assert (plan.strategy, plan.device) == (FULL, device)
    if strategy in (WHOLE_MODELS, STREAMED):
        assert any("no separate memory" in reason.evidence for reason in plan.reasons)


def test_a_cpus_budget_is_its_free_ram_whatever_the_limits():
    plan = manager.plan(1024, 1024, max_vram_gb=0.5, resources=Resources("cpu", "Test", 32, 28, 32, 28))
    assert (plan.budget_gb, plan.fits) == (28, True)
    unknown = manager.plan(1024, 1024, resources=Resources("cpu", "Test", 0, 0, 0, 0))
    assert (unknown.budget_gb, unknown.fits) == (None, True)


def test_true_sizes_replace_the_table():
    tiny = {"text": 0.01, "unet": 0.02, "vae": 0.01}
    plan = manager.plan(1024, 1024, weights_gb=tiny, resources=card(8))
    assert (plan.strategy, plan.tile_size) == (FULL, 0)
    assert plan.stages["unet"] == pytest.approx(0.04 + 0.4 + 2 * 166 * MIB)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"width": 0}, "width"),
        ({"height": 2.5}, "height"),
        ({"images": True}, "images"),
        ({"weights_gb": {"clip": 1.0}}, "clip"),
        ({"vae_dtype": "int8"}, "vae_dtype"),
    ],
)
def test_wrong_input_is_refused(values, text):
    with pytest.raises(InvalidInputError, match=text):
        manager.plan(**({"width": 1024, "height": 1024, "resources": card(8)} | values))


@settings(max_examples=150, deadline=None)
@given(
    width=st.integers(8, 512).map(lambda n: n * 8),
    height=st.integers(8, 512).map(lambda n: n * 8),
    images=st.integers(1, 64),
    free=st.floats(0.1, 200),
    architecture=st.sampled_from(Architecture),
    device=st.sampled_from(["cuda", "mps", "cpu"]),
    strategy=st.sampled_from(OffloadStrategy),
)
def test_a_plan_keeps_its_promises(width, height, images, free, architecture, device, strategy):
    given_ = {
        "images": images,
        "architecture": architecture,
        "settings": MemorySettings(strategy),
        "resources": Resources(device, "Test", free, free, free, free),
    }
    plan = manager.plan(width, height, **given_)
    assert plan == manager.plan(width, height, **given_)
    assert MemoryPlan.from_json(plan.to_json()) == plan
    assert plan.strategy is not OffloadStrategy.AUTO
    assert 1 <= plan.batch_size <= images
    assert plan.fits == (plan.predicted_peak_gb <= free)
    assert plan.predicted_peak_gb == max(plan.stages.values())
    assert {"budget", "strategy"} <= {reason.what for reason in plan.reasons}


def test_this_machine():
    resources = MemoryManager().detect_resources()
    assert resources.device in ("cuda", "mps", "cpu")
    assert 0 < resources.free_gb <= resources.total_gb
    assert 0 < resources.ram_free_gb <= resources.ram_total_gb


def test_without_psutil_posix_tells():
    from intelligence.memory.resources import _ram, _ram_posix

    total, free = _ram_posix()
    assert total == pytest.approx(_ram()[0], rel=0.05)
    assert 0 < free <= total


def test_tracking_nests_and_keeps_the_last_peak():
    import torch

    tracker = MemoryManager()
    assert tracker.get_peak_vram_usage() == 0
    with tracker.track_usage() as outer:
        with tracker.track_usage() as inner:
            if torch.cuda.is_available():
                torch.zeros(2**28, dtype=torch.uint8, device="cuda")
        assert outer.peak_vram_gb >= inner.peak_vram_gb == tracker.get_peak_vram_usage() * (inner.peak_vram_gb > 0)
    assert tracker.get_peak_vram_usage() == outer.peak_vram_gb
    assert (outer.peak_vram_gb > 0.2) == torch.cuda.is_available()
