"""Training of the demo model: runs that go on where they were cut off, and what is computed by hand."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from . import effects, pictures  # noqa: E402
from .pictures import WANTED, Concept, choose  # noqa: E402
from .runs import Run  # noqa: E402


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEMO_TRAINING", str(tmp_path))
    return tmp_path


class CutOff(Exception):
    """The machine went away."""


def trained(name: str, cut_off_at: int = 100) -> Run:
    """A run of a small layer over 12 steps, cut off right after a save at one of them."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(4, 4)
    run = Run(name, {"layer": layer}, rate=0.1)

    def loss_of(generator: torch.Generator, progress: float) -> torch.Tensor:
        if run.step == cut_off_at:
            run.save()
            raise CutOff
        return (layer(torch.randn(8, 4, generator=generator)) * (1 + progress)).square().mean()

    run.train(argparse.Namespace(steps=12, run=60), loss_of, lambda: None)
    return run


def test_run_goes_on_where_it_was_cut_off() -> None:
    whole = trained("whole")
    with pytest.raises(CutOff):
        trained("parts", cut_off_at=5)
    parts = trained("parts")
    assert whole.step == parts.step == 12
    for name, value in whole.parameters.items():
        assert torch.equal(value, parts.parameters[name])
        assert torch.equal(whole.average.values[name], parts.average.values[name])


def test_pixel_art_is_constant_in_blocks_of_a_latent() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    blocks = effects.pixel_art(picture).reshape(16, 8, 16, 8, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()


@pytest.mark.parametrize("name", effects.EFFECTS)
def test_effects_keep_size_and_change_the_picture(name: str) -> None:
    picture = np.full((128, 128, 3), 255, np.uint8)
    picture[32:96, 32:96] = (200, 30, 30)
    made = effects.EFFECTS[name](picture)
    assert made.shape == picture.shape
    assert made.dtype == np.uint8
    assert np.abs(made.astype(int) - picture).mean() > 1


def test_colourful_of_minus_one_is_grey() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    grey = effects.colourful(picture, -1)
    assert (grey.max(axis=2) - grey.min(axis=2)).max() <= 1
    assert (effects.colourful(picture, 0) == picture).mean() > 0.99


def test_choose_takes_what_is_wanted_and_no_near_duplicate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "CONCEPTS", len(WANTED) + 2)
    names = [*WANTED, "twin of the first", "other", "another", "red circle"]
    concepts = [Concept(name, str(number), 3, ()) for number, name in enumerate(names)]
    thumbnails = np.arange(len(names), dtype=float)[:, None] * np.ones(4)
    thumbnails[names.index("twin of the first")] = thumbnails[0]
    chosen = [names[index] for index in choose(concepts, thumbnails)]
    assert chosen[: len(WANTED)] == list(WANTED)
    assert set(chosen[len(WANTED) :]) == {"other", "another"}


def test_untrained_unet_hands_its_input_on() -> None:
    if importlib.util.find_spec("diffusers") is None:
        pytest.skip("needs diffusers")
    from . import networks, train_unet

    torch.manual_seed(0)
    unet = networks.unet()
    train_unet.pass_noise_on(unet)
    latents = torch.randn(2, 4, 16, 16)
    with torch.no_grad():
        sizes = torch.full((2, 6), 128.0)
        encoded = torch.randn(2, 77, 192), torch.randn(2, 128)
        found = train_unet.denoise(unet, latents, torch.tensor([10, 900]), encoded, sizes)
    assert (found - latents).square().mean().sqrt() < 0.005
