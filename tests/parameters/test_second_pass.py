"""Sizes beyond a model: when a second pass is planned, with which sizes, steps and work."""

from __future__ import annotations

from dataclasses import replace

import pytest

from intelligence.config import GenerationConstraints, Priority, SecondPassUse
from intelligence.errors import InvalidInputError
from intelligence.learning import Timing
from intelligence.memory import COMFYUI, DIFFUSERS, MemoryManager, MemoryRequest, Resources
from intelligence.models import Architecture, Family, ModelEvidence
from intelligence.parameters import OptimizedParameters, ParameterOptimizer, ParameterRequest
from intelligence.parameters.parameters import SecondPass
from intelligence.parameters.resolution import NATIVE_SIDES, buckets, first_size, is_beyond
from intelligence.parameters.second_pass import SETTING, joined, second_run, second_sigmas, with_second_pass
from intelligence.parameters.speed import learn
from intelligence.parameters.workload import Work, forward_tflop
from intelligence.prompt import PromptAnalyzer
from intelligence.records import Source

GPU = Resources("cuda", "card", 24.0, 23.0, 32.0, 30.0, context_gb=0.3, dtypes=("float16",), attention="flash")
SDXL = ModelEvidence("sdxl.safetensors", architecture=Architecture.SDXL, family=Family.SDXL)
ANALYSIS = PromptAnalyzer().analyze("a lighthouse on a cliff")


def choose(priority: Priority = Priority.BALANCED, manual: bool = False, **overrides: object) -> OptimizedParameters:
    limits = GenerationConstraints(max_vram_gb=6.0, priority=priority)
    request = ParameterRequest(ANALYSIS, limits, SDXL, overrides=overrides, resources=GPU, manual=manual)
    return ParameterOptimizer().choose(request)


@pytest.mark.parametrize("native", [name for name in NATIVE_SIDES if name != "qwen"])
def test_no_trained_size_is_beyond(native: str) -> None:
    assert not any(is_beyond(*size, native) for size in buckets(native))


@pytest.mark.parametrize(
    ("size", "native", "family", "beyond"),
    [
        ((2048, 2048), "sdxl", Family.SDXL, True),
        ((1280, 1280), "sdxl", Family.SDXL, False),
        ((1920, 1080), "sdxl", Family.SDXL, True),
        ((1024, 1024), "512", Family.SD15, True),
        ((512, 768), "512", Family.SD15, False),
        ((1440, 1440), "1024", Family.SD3, False),
        ((1600, 1600), "1024", Family.SD3, True),
        ((1920, 1080), "1024", Family.FLUX_DEV, False),
        ((2560, 1440), "1024", Family.FLUX_DEV, False),
        ((2560, 2048), "1024", Family.FLUX_DEV, True),
        ((160, 96), "demo", Family.DEMO, False),
        ((384, 512), "demo", Family.DEMO, True),
        ((576, 64), "demo", Family.DEMO, False),  # no smaller picture of that aspect is 64 high
    ],
)
def test_is_beyond(size: tuple[int, int], native: str, family: Family, beyond: bool) -> None:
    assert is_beyond(*size, native, family) is beyond


@pytest.mark.parametrize(
    ("size", "native", "first"),
    [
        ((2048, 2048), "sdxl", (1024, 1024)),
        ((1664, 2432), "sdxl", (832, 1216)),
        ((1920, 1080), "sdxl", (1312, 736)),
        ((4096, 1024), "sdxl", (2048, 512)),
        ((1024, 1536), "512", (384, 576)),
        ((384, 512), "demo", (96, 128)),
        ((576, 64), "demo", (576, 64)),
    ],
)
def test_first_size_has_the_aspect_and_the_native_area(size, native, first) -> None:
    assert first_size(*size, native) == first


def test_auto_plans_a_second_pass_where_the_size_needs_it() -> None:
    chosen = choose(width=2048, height=2048)
    assert chosen.second_pass is not None
    assert (chosen.width, chosen.second_pass.width, chosen.second_pass.height) == (2048, 1024, 1024)
    assert chosen.second_pass.steps == 10 == chosen.num_steps * chosen.second_pass.denoise
    (reason,) = [each for each in chosen.reasons if each.setting == SETTING]
    assert reason.source is Source.MODEL_FAMILY
    assert choose().second_pass is None
    assert choose(manual=True, width=2048, height=2048).second_pass is None


def test_on_enlarges_a_size_that_needs_none_and_off_is_told() -> None:
    plain, on = choose(), choose(second_pass="on")
    assert on.second_pass is not None
    assert (on.second_pass.width, on.second_pass.height) == (plain.width, plain.height)
    assert (on.width, on.height) == (plain.width * 3 // 2, plain.height * 3 // 2)
    off = choose(width=2048, height=2048, second_pass="off")
    assert off.second_pass is None
    assert [each.value for each in off.reasons if each.setting == SETTING] == [False]
    with pytest.raises(InvalidInputError, match="second_pass must be one of auto, on, off"):
        choose(second_pass="yes")


def test_quality_offers_a_second_pass() -> None:
    told = [each for each in choose(Priority.QUALITY).reasons if each.setting == SETTING]
    assert [each.value for each in told] == [False]


def test_work_of_both_passes_is_predicted() -> None:
    chosen = choose(width=2048, height=2048, guidance_scale=6.0, cfg_cutoff_sigma=0.0)
    assert chosen.forward_items == 2 * (20 + 10)
    assert chosen.second_pass is not None
    assert chosen.second_pass.forward_items == 20
    native = choose(width=1024, height=1024, guidance_scale=6.0, cfg_cutoff_sigma=0.0)
    assert native.estimated_time_seconds < chosen.second_pass.estimated_seconds < chosen.estimated_time_seconds


def test_a_time_limit_holds_both_passes() -> None:
    limits = GenerationConstraints(max_time_seconds=60)
    size = {"width": 2048, "height": 2048}
    request = ParameterRequest(ANALYSIS, limits, SDXL, overrides=size, resources=GPU)
    chosen = ParameterOptimizer().choose(request)
    assert chosen.second_pass is not None
    assert chosen.num_steps < 20
    assert chosen.second_pass.steps == -(-chosen.num_steps // 2)
    assert chosen.estimated_time_seconds <= 60


@pytest.mark.parametrize("host", [COMFYUI, DIFFUSERS])
@pytest.mark.parametrize("dynamic", [False, True])
def test_2048_of_sdxl_fits_into_6_gb(host, dynamic: bool) -> None:
    parameters = choose(width=2048, height=2048)
    request = ParameterOptimizer().memory_request(MemoryRequest(host=host), parameters)
    plan = MemoryManager().plan(request, resources=replace(GPU, dynamic_vram=dynamic))
    assert plan.fits
    assert plan.needed_gb <= 6.0
    assert plan.tile_size > 0
    assert request.steps == 30


def test_times_of_two_passes_are_learned_from_their_own_runs() -> None:
    def truth(side: int, items: int, images: int) -> float:
        work = forward_tflop(side, side, learn((), "cuda:sdxl").cost)
        return 0.3 + items * work / 40 + images * (side / 1024) ** 2 * 0.25

    timings = []
    for side, items, images in ((1024, 40, 0), (2048, 20, 1), (1024, 40, 1), (1024, 40, 0), (2048, 20, 1)):
        seconds = truth(side, items, images)
        each = forward_tflop(side, side, learn((), "cuda:sdxl").cost) / 40
        timings.append(Timing(side, side, images, items, items // 2, each, seconds))
    found = learn(timings, "cuda:sdxl").estimate(Work(2048, 2048, 20, 10, 1, Work(1024, 1024, 40, 20, 0)))
    took = truth(1024, 40, 0) + truth(2048, 20, 1) - 0.3
    assert found.seconds == pytest.approx(took, rel=0.08)


@pytest.mark.parametrize("upscaler", ["latent", "4x.pth"])
def test_second_sigmas_are_the_end_of_a_longer_schedule(upscaler: str) -> None:
    parameters = OptimizedParameters(20, 6.0, 2048, 2048, "euler", "normal")
    made = with_second_pass(replace(parameters, family=Family.SDXL), SecondPassUse.ON, upscaler)
    assert made.second_pass is not None
    sigmas = second_sigmas(second_run(made), made.second_pass.denoise)
    assert len(sigmas) == made.second_pass.steps + 1
    assert sigmas[-1] == 0
    assert sigmas[0] < 14


def test_with_second_pass_enlarges_a_start_of_the_planned_aspect() -> None:
    parameters = choose(width=2048, height=2048)
    made = with_second_pass(parameters, SecondPassUse.AUTO, "auto", (1, 1152, 1152))
    assert made.second_pass is not None
    assert (made.second_pass.width, made.width) == (1152, 2048)
    assert with_second_pass(parameters, SecondPassUse.AUTO, "auto", (1, 1152, 768)).second_pass is None
    own = with_second_pass(parameters, SecondPassUse.ON, "auto", (1, 1152, 768))
    assert (own.width, own.height) == (1728, 1152)


def test_joined_settings_repeat_passes_that_were_changed() -> None:
    second = SecondPass(1024, 1024, steps=10, denoise=0.4)
    parameters = OptimizedParameters(20, 6.0, 2048, 2048, "euler", "normal", second_pass=second)
    sigmas = tuple(float(value) for value in range(20, -1, -1))
    ran = replace(second_run(parameters), num_steps=20, sigmas=sigmas)
    made = joined(parameters, None, ran)
    assert made.second_pass is not None
    assert made.second_pass.steps == 8
    assert second_sigmas(second_run(made), 0.4) == sigmas[-9:]
    assert made.num_steps == 20
