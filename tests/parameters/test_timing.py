"""The time model against the published figures it comes from."""

import pytest

from intelligence.config import EMBEDDED_MODEL
from intelligence.parameters import OptimizedParameters, step_tflop, throughput_key
from intelligence.parameters.timing import PRIOR_TFLOPS, Work, estimate, forward_items, forward_tflop
from intelligence.registry import Architecture, Family, ModelEvidence


@pytest.mark.parametrize(
    ("side", "architecture", "tflop"),
    [
        (1024, Architecture.SDXL, 5.98),
        (1024, Architecture.UNKNOWN, 5.98),
        (512, Architecture.SD1, 0.803),
        (768, Architecture.SD1, 2.148),
        (1024, Architecture.SD2, 4.675),
    ],
)
def test_forward(side, architecture, tflop):
    assert forward_tflop(side, side, architecture) == pytest.approx(tflop, rel=0.01)


@pytest.mark.parametrize(
    ("steps", "sampler", "cfg", "images", "items"),
    [
        (30, "dpmpp_2m", 7.0, 1, 60),
        (4, "euler", 1.0, 1, 4),
        (20, "heun", 7.0, 1, 78),
        (20, "euler", 7.0, 4, 160),
    ],
)
def test_items(steps, sampler, cfg, images, items):
    assert forward_items(Work(1024, 1024, steps, sampler, cfg, images)) == items


def test_an_a100_needs_what_was_published():
    took = estimate(Work(1024, 1024, 30, "dpmpp_2m", 7.0), "cuda", throughput=108)
    assert took.seconds - 1.0 == pytest.approx(3.31, rel=0.1)
    assert took.learned


@pytest.mark.parametrize("key", ["cuda", "mps", "cpu", "cpu:embedded", "cuda:embedded", "xpu"])
def test_without_learning_there_is_a_cautious_estimate(key):
    took = estimate(Work(1024, 1024, 20, "euler", 7.0), key)
    assert not took.learned
    assert took.seconds == pytest.approx(
        1 + (40 * 5.98 + 10.3) / PRIOR_TFLOPS.get(key, PRIOR_TFLOPS.get(key.split(":")[0], PRIOR_TFLOPS["cpu"]))
    )


@pytest.mark.parametrize(
    ("sampler", "cfg", "batch", "items"), [("euler", 7, 1, 2), ("euler", 1, 3, 3), ("heun", 7, 1, 3.9)]
)
def test_what_a_step_computes(sampler, cfg, batch, items):
    parameters = OptimizedParameters(20, cfg, 1024, 1024, sampler, "normal")
    assert step_tflop(parameters, batch) == pytest.approx(items * 5.98)


def test_a_step_of_sd15_is_cheaper():
    parameters = OptimizedParameters(20, 7.0, 512, 512, "euler", "normal", family=Family.SD15)
    assert step_tflop(parameters) == pytest.approx(2 * 0.803, rel=0.01)


def test_the_embedded_model_is_learned_apart():
    assert throughput_key("cpu") == throughput_key("cpu", ModelEvidence(name="x.safetensors")) == "cpu"
    assert throughput_key("cpu", ModelEvidence(name=EMBEDDED_MODEL)) == "cpu:embedded"
