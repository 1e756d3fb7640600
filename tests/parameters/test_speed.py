"""How fast a device is, learned from runs of made-up devices."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelligence.learning import Timing
from intelligence.models import Architecture
from intelligence.parameters.speed import PRIOR_TFLOPS, enlarging_seconds, learn, timing_key
from intelligence.parameters.workload import COSTS, Work, cost_of, decode_tflop, forward_tflop

A100 = 122.6
SDXL = COSTS[Architecture.SDXL]
SIZES = [(512, 512), (768, 768), (832, 1216), (1024, 1024)]


def run(width, height, items, tflops, *, images=1, fixed=0.3, each_pass=0.0, noise=0.0, rng=None):
    """What a device that does `tflops` takes."""
    spread = 1 + noise * rng.gauss(0, 1) if rng else 1.0
    item = (forward_tflop(width, height, SDXL) / tflops + each_pass / 2) * spread
    decode = images * decode_tflop(width, height, SDXL) / tflops * spread
    return Timing(width, height, images, items, items // 2, item, item * items + decode + fixed)


def work(width, height, items, images=1):
    return Work(width, height, items, items // 2, images)


@pytest.mark.parametrize("key", ["cuda", "mps:sdxl:4.8", "cpu", "cpu:demo", "cuda:demo:0.1", "xpu"])
def test_estimate_without_runs_is_cautious(key):
    device, model = (*key.split(":"), "")[:2]
    tflops = PRIOR_TFLOPS.get(model) or PRIOR_TFLOPS.get(device, PRIOR_TFLOPS["cpu"])
    cost = cost_of(key)
    tflop = 40 * forward_tflop(1024, 1024, cost) + decode_tflop(1024, 1024, cost)
    speed = learn([], key)
    found = speed.estimate(work(1024, 1024, 40))
    assert not found.learned
    assert found.seconds == pytest.approx(tflop / tflops + 0.3, rel=1e-3)
    ratio = decode_tflop(1024, 1024, cost) / forward_tflop(1024, 1024, cost)
    assert speed.decode_items(work(1024, 1024, 40, 2)) == pytest.approx(ratio)


def test_learn_item_seconds_from_one_run():
    speed = learn([run(1024, 1024, 60, A100)], "cuda:sdxl")
    assert speed.item_seconds(work(1024, 1024, 60)) == pytest.approx(6.761 / A100, rel=0.05)
    assert speed.item_seconds(work(512, 512, 40)) == pytest.approx(1.589 / A100, rel=0.2)


def test_estimate_of_a100_matches_published():
    found = learn([run(1024, 1024, 60, A100)], "cuda:sdxl").estimate(work(1024, 1024, 60))
    assert found.learned
    assert found.seconds == pytest.approx(3.31 + 0.3, rel=0.05)


@pytest.mark.parametrize("tflops", [0.02, 0.2, 5.0, 120.0])
def test_estimate_other_sizes_from_one_run(tflops):
    speed = learn([run(512, 512, 20, tflops)], "cpu:sdxl")
    for width, height in SIZES:
        truth = run(width, height, 40, tflops).seconds
        found = speed.estimate(work(width, height, 40))
        assert found.low <= truth <= found.high
        assert found.seconds == pytest.approx(truth, rel=0.25)


def test_learn_proportions_of_smaller_model():
    def small(width, height, items):
        p = width * height / 1024**2
        item = (0.0043 + 0.5401 * p + 0.3 * p * p) / 0.2 + 0.02
        return Timing(width, height, 1, items, items // 2, item, item * items + 12 * p + 0.1)

    speed = learn([small(256, 256, 16), small(512, 512, 16), small(768, 768, 16)], "cpu:sdxl:0.2")
    for width, height, items in [(384, 384, 10), (512, 768, 30), (896, 640, 40)]:
        truth = small(width, height, items).seconds
        assert speed.estimate(work(width, height, items)).seconds == pytest.approx(truth, rel=0.06)


def test_learn_decode_items():
    """Here a decode takes five times as long as its TFLOP at the speed of the forward items."""

    def slow(width, height, items):
        p = width * height / 1024**2
        item = forward_tflop(width, height, SDXL) / 50
        return Timing(width, height, 1, items, items // 2, item, item * items + p + 0.3)

    speed = learn([slow(*size, items) for size in SIZES for items in (8, 20)], "cuda:sdxl")
    item = forward_tflop(768, 1024, SDXL) / 50
    assert speed.decode_items(work(768, 1024, 30)) == pytest.approx(0.75 / item, rel=0.2)


def test_learn_discounts_runs_that_loaded():
    steady = [run(*size, 40, 50.0) for size in SIZES * 2]
    loaded = run(1024, 1024, 40, 50.0, fixed=12.0)
    before, after = (learn(runs, "cuda:sdxl").estimate(work(1024, 1024, 40)) for runs in (steady, [loaded, *steady]))
    assert after.seconds == pytest.approx(before.seconds, rel=0.03)


def test_learn_follows_slower_machine():
    runs = [run(1024, 1024, 40, 50.0) for _ in range(10)] + [run(1024, 1024, 40, 25.0) for _ in range(30)]
    found = learn(runs, "cuda:sdxl").estimate(work(1024, 1024, 40))
    assert found.seconds == pytest.approx(run(1024, 1024, 40, 25.0).seconds, rel=0.1)


def test_estimate_interval_covers_runs():
    rng = random.Random(0)
    held = total = 0
    errors = []
    for _ in range(60):
        tflops, each_pass = rng.uniform(0.05, 50), rng.uniform(0, 0.05)
        make = {"tflops": tflops, "each_pass": each_pass, "noise": 0.06, "rng": rng}
        speed = learn([run(*size, 20, **make) for size in (SIZES[0], SIZES[1], SIZES[3])], "cpu:sdxl")
        for _ in range(8):
            size, items, images = rng.choice(SIZES), rng.randint(4, 80), rng.randint(1, 3)
            truth = run(*size, items * images, images=images, **make).seconds
            found = speed.estimate(work(*size, items * images, images))
            held += found.low <= truth <= found.high
            total += 1
            errors.append(abs(found.seconds / truth - 1))
    assert held / total >= 0.85
    assert sorted(errors)[len(errors) // 2] <= 0.08


@settings(max_examples=60, deadline=None)
@given(
    runs=st.lists(
        st.builds(
            Timing,
            width=st.integers(8, 256).map(lambda side: 8 * side),
            height=st.integers(8, 256).map(lambda side: 8 * side),
            images=st.integers(1, 9),
            items=st.integers(1, 500),
            passes=st.integers(1, 500),
            item_seconds=st.floats(1e-4, 1e3),
            seconds=st.floats(1e-3, 1e6),
        ),
        max_size=12,
    ),
    width=st.integers(8, 1024).map(lambda side: 8 * side),
    items=st.integers(1, 2000),
)
def test_estimate_is_positive_for_any_history(runs, width, items):
    speed = learn(runs, "cpu:sdxl")
    assert 0 <= speed.decode_items(work(width, width, items)) < float("inf")
    found = speed.estimate(work(width, width, items))
    assert 0 <= found.low <= found.seconds <= found.high < float("inf")
    assert found.seconds > 0
    assert found.learned == bool(runs)


@pytest.mark.parametrize(
    ("architecture", "unet_gb", "key"),
    [
        (Architecture.SDXL, None, "cuda:sdxl"),
        (Architecture.SDXL, 4.782, "cuda:sdxl:4.8"),
        (Architecture.DEMO, 0.017, "cuda:demo:0.0"),
    ],
)
def test_timing_key_by_device_and_model(architecture, unet_gb, key):
    assert timing_key("cuda", architecture, unet_gb) == key


def enlarging(side, seconds_per_tflop, tflop=0.03):
    """A remembered enlargement of a picture of side² by a model."""
    seconds = tflop * seconds_per_tflop
    return Timing(side, side, 1, round(1000 * tflop), 1, seconds / (1000 * tflop), seconds)


def test_enlarging_is_foretold_by_runs_of_the_nearest_size():
    small, large = [enlarging(512, 10.0)] * 6, [enlarging(1024, 14.0)] * 6
    speed = learn((), "cuda:sdxl:4.8")
    for known in (small + large, large + small):
        assert enlarging_seconds(2.0, 1024**2, known, speed, "cuda") == pytest.approx(28.0)
        assert enlarging_seconds(2.0, 500**2, known, speed, "cuda") == pytest.approx(20.0)


def test_enlarging_follows_a_device_that_changed():
    known = [enlarging(512, 10.0)] * 20 + [enlarging(512, 5.0)] * 3
    assert enlarging_seconds(1.0, 512**2, known, learn((), "cuda"), "cuda") == pytest.approx(5.0)


def test_enlarging_without_runs_is_as_slow_as_sampling_in_float32():
    speed = learn((), "cuda:sdxl:4.8")
    assert enlarging_seconds(1.0, 512**2, (), speed, "cuda") == pytest.approx(2 * speed.seconds[0])
    assert enlarging_seconds(1.0, 512**2, (), speed, "cpu") == pytest.approx(speed.seconds[0])
