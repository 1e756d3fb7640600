"""LoRAs with random weights and true metadata, which fit the checkpoint of checkpoint.py or the embedded demo model.

Each is strong enough to change a picture. `make` writes them into a folder, beside files that must never be used.
"""

from __future__ import annotations

import json
import pickle
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from intelligence.generation import embedded
from intelligence.generation.embedded import DEMO_ARCHITECTURE
from intelligence.generation.embedded_weights import TEXT_ENCODERS

from . import checkpoint

RANK = 4
SDXL = {
    "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
    "ss_base_model_version": "sdxl_base_v1-0",
    "ss_sd_model_name": "sd_xl_base_1.0.safetensors",
}
SD1 = {
    "modelspec.architecture": "stable-diffusion-v1/lora",
    "ss_base_model_version": "sd_v1",
    "ss_sd_model_name": "v1-5-pruned-emaonly.safetensors",
}
DEMO = {
    "modelspec.architecture": f"{DEMO_ARCHITECTURE}/lora",
    "ss_base_model_version": DEMO_ARCHITECTURE,
}


@dataclass(frozen=True)
class LoRA:
    """LoRA of the library: its path in the folder, its header, and the files beside it."""

    path: str
    metadata: dict[str, str]
    base: dict[str, str] = field(default_factory=lambda: SDXL)
    sidecars: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Suffix in place of `.safetensors` → JSON content."""


WITCH = LoRA(
    "characters/mirkwood_witch.safetensors",
    {
        "modelspec.title": "Mirkwood Witch",
        "modelspec.tags": "character, woman",
        "modelspec.trigger_phrase": "mirkwood witch, green cloak, antler crown",
        "ss_tag_frequency": json.dumps(
            {"10_mirkwood witch": {"mirkwood witch": 64, "green cloak": 60, "antler crown": 58, "forest": 20}}
        ),
    },
)
OLD_ANIME = LoRA(
    "old_sd15_anime.safetensors",
    {
        "modelspec.title": "Old anime",
        "modelspec.tags": "style, anime",
        "modelspec.trigger_phrase": "anime style",
        "ss_tag_frequency": json.dumps({"10_anime style": {"anime style": 200, "anime": 190, "1girl": 150}}),
    },
    base=SD1,
)
LIBRARY = (
    LoRA(
        "anime_style_v2.safetensors",
        {
            "modelspec.title": "Anime Style v2",
            "modelspec.description": "Clean anime style with cel shading.",
            "modelspec.tags": "style, anime, cel shading",
            "modelspec.trigger_phrase": "anime style, cel shading",
            "ss_tag_frequency": json.dumps(
                {
                    "10_anime style": {
                        "anime style": 120,
                        "anime": 118,
                        "cel shading": 90,
                        "1girl": 80,
                        "vibrant colors": 40,
                    }
                }
            ),
        },
    ),
    LoRA(
        "magic_effects.safetensors",
        {
            "modelspec.title": "Magic Effects",
            "modelspec.description": "Glowing spells, runes and sparks: an effect for magic of every kind.",
            "modelspec.tags": "effect, magic, spell",
            "ss_tag_frequency": json.dumps(
                {"5_magic effects": {"magic": 60, "magical powers": 30, "glowing": 44, "spell": 40, "particles": 38}}
            ),
        },
        sidecars={
            ".json": {
                "activation text": "magic effects, glowing particles",
                "preferred weight": 0.7,
                "sd version": "SDXL",
                "notes": "Spells, runes, sparks.",
            }
        },
    ),
    LoRA(
        "cinematic_photo.safetensors",
        {
            "modelspec.title": "Cinematic Photo",
            "modelspec.tags": "style, photography",
            "ss_tag_frequency": json.dumps(
                {"8_cinematic photo": {"cinematic photo": 70, "film grain": 55, "bokeh": 30}}
            ),
        },
        sidecars={
            ".civitai.info": {
                "name": "v1.0",
                "baseModel": "SDXL 1.0",
                "trainedWords": ["cinematic photo, film grain"],
                "model": {"name": "Cinematic Photo", "type": "LORA", "nsfw": False, "tags": ["style", "photography"]},
                "images": [
                    {"meta": {"prompt": "cinematic photo of an old harbour, film grain <lora:cinematic_photo:0.8>"}},
                    {"meta": {"prompt": "portrait of a sailor, cinematic photo <lora:cinematic_photo:0.9>"}},
                ],
            }
        },
    ),
    replace(
        WITCH,
        sidecars={
            ".civitai.info": {
                "name": "v1.0",
                "baseModel": "SDXL 1.0",
                "trainedWords": ["mirkwood witch, green cloak, antler crown"],
                "model": {"name": "Mirkwood Witch", "type": "LORA", "nsfw": False, "tags": ["character", "woman"]},
            }
        },
    ),
    OLD_ANIME,
)
"""For the random checkpoint."""

DEMO_LIBRARY = (
    replace(WITCH, base=DEMO),
    OLD_ANIME,
    LoRA(
        "ink_wash.safetensors",
        {
            "modelspec.title": "Ink Wash",
            "modelspec.tags": "style, ink",
            "modelspec.trigger_phrase": "ink wash painting",
            "ss_tag_frequency": json.dumps({"10_ink wash": {"ink wash painting": 80, "ink": 75, "monochrome": 40}}),
        },
    ),
)
"""For the embedded demo model, beside its own; the last is SDXL's and does not fit."""

UNUSABLE = ("broken.safetensors", "pickled.safetensors", "legacy.pt")
"""Truncated; a pickle under a safetensors name; a pickle that says so."""


def make(folder: Path, library: tuple[LoRA, ...] = LIBRARY) -> None:
    """Write the library into a folder. The same bytes each time."""
    for seed, lora in enumerate(library):
        path = folder / lora.path
        path.parent.mkdir(parents=True, exist_ok=True)
        network = {"ss_network_module": "networks.lora", "ss_network_dim": str(RANK), "ss_network_alpha": str(RANK)}
        metadata = lora.base | network | {"ss_output_name": path.stem} | lora.metadata
        save_file(_weights(lora.base, seed), path, metadata)
        for suffix, content in lora.sidecars.items():
            path.with_suffix(suffix).write_text(json.dumps(content, indent=1))
    whole = (folder / library[0].path).read_bytes()
    (folder / "broken.safetensors").write_bytes(whole[: len(whole) // 2])
    for name in ("pickled.safetensors", "legacy.pt"):
        (folder / name).write_bytes(pickle.dumps({"lora_unet": [0.0]}))


def sdxl_layers() -> Iterator[tuple[str, int, int]]:
    """Kohya names, input and output widths: the test UNet's attention, the start of both text encoders."""
    for name, shape in checkpoint.unet():
        if ".attn" in name and name.endswith("weight"):
            outputs, inputs = shape
            yield f"lora_unet_{name.removesuffix('.weight').replace('.', '_')}", inputs, outputs
    yield from _text_encoder("lora_te1", 768)
    yield from _text_encoder("lora_te2", 1280)


def sd1_layers() -> Iterator[tuple[str, int, int]]:
    """The first attention of Stable Diffusion 1: it listens to a text encoder 768 wide."""
    block = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0"
    for attention, width in (("attn1", 320), ("attn2", 768)):
        yield f"{block}_{attention}_to_q", 320, 320
        yield f"{block}_{attention}_to_k", width, 320
        yield f"{block}_{attention}_to_v", width, 320
    yield from _text_encoder("lora_te", 768)


def demo_layers() -> Iterator[tuple[str, int, int]]:
    """The attention that the demo model's own LoRAs change, and that of its text encoders."""
    with safe_open(next(embedded.DATA.glob("loras/*.safetensors")), "np") as file:
        for key in file.keys():  # noqa: SIM118 - no mapping
            if key.endswith(".lora_down.weight") and "_attn" in key:
                name = key.removesuffix(".lora_down.weight")
                outputs = file.get_slice(f"{name}.lora_up.weight").get_shape()[0]
                yield name, file.get_slice(key).get_shape()[1], outputs
    for number, encoder in enumerate(TEXT_ENCODERS, 1):
        yield from _text_encoder(f"lora_te{number}", encoder.width, encoder.layers)


def _text_encoder(prefix: str, width: int, layers: int = 2) -> Iterator[tuple[str, int, int]]:
    for layer in range(layers):
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield f"{prefix}_text_model_encoder_layers_{layer}_self_attn_{name}", width, width


def _weights(base: dict[str, str], seed: int) -> dict[str, np.ndarray]:
    """Low-rank pairs whose product is about as large as the weight it is added to."""
    layers = {id(SD1): sd1_layers, id(DEMO): demo_layers}.get(id(base), sdxl_layers)()
    noise = np.random.default_rng(seed)
    weights = {}
    for name, inputs, outputs in layers:
        weights[f"{name}.lora_down.weight"] = noise.normal(0, inputs**-0.5, (RANK, inputs)).astype(np.float16)
        weights[f"{name}.lora_up.weight"] = noise.normal(0, RANK**-0.5, (outputs, RANK)).astype(np.float16)
        weights[f"{name}.alpha"] = np.array(RANK, np.float16)
    return weights


def write_library(folder: Path, count: int) -> None:
    """`count` small LoRAs with headers of 35–40 KB, for the time that a scan takes."""
    rng = random.Random(0)
    words = [f"word{number}" for number in range(500)]
    payload = bytes(4 * 2048 * 2)
    for number in range(count):
        tags = {word: rng.randrange(100) for word in rng.sample(words, 300)}
        header = {
            "__metadata__": {
                **SDXL,
                "ss_tag_frequency": json.dumps({"10_x": tags}),
                "ss_training_comment": "x" * 30_000,
            },
            "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight": {
                "dtype": "F16",
                "shape": [4, 2048],
                "data_offsets": [0, len(payload)],
            },
        }
        text = json.dumps(header).encode()
        file = folder / f"lora_{number}.safetensors"
        file.write_bytes(struct.pack("<Q", len(text)) + text + payload)
