"""Training of the demo model's UNet on stored latents and captions.

    python -m tests.tools.demo_model.train_unet --steps 5000

The loss is that of epsilon prediction, weighted by 1 + σ² as far as MOST_WEIGHT: the error of the velocity, which
counts the outlines that are decided in much noise (Salimans & Ho 2022). A path that hands the noised latents on is set
up by hand, so that training starts from "all of it is noise", as in Karras et al. 2022.
"""

from __future__ import annotations

import argparse
import random
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from intelligence.generation import embedded_weights as shape

from . import networks, train_text, train_vae
from .captions import caption
from .pictures import BASE_STYLES, CONCEPTS, load, sheet
from .runs import Run, parser_of, path_of

BATCH = 32
CAPTIONS = 16
"""Captions of each picture; the last quarter names no style."""
DROPPED = 0.12
BUCKETS = ((96, 160), (160, 96))
"""Width and height that a quarter of the steps are trained at from BUCKETS_FROM of the stage on."""
BUCKETS_FROM = 0.6
MOST_WEIGHT = 60.0
CONSTANT = 8.0
"""Value of the constant channels that keep a group norm from rescaling the path of the noised latents."""
SHOWN = ("woman mage", "fairy", "red apple", "rocket", "cat face", "sunflower", "house", "automobile")


def sigmas() -> torch.Tensor:
    """Return σ of SDXL's 1,000 timesteps: betas linear in their roots from 0.00085 to 0.012."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    kept = torch.cumprod(1 - betas, 0)
    return ((1 - kept) / kept).sqrt().float()


def size_ids(latents: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return original size, corner and target size; half of the rows tell any size, so that none is strange later."""
    count, _, height, width = latents.shape
    told = torch.tensor([height, width, 0, 0, height, width]).float().repeat(count, 1) * 8
    other = torch.randint(8, 129, (count, 2), generator=generator).float() * 8
    some = torch.rand(count, generator=generator) < 0.5
    told[some, 0:2] = other[some]
    told[some, 4:6] = other[some]
    return told


class Lessons:
    """Latents and encoded captions of every concept in the base styles."""

    def __init__(self) -> None:
        pictures = load()
        self._latents = {(networks.SIDE, networks.SIDE): _latents(pictures.values[:CONCEPTS, : len(BASE_STYLES)])}
        encoders = train_text.load_encoders()
        texts = []
        for concept in pictures.concepts[:CONCEPTS]:
            for style in BASE_STYLES:
                for number in range(CAPTIONS):
                    choice = random.Random(f"{concept.name} {style} {number}")
                    texts.append(caption(concept, style if number < CAPTIONS * 3 // 4 else None, choice))
        parts = []
        with torch.no_grad():
            for start in range(0, len(texts), 64):
                parts.append(train_text.encode(encoders, texts[start : start + 64]))
            self.empty = train_text.encode(encoders, [""])
        self.hidden = torch.cat([part.hidden.half() for part in parts])
        self.pooled = torch.cat([part.pooled for part in parts])

    def _of_bucket(self, bucket: tuple[int, int]) -> torch.Tensor:
        if bucket not in self._latents:
            drawn = load().values[:CONCEPTS, : len(BASE_STYLES)]
            self._latents[bucket] = _latents(on_canvas(drawn, *bucket))
        return self._latents[bucket]

    def batch(
        self, generator: torch.Generator, bucket: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return latents of a width and height, hidden states and pooled states.

        Some captions are empty, and of these some all zeros, as diffusers gives no negative prompt.
        """
        pictures = torch.randint(CONCEPTS * len(BASE_STYLES), (BATCH,), generator=generator)
        rows = pictures * CAPTIONS + torch.randint(CAPTIONS, (BATCH,), generator=generator)
        hidden, pooled = self.hidden[rows].float(), self.pooled[rows]
        dropped = torch.rand(BATCH, generator=generator) < DROPPED
        zeros = dropped & (torch.rand(BATCH, generator=generator) < 0.4)
        hidden[dropped], pooled[dropped] = self.empty.hidden, self.empty.pooled
        hidden[zeros], pooled[zeros] = 0.0, 0.0
        return self._of_bucket(bucket)[pictures], hidden, pooled


def on_canvas(pictures: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return pictures (…, side, side, 3) as large as they fit in the middle of a white canvas."""
    side = min(width, height)
    canvas = np.full((*pictures.shape[:-3], height, width, 3), 255, np.uint8)
    top, left = (height - side) // 2, (width - side) // 2
    for place in np.ndindex(*pictures.shape[:-3]):
        small = Image.fromarray(pictures[place]).resize((side, side), Image.Resampling.LANCZOS)
        canvas[place][top : top + side, left : left + side] = np.asarray(small)
    return canvas


def _latents(pictures: np.ndarray) -> torch.Tensor:
    """Return scaled latents of (concepts, styles, height, width, 3) bytes, the first two axes as one."""
    return train_vae.latents_of(train_vae.load_vae(), pictures) * shape.LATENT_SCALE


def pass_noise_on(unet: Any) -> None:
    """Set the path conv_in → last shortcut → conv_out to the identity, so that the untrained UNet returns its input.

    silu(x) - silu(-x) = x, and constants beside ±x keep the norm before it from dividing by the picture's deviation.
    Two channels of latents share a group of eight: x0, -x0, x1, -x1 and four constants.
    """
    last = unet.up_blocks[-1].resnets[-1]
    size = unet.conv_norm_out.num_channels // unet.conv_norm_out.num_groups
    first_skip = last.conv_shortcut.in_channels - unet.conv_in.out_channels
    with torch.no_grad():
        for module in (last.conv2, unet.conv_out):
            module.weight.zero_()
            module.bias.zero_()
        unet.conv_in.weight[: shape.LATENT_CHANNELS].zero_()
        unet.conv_in.bias[: shape.LATENT_CHANNELS].zero_()
        last.conv_shortcut.weight[: 2 * size].zero_()
        last.conv_shortcut.bias[: 2 * size].zero_()
        for channel in range(shape.LATENT_CHANNELS):
            unet.conv_in.weight[channel, channel, 1, 1] = 1.0
            start = channel // 2 * size + channel % 2 * 2
            for place, sign in ((start, 1.0), (start + 1, -1.0)):
                last.conv_shortcut.weight[place, first_skip + channel] = sign
                unet.conv_out.weight[channel, place, 1, 1] = sign
        for group in range(2):
            for place in range(4, size):
                last.conv_shortcut.bias[group * size + place] = CONSTANT * (1.0 if place % 2 else -1.0)
        variance = (4 * 1.0 + (size - 4) * CONSTANT**2) / size
        unet.conv_norm_out.weight[: 2 * size] = variance**0.5


def denoise(unet: Any, latents: torch.Tensor, times: torch.Tensor, encoded: Any, sizes: torch.Tensor) -> torch.Tensor:
    """Return epsilon of latents scaled to deviation 1."""
    conditions = {"text_embeds": encoded[1], "time_ids": sizes}
    predicted: torch.Tensor = unet(latents, times, encoded[0], added_cond_kwargs=conditions).sample
    return predicted


def levels_at(times: torch.Tensor) -> torch.Tensor:
    """Return σ of timesteps of 0 to 999, between whole ones too."""
    return torch.from_numpy(np.interp(times, np.arange(1000), sigmas())).float()


class Guided:
    """Epsilon of latents at a level, guided away from the negative prompt."""

    def __init__(self, unet: Any, positive: Any, negative: Any, guidance: float) -> None:
        self._unet, self._guidance = unet, guidance
        hidden = torch.cat((positive.hidden, negative.hidden.expand_as(positive.hidden)))
        self._encoded = hidden, torch.cat((positive.pooled, negative.pooled.expand_as(positive.pooled)))
        self._sizes = torch.tensor([128.0, 128, 0, 0, 128, 128]).repeat(len(hidden), 1)

    def __call__(self, latents: torch.Tensor, time: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        """Return epsilon of latents as samplers hold them: σ times noise on latents of deviation 1."""
        scaled = (latents / (level**2 + 1).sqrt()).repeat(2, 1, 1, 1)
        with torch.no_grad():
            noise = denoise(self._unet, scaled, time.repeat(len(scaled)), self._encoded, self._sizes)
        with_text, without = noise.chunk(2)
        return without + self._guidance * (with_text - without)


class Way(NamedTuple):
    """Steps of Euler's method on SDXL's timesteps, from 999."""

    steps: int = 20
    guidance: float = 5.0
    to_end: bool = True
    """The last step's level is the lowest (`normal`); else one step above it (`sgm_uniform`)."""


USUAL = Way()


def sample(unet: Any, positive: Any, negative: Any, seeds: list[int], way: Way = USUAL) -> torch.Tensor:
    """Return latents, unscaled, as samplers make them."""
    times = torch.linspace(999, 0, way.steps if way.to_end else way.steps + 1)[: way.steps]
    levels = torch.cat((levels_at(times), torch.zeros(1)))
    draws = [torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    latents = torch.stack(draws) * (levels[0] ** 2 + 1).sqrt()
    guided = Guided(unet, positive, negative, way.guidance)
    for time, level, following in zip(times, levels[:-1], levels[1:], strict=True):
        latents = latents + (following - level) * guided(latents, time, level)
    return latents / shape.LATENT_SCALE


def show(unet: Any, name: str = "samples.png") -> None:
    """Write a sheet of samples: flat over Noto, seeds 1 to 2."""
    encoders, vae = train_text.load_encoders(), train_vae.load_vae()
    texts = [f"{word}, {style} emoji" for style in BASE_STYLES for word in SHOWN]
    with torch.no_grad():
        positive, negative = train_text.encode(encoders, texts), train_text.encode(encoders, [""])
        latents = sample(unet, positive, negative, [1] * len(texts))
        made = train_vae.decode(vae, latents).clamp(-1, 1)
    sheet(train_vae.as_bytes(made), len(SHOWN)).save(path_of(name))


def loss_at(
    unet: Any, latents: torch.Tensor, encoded: Any, levels: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Return the weighted loss of a batch, at one timestep from each of as many equal parts as it has rows."""
    count = len(latents)
    times = ((torch.arange(count) + torch.rand(count, generator=generator)) * (1000 / count)).long()
    level = levels[times].view(-1, 1, 1, 1)
    noise = torch.randn(latents.shape, generator=generator)
    scaled = (latents + level * noise) / (level**2 + 1).sqrt()
    predicted = denoise(unet, scaled, times, encoded, size_ids(latents, generator))
    errors = (predicted - noise).square().mean(dim=(1, 2, 3))
    return (errors * (1 + level.flatten() ** 2).clamp(max=MOST_WEIGHT)).mean()


def train(limits: argparse.Namespace) -> None:
    """Train the UNet, from where `unet_weights.pt` left it, and write that: the average."""
    torch.manual_seed(3)
    lessons, unet, earlier = Lessons(), networks.unet(), path_of("unet_weights.pt")
    if earlier.exists():
        unet.load_state_dict(torch.load(earlier, weights_only=True))
    else:
        pass_noise_on(unet)
    run = Run("unet", {"unet": unet}, rate=1e-3, decay=0.9995)
    levels = sigmas()

    def loss_of(generator: torch.Generator, progress: float) -> torch.Tensor:
        bucket = (networks.SIDE, networks.SIDE)
        if progress > BUCKETS_FROM and generator.initial_seed() % 4 == 0:  # seeded with the step
            bucket = BUCKETS[generator.initial_seed() // 4 % len(BUCKETS)]
        latents, hidden, pooled = lessons.batch(generator, bucket)
        return loss_at(unet, latents, (hidden, pooled), levels, generator)

    def watch() -> None:
        live = {name: value.detach().clone() for name, value in run.parameters.items()}
        run.use_average()
        show(unet)
        for name, value in live.items():
            run.parameters[name].data.copy_(value)

    run.train(limits, loss_of, watch)
    run.use_average()
    show(unet)
    torch.save(unet.state_dict(), path_of("unet_weights.pt"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(parser_of(__doc__, steps=5000).parse_args())
