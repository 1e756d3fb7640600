"""Broken latents and a VAE that overflows, on diffusers: repaired, reported, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intelligence.config import OffloadStrategy
from intelligence.errors import BrokenImageError
from intelligence.generation.diffusers_host import DiffusersHost
from intelligence.generation.diffusers_host.denoising import predict_clean
from intelligence.generation.diffusers_host.vae import decode
from intelligence.generation.embedded import ensure_embedded
from intelligence.generation.stages import GenerationPlan, Recommendations
from intelligence.memory import MemoryPlan
from intelligence.parameters import OptimizedParameters
from intelligence.prompt import PromptAnalysis


@pytest.fixture
def host(embedded_home: Path) -> DiffusersHost:
    """A host of its own: its weights are changed."""
    ensure_embedded()
    host = DiffusersHost("embedded")
    host.execute(plan(), [1])
    return host


@pytest.fixture
def vae(host: DiffusersHost) -> Any:
    return host._pipe.vae


def plan(strategy: OffloadStrategy = OffloadStrategy.FULL_GPU, **memory: Any) -> GenerationPlan:
    parameters = OptimizedParameters(
        num_steps=2, guidance_scale=5.0, width=64, height=64, sampler_name="euler", scheduler="normal"
    )
    recommendations = Recommendations(PromptAnalysis("a cat"), [], parameters, prompt="a cat")
    return GenerationPlan(recommendations, MemoryPlan(strategy, "cpu", **memory))


def latents(count: int) -> Any:
    import torch

    return torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(3))


def overflowing(vae: Any) -> None:
    """Makes the activations before the decoder's last norm too large for float16; the norm takes the factor back, so
    that the picture stays the same in a type that holds them. SDXL's own VAE is like that."""
    factor = 2.0**17
    vae.decoder.up_blocks[-1].resnets[-1].output_scale_factor /= factor
    vae.decoder.conv_norm_out.eps *= factor**2


def pixels(image: Any) -> np.ndarray:
    return np.asarray(image).astype(np.int16)


def test_decode_good_image_without_note(host: DiffusersHost) -> None:
    images, notes = decode(host._pipe, [latents(2), latents(1)])
    assert len(images) == 3 and notes == ()
    assert images[0].tobytes() == images[2].tobytes()


@pytest.mark.parametrize("strategy", list(OffloadStrategy)[1:])
def test_decode_repeats_overflow_in_float32(host: DiffusersHost, vae: Any, strategy: OffloadStrategy) -> None:
    import torch

    whole, _ = decode(host._pipe, [latents(2)])
    host.execute(plan(strategy), [1])
    vae.register_to_config(force_upcast=False)
    vae.to(dtype=torch.float16)
    fine, notes = decode(host._pipe, [latents(2)])
    assert notes == ()
    overflowing(vae)
    images, notes = decode(host._pipe, [latents(2)])
    assert notes == ("images 1, 2: the VAE overflowed in float16; decoded again in float32",)
    assert vae.dtype == torch.float16
    for image, reference, half in zip(images, whole, fine, strict=True):
        assert pixels(image).std() > 5
        assert np.abs(pixels(image) - pixels(reference)).mean() < 2
        assert np.abs(pixels(half) - pixels(reference)).mean() < 2
    execution = host.execute(plan(strategy), [1])
    assert execution.notes == ("image 1: the VAE overflowed in float16; decoded again in float32",)


def test_decode_obeys_force_upcast(host: DiffusersHost, vae: Any) -> None:
    import torch

    assert vae.config.force_upcast
    vae.to(dtype=torch.float16)
    overflowing(vae)
    images, notes = decode(host._pipe, [latents(1)])
    assert notes == () and pixels(images[0]).std() > 5
    assert vae.dtype == torch.float16


def test_decode_repeats_broken_images_only(host: DiffusersHost, vae: Any) -> None:
    import torch

    vae.register_to_config(force_upcast=False)
    vae.to(dtype=torch.bfloat16)
    rows: list[tuple[Any, int]] = []

    def breaks(_layer: Any, args: tuple[Any, ...], output: Any) -> Any:
        rows.append((output.dtype, output.shape[0]))
        return output * torch.inf if len(rows) == 2 else None

    hook = vae.decoder.conv_out.register_forward_hook(breaks)
    images, notes = decode(host._pipe, [latents(3)])
    hook.remove()
    assert notes == ("image 2: the VAE overflowed in bfloat16; decoded again in float32",)
    assert rows == [(torch.bfloat16, 1)] * 3 + [(torch.float32, 1)]
    assert all(pixels(image).std() > 5 for image in images)


def test_decode_latents_not_a_number(host: DiffusersHost) -> None:
    import torch

    broken = latents(3)
    broken[0, 2, 1, 1] = torch.nan
    broken[2] = torch.inf
    images, notes = decode(host._pipe, [broken])
    assert notes == ("images 1, 3: sampling gave not-a-number; not a picture",)
    assert [bool(pixels(image).any()) for image in images] == [False, True, False]
    assert images[1].tobytes() == decode(host._pipe, [latents(3)])[0][1].tobytes()
    with pytest.raises(BrokenImageError, match="LoRAs"):
        decode(host._pipe, [broken[:1], broken[2:]])


def test_decode_notes_flat_images(host: DiffusersHost, vae: Any) -> None:
    import torch

    flat = latents(2)
    flat[1] = torch.tensor([0.5, -1.0, 0.0, 2.0]).view(4, 1, 1)
    assert decode(host._pipe, [flat])[1] == ("image 2: the latent is flat; nothing was painted",)
    with torch.no_grad():
        vae.decoder.conv_out.weight.zero_()
        vae.decoder.conv_out.bias.fill_(-3.0)
    assert decode(host._pipe, [flat])[1] == (
        "image 2: the latent is flat; nothing was painted",
        "image 1: of one colour only",
    )


def test_decode_with_broken_vae(host: DiffusersHost, vae: Any) -> None:
    import torch

    def breaks(rows: int) -> Any:
        calls = iter(range(100))
        return lambda _layer, _args, output: output * torch.nan if next(calls) < rows else None

    hook = vae.decoder.conv_out.register_forward_hook(breaks(1))
    images, notes = decode(host._pipe, [latents(2)])
    hook.remove()
    assert notes == ("image 1: the VAE gives not-a-number even in float32; not a picture",)
    assert not pixels(images[0]).any() and pixels(images[1]).any()
    hook = vae.decoder.conv_out.register_forward_hook(breaks(100))
    with pytest.raises(BrokenImageError, match="VAE"):
        host.execute(plan(), [1, 2])
    with pytest.raises(BrokenImageError, match="VAE"):
        host.scout(plan(), [1, 2])
    hook.remove()
    assert host.execute(plan(), [1]).notes == ()


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"prediction_type": "v_prediction"},
        {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
        {"prediction_type": "sample"},
    ],
    ids=["epsilon", "v-prediction", "zero terminal SNR", "sample"],
)
def test_predict_clean_agrees_with_diffusers(standalone: None, config: dict[str, Any]) -> None:
    import torch
    from diffusers import EulerDiscreteScheduler

    from intelligence.generation.diffusers_host.denoising import sigma_at

    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="linspace", **config
    )
    scheduler.set_timesteps(7)
    for timestep in scheduler.timesteps:
        noisy, output = latents(2).split(1)
        seen = scheduler.scale_model_input(noisy, timestep)
        promised = predict_clean(scheduler.config.prediction_type, sigma_at(scheduler, timestep), seen, output)
        theirs = scheduler.step(output, timestep, noisy).pred_original_sample
        torch.testing.assert_close(promised, theirs, rtol=2e-3, atol=2e-3)
