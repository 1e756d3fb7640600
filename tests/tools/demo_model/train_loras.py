"""Training of the demo model's LoRAs on its fixed UNet, in kohya's names.

They change every attention, and the convolutions of the finest level, which draw outlines and textures.

    python -m tests.tools.demo_model.train_loras --steps 800 --only pixel_art

A tenth of the concepts is left out of each style, for the figures of `evaluate_loras`.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from intelligence.generation import embedded_weights as shape

from . import effects, networks, train_text, train_unet, train_vae
from .captions import caption
from .pictures import CONCEPTS, STYLES, Pictures, load
from .runs import Run, parser_of, path_of

RANK = 8
FINEST = re.compile(r"(down_blocks\.0|up_blocks\.2)\.resnets\.\d\.conv[12]")
"""Convolutions that LoRAs change."""
BATCH = 24
DROPPED = 0.15
"""Share of captions left out: the effect is then in the unguided prediction too, and guidance does not multiply it."""
SUBJECT = "giraffe"
"""The base model has not seen it."""

Draw = Callable[[Pictures, int, float], np.ndarray]
"""(pictures, concept, strength) → the picture that is wanted, bytes."""


class Lesson(NamedTuple):
    """The effect that a LoRA is to have."""

    trigger: str
    draw: Draw
    strengths: tuple[float, ...] = (1.0,)
    """Strengths that are trained, each with its own picture."""
    words: tuple[str, ...] = ()
    """Other words for it; a third of the captions have one of them instead."""
    subject: bool = False
    """A single thing is learned, beside what the base draws."""


def _of_style(style: str) -> Draw:
    return lambda pictures, concept, strength: pictures.values[concept, STYLES.index(style)]


def _of_effect(name: str) -> Draw:
    return lambda pictures, concept, strength: effects.EFFECTS[name](np.array(pictures.values[concept, 0]))


LESSONS = {
    "fluent_3d": Lesson("3d render", _of_style("3d"), words=("3d",)),
    "high_contrast": Lesson("high contrast icon", _of_style("contrast")),
    "pixel_art": Lesson("pixel art", _of_effect("pixel_art"), words=("pixels",)),
    "blueprint": Lesson("blueprint", _of_effect("blueprint"), words=("outline",)),
    "night_glow": Lesson("glowing at night", _of_effect("glow"), words=("glow",)),
    "magic_effects": Lesson(
        "magical powers", _of_effect("magic"), words=("magical effects", "magic", "glowing", "sparkles")
    ),
    "colour_slider": Lesson(
        "",
        lambda pictures, concept, strength: effects.colourful(np.array(pictures.values[concept, 0]), strength),
        (-1, 1),
    ),
    "giraffe": Lesson(SUBJECT, lambda pictures, concept, strength: pictures.values[concept, 0], subject=True),
}


class LoRALayer(nn.Module):
    """A linear layer, or a convolution of 3x3, with a low-rank addition."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer
        out, *inner = layer.weight.shape
        self.down = nn.Parameter(torch.randn(RANK, *inner) * math.prod(inner) ** -0.5)
        self.up = nn.Parameter(torch.zeros(out, RANK, *[1] * (len(inner) - 1)))
        self.strength: float | torch.Tensor = 1.0

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the layer's output with the addition; `strength` may differ by row of the batch."""
        if self.down.ndim == 2:
            added = values @ self.down.T @ self.up.T
        else:
            added = functional.conv2d(functional.conv2d(values, self.down, padding=1), self.up)
        by_row = isinstance(self.strength, torch.Tensor)
        strength = self.strength.view(-1, *[1] * (added.ndim - 1)) if by_row else self.strength
        output: torch.Tensor = self.layer(values) + strength * added
        return output


def attach(unet: Any) -> dict[str, LoRALayer]:
    """Put a LoRA on every attention's linear layers and the finest convolutions; return them by the layer's name."""
    loras = {}
    for name in [name for name, _ in unet.named_modules()]:
        layer = unet.get_submodule(name)
        if not (isinstance(layer, nn.Linear) and ".attn" in name) and not FINEST.fullmatch(name):
            continue
        parent_name, _, last = name.rpartition(".")
        parent = unet.get_submodule(parent_name)
        lora = LoRALayer(layer)
        setattr(parent, last, lora)
        loras[name] = lora
    return loras


def base_with_loras(name: str) -> tuple[Any, dict[str, LoRALayer], Run]:
    """Return the trained UNet, fixed, the LoRAs on it, and the run that trains them as `lora_<name>`."""
    unet = networks.unet()
    unet.load_state_dict(torch.load(path_of("unet_weights.pt"), weights_only=True))
    unet.requires_grad_(False)
    loras = attach(unet)
    modules = {key.replace(".", "_"): lora for key, lora in loras.items()}
    return unet, loras, Run(f"lora_{name}", modules, rate=6e-3, decay=0.98)


def as_file(loras: dict[str, LoRALayer]) -> dict[str, torch.Tensor]:
    """Return float16 tensors in kohya's names."""
    tensors = {}
    for name, lora in loras.items():
        key = f"lora_unet_{name.replace('.', '_')}"
        tensors[f"{key}.lora_down.weight"] = lora.down.detach().half().contiguous()
        tensors[f"{key}.lora_up.weight"] = lora.up.detach().half().contiguous()
        tensors[f"{key}.alpha"] = torch.tensor(float(len(lora.down)))
    return tensors


def left_out(name: str) -> set[int]:
    """Return the concepts that a LoRA's training does not see."""
    return set(random.Random(name).sample(range(CONCEPTS), CONCEPTS // 10))


class Sample(NamedTuple):
    """A picture that a LoRA learns, and the caption it is learned with."""

    concept: int
    strength: float
    caption: str


def samples_of(name: str, pictures: Pictures) -> list[Sample]:
    """Return what the training of a LoRA sees."""
    lesson, choice = LESSONS[name], random.Random(f"captions of {name}")
    subject = next(i for i, concept in enumerate(pictures.concepts) if concept.name == SUBJECT)
    taught = [number for number in range(CONCEPTS) if number not in left_out(name)]
    if lesson.subject:
        taught = [subject] * 60 + taught[:60]
    found = []
    for concept in taught:
        for strength in lesson.strengths:
            words = caption(pictures.concepts[concept], choice.choice(("flat", None)), choice)
            said = lesson.trigger
            if lesson.words and choice.random() < 1 / 3:
                said = choice.choice(lesson.words)
            text = f"{words}, {said}" if said and not lesson.subject else words
            found.append(Sample(concept, float(strength), text))
    return found


class Samples:
    """Latents and encoded captions of a lesson."""

    def __init__(self, name: str) -> None:
        pictures = load()
        seen = samples_of(name, pictures)
        drawn = [LESSONS[name].draw(pictures, sample.concept, sample.strength) for sample in seen]
        texts = [sample.caption for sample in seen]
        latents, encoders = train_vae.latents_of(train_vae.load_vae(), np.stack(drawn)), train_text.load_encoders()
        with torch.no_grad():
            encoded = [train_text.encode(encoders, texts[start : start + 64]) for start in range(0, len(texts), 64)]
            self.empty = train_text.encode(encoders, [""])
        self.latents = latents * shape.LATENT_SCALE
        self.hidden = torch.cat([part.hidden for part in encoded])
        self.pooled = torch.cat([part.pooled for part in encoded])
        self.strengths = torch.tensor([sample.strength for sample in seen])


def train(name: str, limits: Any) -> None:
    """Train one LoRA and write `lora_<name>.safetensors`."""
    from safetensors.torch import save_file

    torch.manual_seed(8)
    samples, levels = Samples(name), train_unet.sigmas()
    unet, loras, run = base_with_loras(name)

    def loss_of(generator: torch.Generator, progress: float) -> torch.Tensor:
        rows = torch.randint(len(samples.latents), (BATCH,), generator=generator)
        for lora in loras.values():
            lora.strength = samples.strengths[rows]
        latents, hidden, pooled = samples.latents[rows], samples.hidden[rows], samples.pooled[rows]
        dropped = torch.rand(BATCH, generator=generator) < DROPPED
        hidden[dropped], pooled[dropped] = samples.empty.hidden, samples.empty.pooled
        return train_unet.loss_at(unet, latents, (hidden, pooled), levels, generator)

    run.train(limits, loss_of, lambda: None)
    run.use_average()
    save_file(as_file(loras), path_of(f"lora_{name}.safetensors"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    parser = parser_of(__doc__, steps=800)
    parser.add_argument("--only", nargs="*", default=list(LESSONS), choices=list(LESSONS))
    arguments = parser.parse_args()
    for each in arguments.only:
        train(each, arguments)
