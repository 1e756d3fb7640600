"""Samplers and schedulers mean on diffusers what they mean in ComfyUI, or say in what they differ."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import intelligence.generation.diffusers_host as package
from intelligence.errors import InvalidInputError
from intelligence.generation.diffusers_host.denoising import sigma_at
from intelligence.generation.diffusers_host.scheduling import make_scheduler
from intelligence.parameters import OptimizedParameters
from intelligence.parameters.samplers import SAMPLER_NAMES, SAMPLERS, SigmaInput, find_sampler
from intelligence.parameters.schedules import SCHEDULER_NAMES, core_sigmas, schedule_sigmas, usual_sigmas

pytestmark = pytest.mark.usefixtures("standalone")

SDXL = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
KARRAS_BY_ITS_AUTHOR = {**SDXL, "use_karras_sigmas": True, "algorithm_type": "sde-dpmsolver++", "solver_order": 3}
ZSNR = {**SDXL, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
SPREAD = 0.6
"""Standard deviation of the pictures that the model of these tests knows: D(x, σ) = x · s² / (s² + σ²)."""


def made(sampler: str, scheduler: str, steps: int, config: dict[str, Any] = SDXL, **settings: Any) -> Any:
    parameters = OptimizedParameters(
        num_steps=steps,
        guidance_scale=5.0,
        width=64,
        height=64,
        sampler_name=sampler,
        scheduler=scheduler,
        **settings,
    )
    found, _ = make_scheduler(config, parameters)
    found.set_timesteps(steps, device="cpu")
    return found


def core(sampler: str, scheduler: str, steps: int) -> tuple[float, ...]:
    more = find_sampler(sampler).drops_penultimate
    return core_sigmas(scheduler, steps + more)[: -1 if more else None]


def in_training(sigma: float) -> float:
    """The nearest of the training steps' sigmas."""
    return min(usual_sigmas(), key=lambda trained: abs(math.log(trained / sigma)))


@pytest.mark.parametrize("row", SAMPLERS, ids=lambda row: row.name)
def test_make_scheduler_steps_through_sigmas_of_comfyui(row: Any) -> None:
    for scheduler in SCHEDULER_NAMES:
        for config in (SDXL, KARRAS_BY_ITS_AUTHOR):
            found = made(row.name, scheduler, 12, config)
            wanted = core(row.name, scheduler, 12)
            if row.diffusers.sigmas is SigmaInput.TRAINING_STEPS:
                stepped = [sigma_at(found, timestep) for timestep in found.timesteps]
                # Where a level lies half way between two steps either may be taken.
                assert stepped == pytest.approx(list(dict.fromkeys(map(in_training, wanted))), rel=6e-3)
                continue
            stepped = found.sigmas.tolist()
            if row.diffusers.sigmas is SigmaInput.OUTER_STEPS:
                stepped = list(dict.fromkeys(stepped))
            end = usual_sigmas()[0] if row.diffusers.sigmas is SigmaInput.ABOVE_ZERO else 0.0
            assert stepped == pytest.approx((*wanted, end), rel=1e-3)


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_make_scheduler_samples_a_picture(sampler: str) -> None:
    import torch

    for config in (SDXL, ZSNR):
        for scheduler in SCHEDULER_NAMES:
            for steps in (1, 8, 21):
                found = made(sampler, scheduler, steps, config)
                assert torch.isfinite(sampled(found)).all(), (scheduler, steps, config)
        ays = made(sampler, "karras", 10, config, sigmas=schedule_sigmas("ays", 10))
        assert torch.isfinite(sampled(ays)).all()


def sampled(scheduler: Any, seed: int = 1) -> Any:
    """Where the scheduler comes to with the model of these tests, from noise."""
    import torch

    noisy = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)) * float(scheduler.init_noise_sigma)
    options = {}
    if "generator" in inspect.signature(scheduler.step).parameters:
        options["generator"] = torch.Generator().manual_seed(seed)
    for timestep in scheduler.timesteps:
        seen = scheduler.scale_model_input(noisy, timestep)
        sigma = sigma_at(scheduler, timestep)
        signal = 1 / math.sqrt(1 + sigma**2)
        noise = math.sqrt(1 - signal**2)
        clean = seen * signal * SPREAD**2 / (signal**2 * SPREAD**2 + noise**2)
        output = (seen - signal * clean) / noise
        if scheduler.config.prediction_type == "v_prediction":
            output = signal * output - noise * clean
        noisy = scheduler.step(output, timestep, noisy, **options).prev_sample
    return noisy


def denoised(x: Any, sigma: float) -> Any:
    return x * SPREAD**2 / (SPREAD**2 + sigma**2)


def slope(x: Any, sigma: float) -> Any:
    return (x - denoised(x, sigma)) / sigma


def euler(x: Any, sigmas: tuple[float, ...]) -> Any:
    for sigma, then in pairwise(sigmas):
        x = x + slope(x, sigma) * (then - sigma)
    return x


def euler_ancestral(x: Any, sigmas: tuple[float, ...]) -> Any:
    import torch

    generator = torch.Generator().manual_seed(1)
    for sigma, then in pairwise(sigmas):
        up = math.sqrt(then**2 * (sigma**2 - then**2) / sigma**2)
        down = math.sqrt(then**2 - up**2)
        x = x + slope(x, sigma) * (down - sigma) + up * torch.randn(x.shape, generator=generator)
    return x


def heun(x: Any, sigmas: tuple[float, ...]) -> Any:
    for sigma, then in pairwise(sigmas):
        first = slope(x, sigma)
        tried = x + first * (then - sigma)
        x = tried if then == 0 else x + (first + slope(tried, then)) / 2 * (then - sigma)
    return x


def dpm_2(x: Any, sigmas: tuple[float, ...]) -> Any:
    for sigma, then in pairwise(sigmas):
        first = slope(x, sigma)
        if then == 0:
            return x + first * (then - sigma)
        middle = math.sqrt(sigma * then)
        x = x + slope(x + first * (middle - sigma), middle) * (then - sigma)
    return x


def dpmpp_2m(x: Any, sigmas: tuple[float, ...]) -> Any:
    before, gone = None, 0.0
    for sigma, then in pairwise(sigmas):
        clean = denoised(x, sigma)
        if then == 0:
            return clean
        span = math.log(sigma / then)
        mixed = clean if before is None else clean + (clean - before) * span / gone / 2
        x = then / sigma * x - math.expm1(-span) * mixed
        before, gone = clean, span
    return x


@pytest.mark.parametrize("scheduler", ["normal", "karras", "beta", "sgm_uniform", "linear_quadratic"])
@pytest.mark.parametrize("method", [euler, euler_ancestral, heun, dpm_2, dpmpp_2m], ids=lambda method: method.__name__)
def test_make_scheduler_agrees_with_method_of_comfyui(method: Callable[..., Any], scheduler: str) -> None:
    """The methods as k-diffusion has them (Karras et al. 2022, algorithm 2; Lu et al. 2022), in their own terms."""
    import torch

    name = method.__name__
    sigmas = (*core(name, scheduler, 10), 0.0)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    wanted = method(noise * math.sqrt(1 + sigmas[0] ** 2), sigmas)
    found = sampled(made(name, scheduler, 10))
    assert (found - wanted).abs().max() < 0.01 * SPREAD


def test_make_scheduler_refuses_unknown_names() -> None:
    for sampler, scheduler in (("eular", "normal"), ("euler", "karas")):
        with pytest.raises(InvalidInputError, match=r"euler|karras"):
            made(sampler, scheduler, 4)


def test_readme_lists_all_differences() -> None:
    text = (Path(package.__file__).parent / "README.md").read_text(encoding="utf-8")
    listed = [line for line in text.splitlines() if line.startswith("| `")]
    assert listed == [f"| `{row.name}` | {row.differs} |" for row in SAMPLERS if row.differs]
