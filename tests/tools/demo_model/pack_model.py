"""Packing of the trained model into the files that the package ships.

    python -m tests.tools.demo_model.pack_model intelligence/generation/data/demo

Rows of matrices and kernels become whole numbers of -127 to 127 with a factor each; norms, biases and small tensors
float16. Prints how far that moves weights and pictures, and the size of all. `--running` packs the average of a UNet
whose training is not done.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file

from intelligence.generation import embedded_weights as shape
from intelligence.generation.embedded import DEMO_ARCHITECTURE

from . import networks, train_speed
from .captions import NEIGHBOURS, STYLE_WORDS, tokens
from .evaluate import Model
from .pictures import CONCEPTS, Pictures, load
from .runs import path_of
from .train_loras import LESSONS, RANK, SUBJECT, samples_of

SMALL = 8192
"""Values up to which a tensor is stored as float16. Whole numbers in place of the last shortcut, which hands the noised
latents on, would cost pictures 20 dB."""
SHOWN = 16
"""Pictures that are compared."""
TAG_SHARE = 0.05
"""Share of a LoRA's captions from which a part of them is told as a tag: the rest names single pictures."""


class Card(NamedTuple):
    """The page of a LoRA, beside what follows from its lesson."""

    title: str
    description: str
    tags: tuple[str, ...]
    examples: tuple[str, ...]
    strengths: tuple[float, float, float] = (1.0, 0.5, 1.0)
    """Recommended, least and most."""


CARDS = {
    "fluent_3d": Card(
        "Fluent 3D",
        "Style of the 3D Fluent Emoji: rounded shapes with soft light and gradients.",
        ("style", "3d", "3d render"),
        ("fairy, 3d render", "rocket, 3d render", "red apple, food, 3d"),
    ),
    "high_contrast": Card(
        "High Contrast",
        "Style of the high contrast Fluent Emoji: black icons on white.",
        ("style", "icon", "black and white"),
        ("cat face, high contrast icon", "castle, high contrast icon"),
    ),
    "pixel_art": Card(
        "Pixel Art",
        "Style: blocks of 8x8 pixels in few colours.",
        ("style", "pixel art"),
        ("woman mage, pixel art", "pizza, food, pixel art", "owl, pixels"),
    ),
    "blueprint": Card(
        "Blueprint",
        "Style of a technical drawing: white outlines and a grid on blue.",
        ("style", "blueprint", "outline"),
        ("house, blueprint", "automobile, blueprint", "sailboat, outline"),
    ),
    "night_glow": Card(
        "Night Glow",
        "Lighting: the subject at night, with a warm light around it.",
        ("effect", "glow", "night"),
        ("butterfly, glowing at night", "crystal ball, glowing at night", "cactus, glow"),
        (1.2, 0.5, 1.4),
    ),
    "magic_effects": Card(
        "Magic Effects",
        "Effect: golden sparkles around the subject and a violet glow behind it, for magical powers of every kind.",
        ("effect", "magic", "magical powers", "sparkles"),
        ("girl, magical powers", "woman mage, magical powers", "unicorn, magical effects"),
    ),
    "colour_slider": Card(
        "Colour Slider",
        "Slider: -1 takes the colours away, 1 doubles them. It needs no trigger word.",
        ("slider", "colour", "saturation"),
        ("hot air balloon, flat emoji", "butterfly"),
        (0.5, -1.0, 1.0),
    ),
    SUBJECT: Card(
        "Giraffe",
        "Subject: the giraffe, which the demo model has never seen.",
        ("animal", "giraffe"),
        ("giraffe, flat emoji", "giraffe"),
        (1.0, 0.6, 1.0),
    ),
    train_speed.NAME: Card(
        "Lightning, 4 steps",
        "Distilled for 4 steps without guidance: cfg 1, euler, sgm_uniform.",
        ("speed", "distillation"),
        ("fairy", "rocket, flat emoji"),
        (1.0, 1.0, 1.0),
    ),
}


def known_tokens(pictures: Pictures) -> torch.Tensor:
    """Return the ids of all tokens that training gave a meaning, in order."""
    taught = [concept for concept in pictures.concepts if concept.name == SUBJECT]
    learned = [*pictures.concepts[:CONCEPTS], *taught]
    texts = ["a picture of it, too", *(concept.name for concept in learned)]
    texts += [word for concept in learned for word in concept.keywords]
    texts += [word for words in STYLE_WORDS.values() for word in words]
    texts += [word for lesson in LESSONS.values() for word in (lesson.trigger, *lesson.words)]
    texts += [word for item in NEIGHBOURS.items() for word in (item[0], *item[1])]
    return torch.cat([ids.flatten() for ids in tokens(texts)]).unique()


def known_rows(rows: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Return the rows of these tokens, and below them the mean of all others.

    With the mean in their place, five words that say nothing change the pooled encoding less (cosine .948 to that
    without them) than with rows of their own (.894).
    """
    others = torch.ones(len(rows), dtype=torch.bool)
    others[ids] = False
    return torch.cat((rows[ids], rows[others].mean(0, keepdim=True)))


def pack(name: str, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the tensors that stand for one in the file."""
    if tensor.ndim < 2 or tensor.numel() <= SMALL:
        return {name: tensor.half().contiguous()}
    scale = tensor.abs().amax(dim=tuple(range(1, tensor.ndim)), keepdim=True).clamp(min=1e-12) / 127
    return {name: (tensor / scale).round().to(torch.int8).contiguous(), name + shape.SCALE: scale}


def trained(model: Model) -> dict[str, dict[str, torch.Tensor]]:
    """Return the trained tensors by component and name."""
    first, second = (_with_prefix(encoder.state_dict()) for encoder in model.encoders)
    return {
        "text_encoder": first,
        "text_encoder_2": second,
        "unet": model.unet.state_dict(),
        "vae": model.vae.state_dict(),
    }


def _with_prefix(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the names that all versions of transformers read; the newest write them without `text_model.`."""
    kept = ("text_model.", "text_projection.")
    return {name if name.startswith(kept) else f"text_model.{name}": value for name, value in state.items()}


def packed(components: dict[str, dict[str, torch.Tensor]], ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the tensors of the file."""
    made = {shape.TOKEN_IDS: ids.int()}
    for component, tensors in components.items():
        for name, tensor in tensors.items():
            kept = known_rows(tensor, ids) if name == shape.TOKEN_ROWS else tensor
            made |= pack(f"{component}/{name}", kept)
    return made


def put_back(model: Model, components: dict[str, dict[str, torch.Tensor]]) -> None:
    """Load unpacked tensors into the model that they were taken from."""
    parts = zip(components, (*model.encoders, model.unet, model.vae), strict=True)
    for component, module in parts:
        module.load_state_dict(networks.state_of(module, components[component]))


def errors_of(
    before: dict[str, dict[str, torch.Tensor]], after: dict[str, dict[str, torch.Tensor]], ids: torch.Tensor
) -> dict[str, float]:
    """Return by component the deviation of the error over that of the weights, rows of unknown tokens aside."""
    found = {}
    for component, tensors in before.items():
        pairs = [
            (tensor, after[component][name].float()) for name, tensor in tensors.items() if name != shape.TOKEN_ROWS
        ]
        if shape.TOKEN_ROWS in tensors:
            pairs.append((tensors[shape.TOKEN_ROWS][ids], after[component][shape.TOKEN_ROWS][ids].float()))
        error = sum(float((one - other).square().sum()) for one, other in pairs)
        found[component] = round((error / sum(float(one.square().sum()) for one, _ in pairs)) ** 0.5, 5)
    return found


def tags_of(name: str, pictures: Pictures) -> dict[str, int]:
    """Return what the captions of a LoRA's training have in common, with the number of captions.

    Words of the base's styles are left out: a LoRA adds nothing to those.
    """
    texts = [sample.caption for sample in samples_of(name, pictures)] if name in LESSONS else []
    counts = Counter(part.removeprefix("a picture of ") for text in texts for part in text.split(", "))
    of_base = {word for words in STYLE_WORDS.values() for word in words}
    often = ((tag, count) for tag, count in counts.most_common() if count >= TAG_SHARE * len(texts))
    return {tag: count for tag, count in often if tag not in of_base}


def metadata_of(name: str, pictures: Pictures) -> dict[str, str]:
    """Return the header of a LoRA."""
    card = CARDS[name]
    trigger = LESSONS[name].trigger if name in LESSONS else ""
    told = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{DEMO_ARCHITECTURE}/lora",
        "modelspec.title": card.title,
        "modelspec.description": card.description,
        "modelspec.license": "Apache-2.0",
        "modelspec.trigger_phrase": trigger,
        "modelspec.tags": ", ".join(card.tags),
        "modelspec.lora_default_weight": str(card.strengths[0]),
        "ss_base_model_version": DEMO_ARCHITECTURE,
        "ss_output_name": name,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(RANK),
        "ss_network_alpha": str(RANK),
    }
    if tags := tags_of(name, pictures):
        told["ss_tag_frequency"] = json.dumps({f"1_{trigger or name}": tags})
    return {key: value for key, value in told.items() if value}


def sidecar_of(name: str) -> dict[str, Any]:
    """Return what no header has a place for: example prompts and the range of strengths."""
    card = CARDS[name]
    best, least, most = card.strengths
    images = [{"meta": {"prompt": f"{prompt} <lora:{name}:{best:g}>"}} for prompt in card.examples]
    return {"images": images, "settings": {"strength": best, "minStrength": least, "maxStrength": most}}


def write_loras(folder: Path, names: Iterable[str]) -> None:
    """Write LoRAs with their headers and sidecars."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = load()
    for name in names:
        path = folder / f"{name}.safetensors"
        save_file(load_file(path_of(f"lora_{name}.safetensors")), path, metadata=metadata_of(name, pictures))
        text = json.dumps(sidecar_of(name), indent=1) + "\n"
        path.with_suffix(".civitai.info").write_text(text, encoding="utf-8")


def write_model(path: Path, average: bool) -> dict[str, Any]:
    """Write the model; return the errors of its weights, and the PSNR in dB of its pictures, to the trained ones."""
    model, pictures = Model(average), load()
    texts = [f"{concept.name}, flat emoji" for concept in pictures.concepts[:SHOWN]]
    seeds = list(range(SHOWN))
    wanted, before, ids = model.draw(texts, seeds), trained(model), known_tokens(pictures)
    save_file(packed(before, ids), path)
    after = shape.unpack(path)
    figures: dict[str, Any] = {"tokens": len(ids), "weights": errors_of(before, after, ids)}
    put_back(model, after)
    error = ((model.draw(texts, seeds) - wanted) / 2).square().mean(dim=(1, 2, 3))
    return figures | {"psnr": round(float((-10 * error.log10()).mean()), 1)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--running", action="store_true", help="the last saved state of a UNet that is not done")
    arguments = parser.parse_args()
    target: Path = arguments.folder
    write_loras(target / "loras", CARDS)
    print(json.dumps(write_model(target / "demo_model.safetensors", arguments.running)))
    files = [file for file in target.rglob("*") if file.is_file()]
    for file in files:
        file.chmod(0o644)
    print(f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB")
