"""What the trained demo model draws, by colours that nobody needs a classifier for, and what its LoRAs do to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from intelligence import IntelligentGenerationPipeline, PipelineConfig

pytestmark = pytest.mark.usefixtures("embedded_home")

CRITERION = "anime girl with magical powers"


@pytest.fixture(scope="module")
def pipeline(embedded_home: object) -> IntelligentGenerationPipeline:
    return IntelligentGenerationPipeline(PipelineConfig(base_model="embedded"))


def draw(pipeline: IntelligentGenerationPipeline, prompt: str, seed: int, **options: Any) -> np.ndarray:
    options = {"loras": [], "aspect": "square", **options}
    return np.asarray(pipeline.generate(prompt, seed=seed, **options).image.convert("RGB"), dtype=float)


def middle(picture: np.ndarray) -> np.ndarray:
    """Return the mean colour of the middle quarter."""
    colour: np.ndarray = picture[32:96, 32:96].mean(axis=(0, 1))
    return colour


def edges(picture: np.ndarray) -> np.ndarray:
    """Return the pixels of the upper and the lower edge, (count, 3)."""
    return np.concatenate([picture[:8], picture[-8:]]).reshape(-1, 3)


def colourfulness(picture: np.ndarray) -> float:
    return float((picture.max(axis=2) - picture.min(axis=2)).mean())


def roughness(picture: np.ndarray) -> float:
    """Return the mean deviation within blocks of 8x8 pixels."""
    return float(picture.reshape(16, 8, 16, 8, 3).std(axis=(1, 3)).mean())


@pytest.mark.parametrize("seed", [0, 1])
def test_things_have_their_colours(pipeline: IntelligentGenerationPipeline, seed: int) -> None:
    red, green, blue = middle(draw(pipeline, "red apple, flat emoji", seed))
    assert red > green + 60 and red > blue + 60
    picture = draw(pipeline, "snowman, flat emoji", seed)
    assert colourfulness(picture) < colourfulness(draw(pipeline, "red apple, flat emoji", seed))


def test_grounds_are_white(pipeline: IntelligentGenerationPipeline) -> None:
    picture = draw(pipeline, "rocket, flat emoji", 0)
    corners = np.stack([picture[y : y + 8, x : x + 8] for y in (0, 120) for x in (0, 120)])
    assert corners.mean() > 235


def test_words_change_picture_more_than_the_seed_does(pipeline: IntelligentGenerationPipeline) -> None:
    one, again = (draw(pipeline, "red apple, flat emoji", seed) for seed in (0, 1))
    other = draw(pipeline, "house, flat emoji", 0)
    assert np.abs(one - other).mean() > np.abs(one - again).mean()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_criterion_shows_magic_of_its_lora(pipeline: IntelligentGenerationPipeline, seed: int) -> None:
    with_loras = pipeline.generate(CRITERION, seed=seed, aspect="square")
    assert {lora.name for lora in with_loras.metadata.loras_used} == {"magic_effects"}
    seen = np.asarray(with_loras.image.convert("RGB"), dtype=float)
    plain = draw(pipeline, with_loras.metadata.final_prompt, seed)
    assert np.abs(seen - plain).mean() > 5
    violet = [float(((each[..., 2] - each[..., 1]) > 40).mean()) for each in (plain, seen)]
    assert violet[1] > violet[0] + 0.06


def test_pixel_art_has_blocks(pipeline: IntelligentGenerationPipeline) -> None:
    prompts = [f"{thing}, flat emoji, pixel art" for thing in ("pizza", "rocket", "cat face", "sunflower")]
    plain, blocks = (
        sum(roughness(draw(pipeline, prompt, 0, loras=loras)) for prompt in prompts) for loras in ([], ["pixel_art"])
    )
    assert blocks < 0.85 * plain


def test_blueprint_is_blue(pipeline: IntelligentGenerationPipeline) -> None:
    picture = draw(pipeline, "house, flat emoji, blueprint", 0, loras=["blueprint"])
    red, _, blue = edges(picture).mean(axis=0)
    assert blue > red + 40


def test_night_glow_is_dark(pipeline: IntelligentGenerationPipeline) -> None:
    picture = draw(pipeline, "owl, flat emoji, glowing at night", 0, loras=["night_glow"])
    assert edges(picture).mean() < 110


def test_high_contrast_is_grey(pipeline: IntelligentGenerationPipeline) -> None:
    prompt = "red apple, high contrast icon"
    plain, grey = (draw(pipeline, prompt, 0, loras=loras) for loras in ([], ["high_contrast"]))
    assert colourfulness(grey) < 0.4 * colourfulness(plain)


def test_colour_slider_is_monotone(pipeline: IntelligentGenerationPipeline) -> None:
    strengths = (-1.0, 0.0, 1.0)
    found = [draw(pipeline, "butterfly, flat emoji", 0, loras={"colour_slider": strength}) for strength in strengths]
    grey, usual, strong = map(colourfulness, found)
    assert grey < 0.6 * usual < 0.6 * strong


def test_lightning_takes_four_steps_without_guidance(pipeline: IntelligentGenerationPipeline) -> None:
    result = pipeline.generate("red apple, flat emoji", seed=0, loras=["lightning_4step"], aspect="square")
    made = result.generation.plan.parameters
    assert (made.num_steps, made.guidance_scale, made.sampler_name) == (4, 1.0, "euler")
    assert (made.scheduler, made.width, made.height) == ("sgm_uniform", 128, 128)
    red, green, _ = middle(np.asarray(result.image.convert("RGB"), dtype=float))
    assert red > green + 60
