"""The embedded demo model: a small random-weight SDXL with four LoRAs, so that everything runs without a download.

Structurally it is SDXL (two text encoders, pooled and size conditioning, eight times smaller latents, epsilon
prediction); its pictures are colourful patterns that depend on prompt, seed, settings and LoRAs, and mean nothing.
It is made with torch and safetensors alone, and both hosts load the same files.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import data_folder
from ..errors import MissingDependencyError, install_command
from ..models import ModelKind
from ..registry import ModelRegistry
from . import embedded_weights as shape
from .sdxl_config import make_once, write_sdxl_config

VERSION = "v2"
"""Changed to have the model made anew."""
_OLD_VERSIONS = ("v1",)

DEMO_ARCHITECTURE = "intelligent-generation-demo"
"""Base model in the headers of its LoRAs."""

_LORA_FOLDER = "embedded_demo"
"""Keeps its LoRAs apart from the user's of the same name."""

_SEED = 14_4


@dataclass(frozen=True)
class EmbeddedModel:
    """Paths of the embedded model."""

    folder: Path
    """The diffusers folder."""
    lora_paths: tuple[Path, ...]

    @property
    def lora_folder(self) -> Path:
        """The folder to scan for its LoRAs."""
        return self.lora_paths[0].parent


@dataclass(frozen=True)
class _EmbeddedLoRA:
    name: str
    trigger_phrase: str
    description: str
    tags: dict[str, int]


_LORAS = (
    _EmbeddedLoRA(
        "anime_style_v2",
        "anime style",
        "Anime illustration style: clean line art, large expressive eyes, vivid colours.",
        {"anime style": 60, "anime": 52, "1girl": 38, "illustration": 30, "vivid colors": 18, "line art": 12},
    ),
    _EmbeddedLoRA(
        "cel_anime_flat",
        "flat cel shading",
        "Flat cel-shaded anime style with hard shadows and few colours, like hand-painted television animation.",
        {"flat cel shading": 48, "anime": 40, "cel shading": 36, "flat color": 28, "hard shadows": 15},
    ),
    _EmbeddedLoRA(
        "cinematic_photo",
        "cinematic photo",
        "Photographic style of film stills: shallow depth of field, film grain, natural light.",
        {"cinematic photo": 55, "photo": 47, "photorealistic": 40, "film grain": 25, "depth of field": 22},
    ),
    _EmbeddedLoRA(
        "magic_effects",
        "magical effects",
        "Effect: glowing magic, sparks, particles and light trails around the subject.",
        {"magical effects": 50, "magic": 45, "glowing": 33, "sparkles": 27, "particles": 21, "light trails": 10},
    ),
)


def ensure_embedded(folder: Path | None = None) -> EmbeddedModel:
    """Return the embedded model, made in `folder` (default: `embedded` in the data folder) on first use.

    One that is damaged is made anew, and an earlier version removed. Raises MissingDependencyError without torch,
    StorageError when it cannot be written.
    """
    folder = folder or data_folder() / "embedded"
    home = make_once(folder / VERSION, _make)
    loras = lora_root(folder) / _LORA_FOLDER
    for version in _OLD_VERSIONS:
        shutil.rmtree(folder / version, ignore_errors=True)
    return EmbeddedModel(home / "model", tuple(loras / f"{lora.name}.safetensors" for lora in _LORAS))


def embedded_registry() -> ModelRegistry:
    """Return a registry of the LoRAs that come with the embedded model."""
    embedded = ensure_embedded()
    registry = ModelRegistry(embedded.folder.parent / "registry.db")
    registry.scan({ModelKind.LORA: [embedded.lora_folder]})
    return registry


def lora_root(folder: Path) -> Path:
    """Return where the LoRAs lie in a subfolder of their own, for hosts that list LoRAs by relative path."""
    return folder / VERSION / "loras"


def _make(folder: Path) -> None:
    try:
        import torch
        from safetensors.torch import save_file
    except ImportError as error:
        raise MissingDependencyError(f"the embedded model needs torch: {install_command('standalone')}") from error
    generator = torch.Generator().manual_seed(_SEED)
    model = folder / "model"
    write_sdxl_config(model)
    for component, (config, shapes) in _components().items():
        weights = shape.random_weights(shapes, generator, shape.UNET_GAIN if component == "unet" else 1.0)
        if component == "vae":
            shape.smooth_decoder(weights, generator)
        (model / component / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
        file = "model" if component.startswith("text_encoder") else "diffusion_pytorch_model"
        save_file(weights, model / component / f"{file}.safetensors", metadata={"format": "pt"})
    loras = folder / "loras" / _LORA_FOLDER
    loras.mkdir(parents=True)
    for lora in _LORAS:
        path = loras / f"{lora.name}.safetensors"
        save_file(shape.random_lora(generator), path, metadata=_metadata(lora))


def _components() -> dict[str, tuple[dict[str, Any], shape.Shapes]]:
    """Return configuration and tensor shapes by folder of the diffusers layout."""
    first, second = shape.TEXT_ENCODERS
    return {
        "text_encoder": (shape.text_encoder_config(first), shape.text_encoder_shapes(first)),
        "text_encoder_2": (shape.text_encoder_config(second), shape.text_encoder_shapes(second)),
        "unet": (shape.unet_config(), shape.unet_shapes()),
        "vae": (shape.vae_config(), shape.vae_shapes()),
    }


def _metadata(lora: _EmbeddedLoRA) -> dict[str, str]:
    return {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{DEMO_ARCHITECTURE}/lora",
        "modelspec.title": lora.name,
        "modelspec.description": lora.description,
        "modelspec.trigger_phrase": lora.trigger_phrase,
        "modelspec.tags": ", ".join(lora.tags),
        "ss_base_model_version": DEMO_ARCHITECTURE,
        "ss_output_name": lora.name,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(shape.LORA_RANK),
        "ss_network_alpha": str(shape.LORA_RANK),
        "ss_tag_frequency": json.dumps({f"10_{lora.trigger_phrase}": lora.tags}),
    }
