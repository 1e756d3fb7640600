"""A judge of what the model draws, trained on the pictures: one classifier of concepts, one of looks.

    python -m tests.tools.demo_model.classify --steps 4000 --look-steps 1200

Every tenth pair of concept and look is left out of its training; what it says of those is its own accuracy. Concepts
are told by pictures of 64 pixels, moved, turned, scaled, mirrored, blurred and tinted, as a model that draws nearly the
same would draw them. Looks are told by textures of all 128 pixels, as they are and as the VAE draws them: blocks of
pixels and soft shadows would not outlive the rest.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .effects import EFFECTS
from .pictures import CONCEPTS, STYLES, Pictures, load
from .runs import Run, parser_of, path_of
from .train_vae import as_bytes, as_tensor, decode, latents_of, load_vae

BATCH = 48
LOOKS = (*STYLES, *EFFECTS)
"""Styles that are told apart: those of the packages, and those computed from the flat pictures."""
SEEN = 64
"""Pixels that the classifier looks at."""


def _halvings(*widths: int) -> nn.Sequential:
    """Convolutions, each of which halves the picture."""
    layers: list[nn.Module] = []
    for before, width in pairwise((3, *widths)):
        layers += [nn.Conv2d(before, width, 3, 2, 1), nn.GroupNorm(8, width), nn.ReLU()]
    return nn.Sequential(*layers)


class Concepts(nn.Module):
    """Four convolutions that halve the picture, then a row of concepts."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_halvings(32, 64, 128, 192), nn.Flatten(), nn.Dropout(0.4), nn.Linear(192 * 16, 256), nn.ReLU()
        )
        self.concepts = nn.Linear(256, CONCEPTS)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return logits of (n, 3, h, w) in -1 to 1."""
        logits: torch.Tensor = self.concepts(self.body(functional.interpolate(pictures, (SEEN, SEEN), mode="area")))
        return logits


class Looks(nn.Module):
    """Three convolutions, then a row of looks from the means of their channels over the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.looks = _halvings(32, 64, 96), nn.Linear(96, len(LOOKS))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return logits of (n, 3, h, w) in -1 to 1."""
        logits: torch.Tensor = self.looks(self.body(pictures).mean(dim=(2, 3)))
        return logits


class Judge(NamedTuple):
    """Both classifiers."""

    concepts: Concepts
    looks: Looks

    def __call__(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits of concept and look of (n, 3, h, w) in -1 to 1."""
        with torch.no_grad():
            return self.concepts(pictures), self.looks(pictures)


def left_out() -> np.ndarray:
    """Return which pairs of concept and style training does not see: (concepts, styles), one in ten."""
    return np.random.default_rng(5).random((CONCEPTS, len(LOOKS))) < 0.1


def _varied(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    count = len(pictures)

    def between(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    matrices = torch.zeros(count, 2, 3)
    scale, turn = between(0.85, 1.25), between(-0.15, 0.15)
    mirror = torch.where(torch.rand(count, generator=generator) < 0.2, -1.0, 1.0)
    matrices[:, 0, 0], matrices[:, 0, 1] = mirror * scale * turn.cos(), -scale * turn.sin()
    matrices[:, 1, 0], matrices[:, 1, 1] = mirror * scale * turn.sin(), scale * turn.cos()
    matrices[:, :, 2] = between(-0.12, 0.12, 2)
    grid = functional.affine_grid(matrices, list(pictures.shape), align_corners=False)
    moved = functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    sharp = torch.rand(count, generator=generator) < 0.5
    blurred = functional.interpolate(functional.avg_pool2d(moved, 4), scale_factor=4, mode="bilinear")
    moved = torch.where(sharp.view(-1, 1, 1, 1), moved, blurred)
    noise = torch.randn(moved.shape, generator=generator) * between(0, 0.1, 1, 1, 1)
    return (moved * between(0.85, 1.1, 3, 1, 1) + noise).clamp(-1, 1)


def looks(pictures: Pictures) -> np.ndarray:
    """Return bytes of (concepts, looks, 128, 128, 3)."""
    flat = pictures.values[:CONCEPTS, 0]
    computed = [np.stack([effect(np.array(picture)) for picture in flat]) for effect in EFFECTS.values()]
    return np.concatenate([pictures.values[:CONCEPTS], np.stack(computed, axis=1)], axis=1)


def accuracy(values: np.ndarray) -> dict[str, float]:
    """Return the accuracies on pairs that training did not see, of each look too."""
    concepts, looks_of = (torch.from_numpy(one) for one in np.nonzero(left_out()))
    of_concept, of_look = load_judge()(as_tensor(values[concepts.numpy(), looks_of.numpy()]))
    best, right = of_concept.topk(5, dim=1).indices == concepts[:, None], of_look.argmax(1) == looks_of
    return {
        "concept": float(best[:, 0].float().mean()),
        "concept_in_5": float(best.any(1).float().mean()),
        "look": float(right.float().mean()),
        **{name: float(right[looks_of == place].float().mean()) for place, name in enumerate(LOOKS)},
    }


def _taught() -> torch.Tensor:
    return torch.from_numpy(np.stack(np.nonzero(~left_out()), axis=1))


def train_concepts(values: np.ndarray, limits: argparse.Namespace) -> None:
    """Train the classifier of concepts and write `concepts_weights.pt`."""
    torch.manual_seed(4)
    classifier, pairs = Concepts(), _taught()

    def loss_of(generator: torch.Generator, progress: float) -> torch.Tensor:
        concepts, looks_of = pairs[torch.randint(len(pairs), (BATCH,), generator=generator)].unbind(1)
        seen = as_tensor(values[concepts.numpy(), looks_of.numpy()])
        return functional.cross_entropy(classifier(_varied(seen, generator)), concepts, label_smoothing=0.1)

    Run("concept_classifier", {"classifier": classifier}, rate=1e-3, decay=0.99).train(limits, loss_of, lambda: None)
    torch.save(classifier.state_dict(), path_of("concepts_weights.pt"))


def as_drawn(values: np.ndarray) -> np.ndarray:
    """Return the pictures as the VAE draws them."""
    vae, drawn = load_vae(), np.empty_like(values)
    for look in range(values.shape[1]):
        latents = latents_of(vae, values[:, look])
        with torch.no_grad():
            parts = [decode(vae, latents[start : start + 25]) for start in range(0, len(latents), 25)]
        drawn[:, look] = as_bytes(torch.cat(parts).clamp(-1, 1))
    return drawn


def train_looks(values: np.ndarray, limits: argparse.Namespace) -> None:
    """Train the classifier of looks and write `looks_weights.pt`."""
    torch.manual_seed(4)
    classifier, pairs, drawn = Looks(), _taught(), as_drawn(values)

    def loss_of(generator: torch.Generator, progress: float) -> torch.Tensor:
        concepts, looks_of = pairs[torch.randint(len(pairs), (BATCH,), generator=generator)].unbind(1)
        source = drawn if generator.initial_seed() % 2 else values  # seeded with the step
        seen = as_tensor(source[concepts.numpy(), looks_of.numpy()])
        tint = 0.85 + 0.25 * torch.rand(BATCH, 3, 1, 1, generator=generator)
        shift = torch.randint(-16, 17, (2,), generator=generator).tolist()
        return functional.cross_entropy(classifier((seen * tint).clamp(-1, 1).roll(shift, dims=(2, 3))), looks_of)

    Run("look_classifier", {"classifier": classifier}, rate=2e-3, decay=0.99).train(limits, loss_of, lambda: None)
    torch.save(classifier.state_dict(), path_of("looks_weights.pt"))


def load_judge() -> Judge:
    """Return the trained classifiers, ready to judge."""
    judge = Judge(Concepts().eval(), Looks().eval())
    judge.concepts.load_state_dict(torch.load(path_of("concepts_weights.pt"), weights_only=True))
    judge.looks.load_state_dict(torch.load(path_of("looks_weights.pt"), weights_only=True))
    return judge


if __name__ == "__main__":
    torch.set_num_threads(1)
    parser = parser_of(__doc__, steps=4000)
    parser.add_argument("--look-steps", type=int, default=1200, help="steps of the classifier of looks")
    arguments = parser.parse_args()
    every = looks(load())
    train_concepts(every, arguments)
    arguments.steps = arguments.look_steps
    train_looks(every, arguments)
    print("pairs left out:", accuracy(every), flush=True)
