"""Figures of the trained model: VAE, concepts and styles recognised, and sheets to look at.

    python -m tests.tools.demo_model.evaluate

Writes `sheet.png`, and `blind.png` with 64 pictures whose names, in rows of eight, are in `blind.txt`.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
import torch

from . import networks, train_text, train_unet, train_vae
from .classify import LOOKS, load_judge
from .pictures import BASE_STYLES, CONCEPTS, load, sheet
from .runs import path_of

BLIND = 64
AT_ONCE = 25


class Model:
    """The trained parts together."""

    def __init__(self, average: bool) -> None:
        self.encoders, self.vae, self.unet = train_text.load_encoders(), train_vae.load_vae(), networks.unet()
        if average:  # of a run that is not done
            state = torch.load(path_of("unet.pt"), weights_only=True)
            weights = {name.removeprefix("unet/"): value for name, value in state["average"].items()}
            print(f"step {state['step']}, {state['seconds']:.0f} processor seconds")
        else:
            weights = torch.load(path_of("unet_weights.pt"), weights_only=True)
        self.unet.load_state_dict(weights)

    def draw(self, texts: list[str], seeds: list[int], way: train_unet.Way = train_unet.USUAL) -> torch.Tensor:
        """Return pictures of -1 to 1, (n, 3, 128, 128)."""
        made = []
        with torch.no_grad():
            negative = train_text.encode(self.encoders, [""])
            for start in range(0, len(texts), AT_ONCE):
                positive = train_text.encode(self.encoders, texts[start : start + AT_ONCE])
                latents = train_unet.sample(self.unet, positive, negative, seeds[start : start + AT_ONCE], way)
                made.append(train_vae.decode(self.vae, latents).clamp(-1, 1))
        return torch.cat(made)


def recognised(pictures: torch.Tensor, concepts: torch.Tensor, styles: torch.Tensor) -> dict[str, float]:
    """Return the shares that the judge names right."""
    of_concept, of_style = load_judge()(pictures)
    best = of_concept.topk(5, dim=1).indices == concepts[:, None]
    return {
        "first": float(best[:, 0].float().mean()),
        "in_five": float(best.any(1).float().mean()),
        "style": float((of_style.argmax(1) == styles).float().mean()),
    }


def evaluate(count: int, average: bool) -> dict[str, Any]:
    """Draw `count` concepts in each base style, and judge them."""
    pictures, model = load(), Model(average)
    chosen = np.random.default_rng(6).permutation(CONCEPTS)[:count]
    figures: dict[str, Any] = {"concepts": count, **train_vae.figures(model.vae, pictures)}
    for style in BASE_STYLES:
        texts = [f"{pictures.concepts[number].name}, {style} emoji" for number in chosen]
        made = model.draw(texts, list(range(count)))
        styles = torch.full((count,), LOOKS.index(style))
        found = recognised(made, torch.from_numpy(chosen), styles)
        figures |= {f"{style}_{name}": value for name, value in found.items()}
        sheet(train_vae.as_bytes(made), 20).save(path_of(f"sheet_{style}.png"))
        if style == BASE_STYLES[0]:
            blind = np.random.default_rng(7).permutation(count)[:BLIND]
            sheet(train_vae.as_bytes(made[blind]), 8).save(path_of("blind.png"))
            names = [pictures.concepts[chosen[number]].name for number in blind]
            rows = [", ".join(names[start : start + 8]) for start in range(0, len(names), 8)]
            path_of("blind.txt").write_text("\n".join(rows), encoding="utf-8")
    return figures


if __name__ == "__main__":
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="concepts, of each base style")
    parser.add_argument("--running", action="store_true", help="the last saved state of a run that is not done")
    arguments = parser.parse_args()
    print(json.dumps(evaluate(arguments.count, arguments.running)))
