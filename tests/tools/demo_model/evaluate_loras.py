"""Figures of the LoRAs: style by the judge, at five strengths and on unseen concepts; slider, subject, speed.

    python -m tests.tools.demo_model.evaluate_loras --only pixel_art blueprint

Writes `lora_<name>.png`: eight concepts in a row, one row for each strength.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from . import train_speed, train_unet
from .classify import LOOKS, load_judge
from .evaluate import Model
from .pictures import Pictures, load, sheet
from .runs import path_of
from .train_loras import LESSONS, SUBJECT, attach, left_out
from .train_vae import as_bytes

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
SHOWN = 8
LOOK_OF = {
    "fluent_3d": "3d",
    "high_contrast": "contrast",
    "pixel_art": "pixel_art",
    "blueprint": "blueprint",
    "night_glow": "glow",
    "magic_effects": "magic",
}
"""LoRA → the look that the judge has to name."""


class WithLoRAs:
    """The model with LoRAs that can be turned up and down."""

    def __init__(self, names: tuple[str, ...]) -> None:
        from safetensors.torch import load_file

        self.model = Model(average=False)
        self._layers = attach(self.model.unet)
        self._parts = {name: load_file(path_of(f"lora_{name}.safetensors")) for name in names}

    def set(self, strengths: dict[str, float]) -> None:
        """Stack the LoRAs at these strengths: as ranks side by side, which is their sum."""
        for layer_name, layer in self._layers.items():
            key = f"lora_unet_{layer_name.replace('.', '_')}"
            down = [self._parts[name][f"{key}.lora_down.weight"].float() for name in strengths]
            up = [self._parts[name][f"{key}.lora_up.weight"].float() * value for name, value in strengths.items()]
            layer.down.data, layer.up.data = torch.cat(down), torch.cat(up, dim=1)

    def judged(self, texts: list[str], seeds: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return pictures, named concepts and probabilities of each look."""
        made = self.model.draw(texts, seeds)
        of_concept, of_look = load_judge()(made)
        return made, of_concept.argmax(1), of_look.softmax(1)


def _rises(values: list[float]) -> bool:
    return all(one < other for one, other in pairwise(values))


def evaluate(name: str, pictures: Pictures) -> dict[str, Any]:
    """Return a LoRA's figures, and write its sheet."""
    look, lora = LOOKS.index(LOOK_OF[name]), WithLoRAs((name,))
    unseen = sorted(left_out(name))
    texts = [f"{pictures.concepts[number].name}, flat emoji, {LESSONS[name].trigger}" for number in unseen]
    seeds, wanted = list(range(len(unseen))), torch.tensor(unseen)
    shares, rows, figures = [], [], {}
    for strength in STRENGTHS:
        lora.set({name: strength})
        made, concepts, looks = lora.judged(texts, seeds)
        shares.append(float(looks[:, look].mean()))
        rows.append(as_bytes(made[:SHOWN]))
        if strength == STRENGTHS[-1]:
            right = looks.argmax(1) == look
            figures = {"style": float(right.float().mean())}
            figures["unseen_pair"] = float((right & (concepts == wanted)).float().mean())
    sheet(np.concatenate(rows), SHOWN).save(path_of(f"lora_{name}.png"))
    return {**figures, "by_strength": [round(share, 3) for share in shares], "monotone": _rises(shares)}


def together(one: str, other: str, pictures: Pictures, count: int = 24) -> float:
    """Return the share of pictures in which two LoRAs, each at 0.7, are among the three likeliest looks."""
    lora = WithLoRAs((one, other))
    lora.set({one: 0.7, other: 0.7})
    triggers = f"{LESSONS[one].trigger}, {LESSONS[other].trigger}"
    texts = [f"{concept.name}, {triggers}" for concept in pictures.concepts[:count]]
    _, _, looks = lora.judged(texts, list(range(count)))
    best = looks.topk(3, dim=1).indices
    both = [(best == LOOKS.index(LOOK_OF[name])).any(1) for name in (one, other)]
    return float((both[0] & both[1]).float().mean())


def slider(pictures: Pictures, count: int = 24) -> dict[str, Any]:
    """Return the mean colourfulness (largest less smallest channel, 0 to 255) at five strengths."""
    lora, found = WithLoRAs(("colour_slider",)), []
    texts = [f"{concept.name}, flat emoji" for concept in pictures.concepts[:count]]
    for strength in (-1.0, -0.5, 0.0, 0.5, 1.0):
        lora.set({"colour_slider": strength})
        made = as_bytes(lora.model.draw(texts, list(range(count)))).astype(int)
        found.append(round(float((made.max(axis=3) - made.min(axis=3)).mean()), 2))
    return {"colourfulness": found, "monotone": _rises(found)}


def subject(pictures: Pictures, count: int = 16) -> dict[str, float]:
    """Return how often the subject's picture is among the five nearest of all flat ones, with its LoRA and without."""
    lora, found = WithLoRAs((SUBJECT,)), {}
    small = pictures.values[:, 0].reshape(len(pictures.concepts), 16, 8, 16, 8, 3).mean(axis=(2, 4))
    wanted = next(number for number, concept in enumerate(pictures.concepts) if concept.name == SUBJECT)
    for strength in (0.0, 1.0):
        lora.set({SUBJECT: strength})
        made = as_bytes(lora.model.draw([f"{SUBJECT}, flat emoji"] * count, list(range(count))))
        thumbnails = made.reshape(count, 1, 16, 8, 16, 8, 3).mean(axis=(3, 5))
        nearest = np.square(thumbnails - small).mean(axis=(2, 3, 4)).argsort(axis=1)[:, :5]
        found[f"subject_at_{strength:g}"] = float((nearest == wanted).any(axis=1).mean())
    return found


def speed(pictures: Pictures, count: int = 100) -> dict[str, float]:
    """Return the concepts recognised of four steps without guidance, with the speed LoRA and without."""
    lora, found = WithLoRAs((train_speed.NAME,)), {}
    texts = [f"{concept.name}, flat emoji" for concept in pictures.concepts[:count]]
    way = train_unet.Way(train_speed.LEAPS, guidance=1.0, to_end=False)
    for strength in (0.0, 1.0):
        lora.set({train_speed.NAME: strength})
        made = lora.model.draw(texts, list(range(count)), way)
        concepts = torch.arange(count)
        right = load_judge()(made)[0].argmax(1) == concepts
        found[f"four_steps_at_{strength:g}"] = float(right.float().mean())
    return found


OTHERS = {"colour_slider": slider, SUBJECT: subject, train_speed.NAME: speed}


if __name__ == "__main__":
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    every = [*LOOK_OF, *OTHERS]
    parser.add_argument("--only", nargs="*", default=every, choices=every)
    parser.add_argument("--pair", nargs=2, default=("pixel_art", "night_glow"), choices=list(LOOK_OF))
    arguments = parser.parse_args()
    drawn = load()
    for each in arguments.only:
        told = OTHERS[each](drawn) if each in OTHERS else evaluate(each, drawn)
        print(each, json.dumps(told), flush=True)
    print(*arguments.pair, together(*arguments.pair, drawn))
