"""A classifier of concept and style, trained on the pictures, that judges what the model draws.

    python -m tests.tools.demo_model.classify --steps 3000

Every tenth pair of concept and style is left out of its training; what it says of those is its own accuracy. It sees
pictures moved, scaled, mirrored, blurred and tinted, as a model that draws nearly the same would draw them.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .effects import EFFECTS
from .pictures import CONCEPTS, STYLES, Pictures, load
from .runs import Run, parser_of, path_of
from .train_vae import as_tensor

BATCH = 48
LOOKS = (*STYLES, *EFFECTS)
"""Styles that are told apart: those of the packages, and those computed from the flat pictures."""
SEEN = 64
"""Pixels that the classifier looks at."""


class Classifier(nn.Module):
    """Four convolutions that halve the picture, then a row of concepts and a row of styles."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 128, 192)
        layers: list[nn.Module] = []
        for before, width in pairwise(widths):
            layers += [nn.Conv2d(before, width, 3, 2, 1), nn.GroupNorm(8, width), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.4), nn.Linear(widths[-1] * 16, 256), nn.ReLU())
        self.concepts = nn.Linear(256, CONCEPTS)
        self.styles = nn.Linear(256, len(LOOKS))

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits of concept and style of (n, 3, h, w) in -1 to 1."""
        read = self.body(functional.interpolate(pictures, (SEEN, SEEN), mode="area"))
        return self.concepts(read), self.styles(read)


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


def accuracy(classifier: Classifier, values: np.ndarray) -> dict[str, float]:
    """Return the accuracies on pairs that training did not see."""
    classifier.eval()
    concepts, styles = np.nonzero(left_out())
    with torch.no_grad():
        logits = classifier(as_tensor(values[concepts, styles]))
    classifier.train()
    best = logits[0].topk(5, dim=1).indices == torch.from_numpy(concepts)[:, None]
    return {
        "concept": float(best[:, 0].float().mean()),
        "concept_in_5": float(best.any(1).float().mean()),
        "style": float((logits[1].argmax(1) == torch.from_numpy(styles)).float().mean()),
    }


def train(limits: argparse.Namespace) -> None:
    """Train the classifier and write `classifier_weights.pt`."""
    torch.manual_seed(4)
    values, classifier = looks(load()), Classifier()
    pairs = torch.from_numpy(np.stack(np.nonzero(~left_out()), axis=1))
    run = Run("classifier", {"classifier": classifier}, rate=1e-3, decay=0.99)

    def loss_of(generator: torch.Generator, progress: float) -> torch.Tensor:
        concepts, styles = pairs[torch.randint(len(pairs), (BATCH,), generator=generator)].unbind(1)
        seen = as_tensor(values[concepts.numpy(), styles.numpy()])
        of_concept, of_style = classifier(_varied(seen, generator))
        concept_loss = functional.cross_entropy(of_concept, concepts, label_smoothing=0.1)
        return concept_loss + 0.3 * functional.cross_entropy(of_style, styles)

    run.train(limits, loss_of, lambda: print("classifier:", accuracy(classifier, values), flush=True))
    print("classifier, pairs left out:", accuracy(classifier, values), flush=True)
    torch.save(classifier.state_dict(), path_of("classifier_weights.pt"))


def load_classifier() -> Any:
    """Return the trained classifier, ready to judge."""
    classifier = Classifier()
    classifier.load_state_dict(torch.load(path_of("classifier_weights.pt"), weights_only=True))
    return classifier.eval()


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(parser_of(__doc__, steps=3000).parse_args())
