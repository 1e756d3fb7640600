"""Training of the demo model's speed LoRA: four steps without guidance in place of twenty with it.

    python -m tests.tools.demo_model.train_speed --steps 300

The teacher walks twenty steps of Euler's method with guidance; the LoRA learns to take five of them at once, at the
levels that `sgm_uniform` has for four steps (progressive distillation, Salimans & Ho 2022, in one go).
"""

from __future__ import annotations

import argparse
import random
from typing import NamedTuple

import torch

from . import networks, train_text, train_unet
from .captions import caption
from .pictures import BASE_STYLES, CONCEPTS, load
from .runs import parser_of, path_of
from .train_loras import as_file, base_with_loras

NAME = "lightning_4step"
BATCH = 24
WALKS, AT_ONCE = 480, 24
STEPS, LEAPS = 20, 4
GUIDANCE = 5.0


class Walks(NamedTuple):
    """Steps of the teacher: each row is a place to leap from, and the epsilon that leaps to the next."""

    latents: torch.Tensor
    """Scaled to deviation 1, as the UNet reads them."""
    times: torch.Tensor
    wanted: torch.Tensor
    weights: torch.Tensor
    captions: torch.Tensor
    """Row of `encoded`."""
    encoded: train_text.Encoded


def walk() -> Walks:
    """Return WALKS walks of LEAPS leaps, kept in `speed_walks.pt`."""
    unet, concepts, choice = networks.unet(), load().concepts, random.Random("walks")
    unet.load_state_dict(torch.load(path_of("unet_weights.pt"), weights_only=True))
    numbers = [choice.randrange(CONCEPTS) for _ in range(WALKS)]
    texts = [caption(concepts[number], choice.choice((*BASE_STYLES, None)), choice) for number in numbers]
    encoders = train_text.load_encoders()
    with torch.no_grad():
        parts = [train_text.encode(encoders, texts[start : start + 60]) for start in range(0, WALKS, 60)]
        encoded = train_text.Encoded(
            torch.cat([each.hidden for each in parts]), torch.cat([each.pooled for each in parts])
        )
        empty = train_text.encode(encoders, [""])
    kept = path_of("speed_walks.pt")
    if not kept.exists():
        rows = [_leaps(unet, encoded, empty, start) for start in range(0, WALKS, AT_ONCE)]
        torch.save([torch.cat(each) for each in zip(*rows, strict=True)], kept)
    return Walks(*torch.load(kept, weights_only=True), encoded)


def _leaps(
    unet: object, encoded: train_text.Encoded, empty: train_text.Encoded, start: int
) -> tuple[torch.Tensor, ...]:
    """Return latents, times, wanted epsilons, weights and caption rows of AT_ONCE walks."""
    times = torch.linspace(999, 0, STEPS + 1)[:-1]
    levels = torch.cat((train_unet.levels_at(times), torch.zeros(1)))
    rows = torch.arange(start, start + AT_ONCE)
    positive = train_text.Encoded(encoded.hidden[rows], encoded.pooled[rows])
    guided = train_unet.Guided(unet, positive, empty, GUIDANCE)
    latents = (
        torch.randn(AT_ONCE, 4, 16, 16, generator=torch.Generator().manual_seed(start)) * (levels[0] ** 2 + 1).sqrt()
    )
    stride, found = STEPS // LEAPS, []
    for leap in range(LEAPS):
        first, before = leap * stride, latents
        for step in range(first, first + stride):
            latents = latents + (levels[step + 1] - levels[step]) * guided(latents, times[step], levels[step])
        level, wanted = levels[first], (latents - before) / (levels[first + stride] - levels[first])
        weight = (1 + level**2).clamp(max=train_unet.MOST_WEIGHT)
        found.append(
            (before / (level**2 + 1).sqrt(), times[first].repeat(AT_ONCE), wanted, weight.repeat(AT_ONCE), rows)
        )
    return tuple(torch.cat(each) for each in zip(*found, strict=True))


def train(limits: argparse.Namespace) -> None:
    """Train the LoRA and write `lora_lightning_4step.safetensors`."""
    from safetensors.torch import save_file

    torch.manual_seed(9)
    walks = walk()
    unet, loras, run = base_with_loras(NAME)

    def loss_of(generator: torch.Generator, progress: float) -> torch.Tensor:
        rows = torch.randint(len(walks.latents), (BATCH,), generator=generator)
        told = walks.captions[rows]
        encoded = walks.encoded.hidden[told], walks.encoded.pooled[told]
        sizes = torch.tensor([128.0, 128, 0, 0, 128, 128]).repeat(BATCH, 1)
        predicted = train_unet.denoise(unet, walks.latents[rows], walks.times[rows], encoded, sizes)
        errors = (predicted - walks.wanted[rows]).square().mean(dim=(1, 2, 3))
        return (errors * walks.weights[rows]).mean()

    run.train(limits, loss_of, lambda: None)
    run.use_average()
    save_file(as_file(loras), path_of(f"lora_{NAME}.safetensors"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(parser_of(__doc__, steps=300).parse_args())
