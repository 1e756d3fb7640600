"""Predictions against the published process peaks, and the plan."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelligence.config import MemorySettings, OffloadStrategy
from intelligence.errors import InvalidInputError
from intelligence.memory import COMFYUI, DIFFUSERS, MemoryManager, MemoryPlan, MemoryRequest, PlanOption, Resources
from intelligence.memory.plan_candidates import MOST_EXACT_DECODE_FIRST
from intelligence.memory.prediction import FINEST_FIRST
from intelligence.models import Architecture
from intelligence.parameters.speed import learn
from intelligence.parameters.workload import Work

FULL, WHOLE_MODELS, STREAMED = OffloadStrategy.FULL_GPU, OffloadStrategy.CPU_OFFLOAD, OffloadStrategy.SEQUENTIAL
MIB = 1 / 1024
WEIGHTS = 6616 * MIB
CONTEXT = 400 * MIB
DTYPES = ("float16", "bfloat16", "float8_e4m3fn")
EXACT = replace(DIFFUSERS, weight_dtypes=("float16",))
INTEGERS = (*DTYPES, "int8", "nf4")

manager = MemoryManager()


def rounding(plan):
    """How far weights and decode of a plan or option are from exact."""
    return list(FINEST_FIRST).index(plan.weight_dtype), MOST_EXACT_DECODE_FIRST.index(plan.vae_dtype)


def predict(width, height, images=1, *, resources=None, **details):
    """Stages of a job whose images are made at once; `details`: fields of the request, or of the option."""
    option = {name: details.pop(name) for name in PlanOption.__dataclass_fields__ if name in details}
    request = MemoryRequest(width, height, images, vae_dtype=option.get("vae_dtype"), **details)
    return manager.predict(request, PlanOption(**{"batch_size": images, **option}), resources or card(24))


def cuda_rates(width, height, images=1, steps=20, guided=True):
    """Rates of a card of which nothing was learned."""
    items = images * steps * (2 if guided else 1)
    return learn((), "cuda:sdxl").rates(Work(width, height, items, images * steps, images))


def timed(job):
    """`job`, fields of a request, with such rates, its computing made faster by the job's `speed`."""
    speed = job.pop("speed")
    rates = cuda_rates(job["width"], job["height"], job["images"], job["steps"], job["guided"])
    faster = {name: getattr(rates, name) / speed for name in ("forward_item", "decoded_pixel", "run")}
    return {**job, "rates": replace(rates, **faster)}


def card(free, device="cuda", **more):
    return Resources(device, "Test", free, free, 64, 48, **{"dtypes": DTYPES, **more})


@pytest.mark.parametrize(
    ("side", "batch", "cfg", "mib"),
    [(1024, 1, False, 166), (1024, 1, True, 326), (1536, 1, True, 726), (2048, 1, True, 1287)],
)
def test_predict_unet_activation(side, batch, cfg, mib):
    stages = predict(side, side, batch, guided=cfg, vae_dtype="float16")
    assert stages["unet"] - WEIGHTS - CONTEXT == pytest.approx(mib * MIB, rel=0.01)


@pytest.mark.parametrize(
    ("dtype", "tile", "host", "mib"),
    [
        ("float16", 0, DIFFUSERS, 2433),
        ("float32", 0, DIFFUSERS, 4867),
        ("float16", 512, DIFFUSERS, 615),
        ("float32", 512, DIFFUSERS, 1229),
        ("bfloat16", 0, COMFYUI, 2177),
        ("bfloat16", 512, COMFYUI, 545),
    ],
)
def test_predict_vae_decode(dtype, tile, host, mib):
    stages = predict(1024, 1024, tile_size=tile, vae_dtype=dtype, weights_gb={"vae": 0}, host=host)
    without = (4897.0 + 1559.7) * MIB + CONTEXT
    assert stages["vae"] - without == pytest.approx(mib * MIB, rel=0.02)


@pytest.mark.parametrize(
    ("strategy", "dtype", "mib"),
    [
        (FULL, "float16", 7528),
        (WHOLE_MODELS, "float16", 5809),
        (WHOLE_MODELS, "float8", 3420),
        (STREAMED, "float16", 950),
    ],
)
def test_predict_published_process_peaks(strategy, dtype, mib):
    """They count what torch reserves for the UNet's tensors, 512 MiB, and these what it allocates, 326. For streaming
    they count less than one of the largest modules, and these two, 113 MiB: one computes while the next comes."""
    stages = predict(1024, 1024, strategy=strategy, tile_size=512, vae_dtype="float16", weight_dtype=dtype)
    reserved = max(stages["text"], stages["unet"] + (512 - 326) * MIB)
    assert reserved == pytest.approx(mib * MIB, rel=0.08 if strategy is STREAMED else 0.01)


@pytest.mark.parametrize(
    ("dtype", "mib", "copy"), [("float8", 2449, 56.25), ("int8", 2767 + 7, 25), ("nf4", 1702 + 133, 25)]
)
def test_predict_weight_formats(dtype, mib, copy):
    """Published sizes, which lack the scales; and the copy of a module's weights that it computes with."""
    before, after = (
        predict(1024, 1024, strategy=WHOLE_MODELS, weight_dtype=kind)["unet"] for kind in ("float16", dtype)
    )
    assert before - after == pytest.approx((4897 - mib - copy) * MIB, abs=1.5 * MIB)


def test_predict_loras_by_host():
    alone = predict(1024, 1024)
    beside = predict(1024, 1024, lora_gb=0.2)
    assert beside["unet"] - alone["unet"] == pytest.approx(0.2)
    patched = predict(1024, 1024, lora_gb=0.2, host=COMFYUI, vae_dtype="bfloat16")
    assert patched["lora"] - WEIGHTS - CONTEXT == pytest.approx(3 * 50.04 * MIB, rel=0.01)
    assert "lora" not in predict(1024, 1024, host=COMFYUI)


def test_predict_cfg_split_equals_one_item():
    apart, single = (predict(1024, 1024, guided=cfg, cfg_split=cfg)["unet"] for cfg in (True, False))
    assert apart == single


@pytest.mark.parametrize(
    ("free", "images", "expected"),
    [
        (24, 1, (FULL, "float16", 0, 1)),
        (24, 4, (FULL, "float16", 0, 4)),
        (10, 1, (FULL, "float16", 768, 1)),
        (8, 1, (FULL, "float16", 256, 1)),
        (6, 1, (FULL, "float8", 512, 1)),
        (4, 1, (WHOLE_MODELS, "float8", 768, 1)),
        (3, 1, (STREAMED, "float16", 512, 1)),
        (1, 1, (STREAMED, "float16", 256, 1)),
    ],
)
def test_plan_is_fastest_that_fits(free, images, expected):
    plan = manager.plan(1024, 1024, images, resources=card(free))
    assert (plan.strategy, plan.weight_dtype, plan.tile_size, plan.batch_size) == expected
    assert plan.fits
    assert plan.predicted_peak_gb <= plan.needed_gb <= plan.budget_gb == free


@pytest.mark.parametrize(
    ("free", "expected"), [(24, (FULL, 0)), (8, (FULL, 256)), (7, (WHOLE_MODELS, 0)), (4, (STREAMED, 768))]
)
def test_plan_of_host_with_exact_weights(free, expected):
    plan = manager.plan(1024, 1024, resources=card(free), host=EXACT)
    assert (plan.strategy, plan.tile_size, plan.weight_dtype) == (*expected, "float16")
    assert manager.plan(1024, 1024, resources=card(free, dtypes=("float16",))).weight_dtype == "float16"


def test_plan_time_is_the_rates_of_the_request():
    rates = cuda_rates(1024, 1024, steps=30)

    def plan(**changed):
        made = replace(rates, **changed)
        return manager.plan(1024, 1024, steps=30, resources=card(24), rates=made), made

    for changed in ({}, {"forward_item": 1.0, "learned": True}, {"decoded_pixel": 1e-5}):
        found, made = plan(**changed)
        expected = made.run + 60 * made.forward_item + 1024**2 * made.decoded_pixel
        assert (found.seconds, found.speed_learned) == (pytest.approx(expected), made.learned)
        assert not any(reason.setting == "added time" for reason in found.reasons)
    untimed = manager.plan(1024, 1024, steps=30, resources=card(24))
    assert (untimed.seconds, untimed.next_smaller.seconds) == (None, None)


@pytest.mark.parametrize("host", [DIFFUSERS, COMFYUI])
def test_plan_of_equal_times_changes_the_picture_least(host):
    rates = replace(cuda_rates(1024, 1024, 4), **{name: 0.0 for name in ("forward_item", "decoded_pixel", "run")})
    plan = manager.plan(1024, 1024, 4, resources=card(24), rates=rates, host=host)
    assert (plan.tile_size, plan.batch_size, plan.cfg_split, plan.attention_slicing) == (0, 4, False, False)


def test_plan_reason_tells_added_time():
    for learned in (False, True):
        rates = replace(cuda_rates(1024, 1024), learned=learned)
        plan = manager.plan(1024, 1024, resources=card(3), rates=rates)
        (reason,) = (reason for reason in plan.reasons if reason.setting == "added time")
        assert reason.value > 5
        assert ("a cautious guess" in reason.evidence) is not learned


def test_plan_never_uses_default_tile():
    for free in (2, 4, 8, 9, 10, 11):
        assert manager.plan(1024, 1024, resources=card(free)).tile_size < 1024


@pytest.mark.parametrize("free", [0.95, 4.2, 7.35, 12])
def test_plan_neighbours_are_next_faster_and_smaller(free):
    rates = cuda_rates(1024, 1024, 4)
    plan = manager.plan(1024, 1024, 4, resources=card(free), rates=rates)
    if plan.next_faster:
        assert plan.next_faster.needed_gb > free
        assert plan.next_faster.seconds < plan.seconds
        assert rounding(plan.next_faster) <= rounding(plan)
        richer = manager.plan(1024, 1024, 4, resources=card(plan.next_faster.needed_gb), rates=rates)
        assert richer.seconds <= plan.next_faster.seconds or rounding(richer) < rounding(plan.next_faster)
    if plan.next_smaller:
        assert plan.next_smaller.needed_gb < plan.needed_gb
        assert plan.next_smaller.seconds >= plan.seconds or rounding(plan.next_smaller) > rounding(plan)
    assert plan.next_faster or plan.next_smaller


def test_manager_host_is_default():
    comfyui = MemoryManager(host=COMFYUI)
    assert comfyui.plan(1024, 1024, resources=card(6)) == manager.plan(1024, 1024, resources=card(6), host=COMFYUI)
    request, resources = MemoryRequest(), card(24)
    on_comfyui = manager.predict(replace(request, host=COMFYUI), resources=resources)
    assert comfyui.predict(request, resources=resources) == on_comfyui


def test_plan_slices_unfused_attention_last():
    enough, short = (manager.plan(1024, 1024, resources=card(free, attention="math"), host=EXACT) for free in (24, 3))
    assert not enough.attention_slicing
    assert short.attention_slicing
    assert not manager.plan(1024, 1024, resources=card(3), host=EXACT).attention_slicing


def test_plan_keeps_max_batch():
    assert manager.plan(1024, 1024, 4, resources=card(24), max_batch=1).batch_size == 1


@pytest.mark.parametrize(
    ("limit", "setting", "free", "budget"), [(None, None, 20, 20), (8, None, 20, 8), (8, 6, 20, 6), (30, 40, 20, 20)]
)
def test_budget_is_smallest_limit(limit, setting, free, budget):
    plan = manager.plan(
        1024, 1024, max_vram_gb=limit, settings=MemorySettings(max_vram_gb=setting), resources=card(free)
    )
    assert plan.budget_gb == budget


def test_budget_counts_existing_context():
    fresh, used = (manager.plan(1024, 1024, resources=card(20, context_gb=context)) for context in (None, 0.25))
    assert fresh.stages["unet"] - used.stages["unet"] == pytest.approx(CONTEXT - 0.25)
    assert (fresh.budget_gb, used.budget_gb) == (20, 20.25)


def test_plan_that_fits_nothing_names_largest_size():
    resources = card(1)
    plan = manager.plan(2048, 1536, 2, resources=resources)
    assert not plan.fits
    assert plan.strategy is STREAMED
    width, height = plan.largest_size
    assert f"{width}x{height} would fit" in plan.reasons[-1].evidence
    assert manager.plan(width, height, 2, resources=resources).fits
    assert not manager.plan(width + 128, height + 128, 2, resources=resources).fits
    hopeless = manager.plan(1024, 1024, settings=MemorySettings(FULL), resources=resources)
    assert hopeless.largest_size is None
    assert "no smaller size would fit; free memory, or let AUTO offload" in hopeless.reasons[-1].evidence


@pytest.mark.parametrize("strategy", [FULL, WHOLE_MODELS, STREAMED])
def test_plan_keeps_requested_strategy(strategy):
    settings_ = MemorySettings(strategy)
    assert manager.plan(1024, 1024, settings=settings_, resources=card(24)).strategy is strategy
    assert manager.plan(1024, 1024, settings=settings_, resources=card(1)).strategy is strategy


@pytest.mark.parametrize("tile", [0, 256, 768])
def test_plan_keeps_requested_tile(tile):
    assert manager.plan(1024, 1024, tile_size=tile, resources=card(9)).tile_size == tile


@pytest.mark.parametrize("device", ["cpu", "mps"])
@pytest.mark.parametrize("strategy", OffloadStrategy)
def test_plan_never_offloads_shared_memory(device, strategy):
    plan = manager.plan(1024, 1024, settings=MemorySettings(strategy), resources=card(64, device))
    assert (plan.strategy, plan.device, plan.weight_dtype) == (FULL, device, "float16")
    if strategy in (WHOLE_MODELS, STREAMED):
        assert any("no separate memory" in reason.evidence for reason in plan.reasons)


def test_budget_of_cpu_is_free_ram():
    plan = manager.plan(1024, 1024, max_vram_gb=0.5, resources=Resources("cpu", "Test", 32, 28, 32, 28))
    assert (plan.budget_gb, plan.fits) == (28, True)
    unknown = manager.plan(1024, 1024, resources=Resources("cpu", "Test", 0, 0, 0, 0))
    assert (unknown.budget_gb, unknown.fits) == (None, True)


def test_plan_uses_given_weights():
    tiny = {"text": 0.01, "unet": 0.02, "vae": 0.01}
    plan = manager.plan(1024, 1024, weights_gb=tiny, resources=card(8))
    assert (plan.strategy, plan.tile_size) == (FULL, 0)
    assert plan.stages["unet"] == pytest.approx(0.04 + CONTEXT + 326 * MIB, rel=0.001)


def test_plan_with_dynamic_vram_ignores_weights():
    plan = manager.plan(1024, 1024, resources=card(4, dynamic_vram=True), host=COMFYUI, vae_dtype="bfloat16")
    assert (plan.strategy, plan.tile_size, plan.fits) == (FULL, 0, True)
    assert "moves weights in and out by itself" in plan.reasons[1].evidence
    tight = manager.plan(1024, 1024, resources=card(2, dynamic_vram=True), host=COMFYUI, vae_dtype="bfloat16")
    assert tight.tile_size > 0


def test_plan_of_other_architecture_uses_host_figures():
    plan = manager.plan(
        1024,
        1024,
        architecture=Architecture.HIDREAM,
        host=COMFYUI,
        vae_dtype="bfloat16",
        resources=card(24),
        weights_gb={"text": 9.0, "unet": 11.0, "vae": 0.2},
        activation_gb={"unet": 0.5, "vae": 4.0},
        settings=MemorySettings(WHOLE_MODELS),
    )
    assert plan.stages["unet"] == pytest.approx(11.0 + 2 * 0.5 + CONTEXT)
    assert plan.stages["vae"] == pytest.approx(0.2 + 4.0 + CONTEXT)


def test_plan_of_a_transformer_takes_its_own_table():
    options = {"host": COMFYUI, "resources": card(32), "settings": MemorySettings(WHOLE_MODELS)}
    options |= {"architecture": Architecture.FLUX, "guided": False}
    bf16 = manager.plan(1024, 1024, weights_gb={"unet": 22.2}, **options)
    fp8 = manager.plan(1024, 1024, weights_gb={"unet": 11.1}, **options)
    assert bf16.stages["unet"] == pytest.approx(22.2 + CONTEXT + 468 * MIB, rel=0.001)
    assert bf16.stages["unet"] - fp8.stages["unet"] == pytest.approx(11.1)
    assert bf16.stages["text"] > 9.1  # T5 in half precision
    assert not [reason for reason in bf16.reasons if reason.setting == "model"]


def test_transformer_that_does_not_fit_is_refused_with_a_remedy():
    request = {"architecture": Architecture.FLUX2_DEV, "host": COMFYUI, "resources": card(8)}
    plan = manager.plan(1024, 1024, settings=MemorySettings(WHOLE_MODELS), **request)
    assert not plan.fits
    assert [reason.message for reason in plan.reasons if reason.setting == "fits"][-1] == "memory.offload_only"


def test_decoding_takes_more_with_miopen():
    nvidia, amd = (
        manager.plan(1024, 1024, host=COMFYUI, vae_dtype="bfloat16", resources=card(24, backend=backend))
        for backend in ("cuda", "rocm")
    )
    own = [plan.stages["vae"] - plan.resident["vae"] - plan.context_gb for plan in (nvidia, amd)]
    assert own[1] / own[0] == pytest.approx(3600 / 2200, rel=0.01)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"width": 0}, "width"),
        ({"height": 2.5}, "height"),
        ({"images": True}, "images"),
        ({"weights_gb": {"clip": 1.0}}, "clip"),
        ({"weights_gb": {"unet": -1.0}}, "unet"),
        ({"vae_dtype": "int8"}, "vae_dtype"),
        ({"steps": -3}, "steps"),
        ({"tile_size": -3}, "tile_size"),
        ({"tile_size": 32}, "tile_size must be 0 or at least 64 pixels, got 32"),
    ],
)
def test_request_refuses_wrong_input(values, text):
    with pytest.raises(InvalidInputError, match=text):
        manager.plan(**({"width": 1024, "height": 1024, "resources": card(8)} | values))


@pytest.mark.parametrize("values", [{"weight_dtype": "int2"}, {"weight_dtype": "nf4", "strategy": STREAMED}])
def test_predict_refuses_unknown_formats(values):
    with pytest.raises(InvalidInputError, match=next(iter(values))):
        predict(1024, 1024, **values)


hosts = st.sampled_from([DIFFUSERS, EXACT, COMFYUI])
sides = st.integers(8, 512).map(lambda n: n * 8)
jobs = st.fixed_dictionaries(
    {
        "width": sides,
        "height": sides,
        "images": st.integers(1, 32),
        "guided": st.booleans(),
        "architecture": st.sampled_from(Architecture),
        "settings": st.sampled_from(OffloadStrategy).map(MemorySettings),
        "host": hosts,
        "steps": st.integers(1, 50),
        "lora_gb": st.sampled_from([0.0, 0.4]),
        "speed": st.sampled_from([0.01, 1.0, 30.0]),
    }
)
machines = st.fixed_dictionaries(
    {"device": st.sampled_from(["cuda", "xpu", "mps", "cpu"]), "attention": st.sampled_from(["flash", "math"])}
)
libraries = st.sampled_from([(), ("float16",), DTYPES, INTEGERS])


@settings(max_examples=100, deadline=None)
@given(job=jobs, machine=machines, dtypes=libraries, free=st.floats(0.1, 100))
def test_plan_invariants(job, machine, dtypes, free):
    resources = Resources(machine["device"], "Test", free, free, free, free, dtypes=dtypes, attention="flash")
    job = timed(job)
    plan = manager.plan(**job, resources=resources)
    assert plan == manager.plan(**job, resources=resources)
    assert MemoryPlan.from_json(plan.to_json()) == plan
    assert plan.strategy is not OffloadStrategy.AUTO
    assert 1 <= plan.batch_size <= job["images"]
    assert plan.fits == (plan.needed_gb <= free)
    assert plan.predicted_peak_gb == max(plan.stages.values()) <= plan.needed_gb
    assert all(plan.stages[stage] <= plan.reserved_gb[stage] for stage in plan.stages)
    assert {"budget", "strategy"} <= {reason.setting for reason in plan.reasons}
    assert plan.fits or plan.reasons[-1].setting == "fits"
    if plan.largest_size is not None:
        width, height = plan.largest_size
        assert manager.plan(**job | {"width": width, "height": height}, resources=resources).fits


@settings(max_examples=100, deadline=None)
@given(job=jobs, machine=machines, dtypes=libraries, free=st.floats(0.1, 60), more=st.floats(0, 60))
def test_plan_with_more_memory_is_never_slower(job, machine, dtypes, free, more):
    """But for one that need not round as much any more."""
    job = timed(job)

    def plan(size):
        resources = Resources(machine["device"], "Test", size, size, size, size, dtypes=dtypes)
        return manager.plan(**job, resources=replace(resources, attention=machine["attention"]))

    less, richer = plan(free), plan(free + more)
    assert richer.fits >= less.fits
    if less.fits and rounding(richer) >= rounding(less):
        assert richer.seconds <= less.seconds


@settings(max_examples=100, deadline=None)
@given(
    job=jobs,
    machine=machines,
    dtypes=libraries,
    free=st.floats(0.1, 60),
    grown=st.sampled_from([{"width": 64}, {"height": 640}, {"width": 8, "height": 8}, {"images": 1}, {"steps": 5}]),
)
def test_plan_of_larger_job_never_takes_less(job, machine, dtypes, free, grown):
    resources = Resources(machine["device"], "Test", free, free, free, free, dtypes=dtypes)
    resources = replace(resources, attention=machine["attention"])
    larger = {**job, **{name: job[name] + step for name, step in grown.items()}}
    small, large = (manager.plan(**timed(dict(each)), resources=resources) for each in (job, larger))
    assert small.fits >= large.fits
    if large.fits and rounding(small) >= rounding(large):
        assert small.seconds <= large.seconds * (1 + 1e-9)
    alike = {"strategy": FULL, "guided": job["guided"], "architecture": job["architecture"], "tile_size": 512}
    first, second = (predict(this["width"], this["height"], this["images"], **alike) for this in (job, larger))
    assert all(first[stage] <= second[stage] for stage in first)


def test_detect_resources_of_this_machine():
    resources = MemoryManager().detect_resources()
    assert resources.device in ("cuda", "xpu", "mps", "cpu")
    assert 0 < resources.free_gb <= resources.total_gb
    assert 0 < resources.ram_free_gb <= resources.ram_total_gb
    assert "float16" in resources.dtypes


def test_track_usage_nests_and_keeps_last_peak():
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
