"""The embedded demo model: a small trained SDXL with LoRAs, so that everything runs without a download.

Structurally it is SDXL (two text encoders, pooled and size conditioning, eight times smaller latents, epsilon
prediction). It draws some 300 things as emoji; `data/demo/README.md` is its model card. The package holds its weights
packed; they are unpacked on first use with torch and safetensors alone, and both hosts load the same files.
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

VERSION = "v4"
"""Changed to have the model made anew."""
_OLD_VERSIONS = ("v1", "v2", "v3")

DEMO_ARCHITECTURE = "intelligent-generation-demo"
"""Base model in the headers of its LoRAs."""

_LORA_FOLDER = "embedded_demo"
"""Keeps its LoRAs apart from the user's of the same name."""

DATA = Path(__file__).parent / "data" / "demo"
"""Files of the package."""


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
    return EmbeddedModel(home / "model", tuple(sorted(loras.glob("*.safetensors"))))


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
        from safetensors.torch import save_file

        components = shape.unpack(DATA / "demo_model.safetensors")
    except ImportError as error:
        raise MissingDependencyError(f"the embedded model needs torch: {install_command('standalone')}") from error
    model = folder / "model"
    write_sdxl_config(model)
    for component, config in _configs().items():
        (model / component / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
        file = "model" if component.startswith("text_encoder") else "diffusion_pytorch_model"
        save_file(components[component], model / component / f"{file}.safetensors", metadata={"format": "pt"})
    shutil.copytree(DATA / "loras", folder / "loras" / _LORA_FOLDER, copy_function=shutil.copyfile)


def _configs() -> dict[str, dict[str, Any]]:
    """Return configurations by folder of the diffusers layout."""
    first, second = shape.TEXT_ENCODERS
    return {
        "text_encoder": shape.text_encoder_config(first),
        "text_encoder_2": shape.text_encoder_config(second),
        "unet": shape.unet_config(),
        "vae": shape.vae_config(),
    }
