"""What there is to compute, against counts made on the modules."""

import pytest

from intelligence.models import Architecture
from intelligence.parameters import Improvements
from intelligence.parameters.schedules import core_sigmas
from intelligence.parameters.workload import COSTS, cost_of, forward_items, forward_tflop


@pytest.mark.parametrize(
    ("side", "architecture", "tflop"),
    [
        (256, Architecture.SDXL, 0.4278),
        (512, Architecture.SDXL, 1.5888),
        (1024, Architecture.SDXL, 6.7612),
        (1536, Architecture.SDXL, 17.261),
        (512, Architecture.SD1, 0.8033),
        (768, Architecture.SD1, 2.1481),
        (1024, Architecture.SD2, 4.6750),
        (256, Architecture.DEMO, 0.0034557),
        (1536, Architecture.DEMO, 0.264644),
    ],
)
def test_forward_tflop(side, architecture, tflop):
    assert forward_tflop(side, side, COSTS[architecture]) == pytest.approx(tflop, rel=1e-3)


@pytest.mark.parametrize(
    ("key", "model"),
    [
        ("", Architecture.SDXL),
        ("cpu", Architecture.SDXL),
        ("cuda:sdxl:4.8", Architecture.SDXL),
        ("cuda:unknown:4.8", Architecture.SDXL),
        ("cpu:sd1:1.6", Architecture.SD1),
        ("cpu:demo", Architecture.DEMO),
        ("cpu:demo:0.1", Architecture.DEMO),
    ],
)
def test_cost_of_key(key, model):
    assert cost_of(key) == COSTS[model]


@pytest.mark.parametrize(
    ("sampler", "scheduler", "steps", "cfg", "schedule", "cutoff", "items"),
    [
        ("dpmpp_2m", "karras", 30, 7.0, None, 0.0, 60),
        ("dpmpp_2m", "karras", 20, 7.0, None, 0.28, 34),
        ("dpmpp_2m", "karras", 10, 7.0, "ays", 0.28, 18),
        ("euler", "normal", 20, 7.0, None, 0.28, 38),
        ("euler", "beta", 20, 7.0, None, 0.28, 38),
        ("euler", "sgm_uniform", 20, 7.0, None, 0.28, 39),
        ("euler", "ddim_uniform", 30, 7.0, None, 0.28, 57),
        ("uni_pc_bh2", "karras", 5, 7.0, None, 0.28, 9),
        ("heun", "karras", 20, 7.0, None, 0.28, 66),
        ("heun", "karras", 20, 7.0, None, 0.0, 78),
        ("euler_cfg_pp", "karras", 20, 7.0, None, 0.28, 40),
        ("euler", "karras", 4, 1.0, None, 0.28, 4),
    ],
)
def test_forward_items(sampler, scheduler, steps, cfg, schedule, cutoff, items):
    assert forward_items(sampler, scheduler, steps, cfg, schedule, Improvements(cutoff)) == items


def test_forward_items_of_guidance_interval():
    late = forward_items("dpmpp_2m", "karras", 20, 7.0, None, Improvements(0.28))
    assert forward_items("dpmpp_2m", "karras", 20, 7.0, None, Improvements(0.28, 5.42)) == 29 < late


COMFYUI = [
    ("normal", 5, (14.6146, 4.0861, 1.6156, 0.6951, 0.0292)),
    ("simple", 5, (14.6146, 5.0878, 2.2765, 1.1606, 0.5693)),
    ("sgm_uniform", 5, (14.6146, 5.0924, 2.2797, 1.1629, 0.5712)),
    ("ddim_uniform", 5, (5.1344, 2.2929, 1.1682, 0.5741, 0.0413)),
    ("karras", 5, (14.6146, 4.7965, 1.2741, 0.2479, 0.0292)),
    ("exponential", 5, (14.6146, 3.089, 0.6529, 0.138, 0.0292)),
    ("kl_optimal", 5, (14.6146, 2.1427, 0.9616, 0.4198, 0.0292)),
    ("beta", 5, (14.6146, 7.3718, 2.6152, 1.0273, 0.3955)),
    ("linear_quadratic", 5, (14.6146, 14.432, 14.2493, 12.5442, 7.7945)),
]
"""`comfy.samplers.calculate_sigmas` of ComfyUI 0.33 on SDXL's noise levels."""


@pytest.mark.parametrize(("scheduler", "steps", "sigmas"), COMFYUI)
def test_step_sigmas_match_comfyui(scheduler, steps, sigmas):
    assert core_sigmas(scheduler, steps) == pytest.approx(sigmas, rel=2e-3)
