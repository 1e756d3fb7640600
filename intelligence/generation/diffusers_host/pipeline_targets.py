"""Names by which LoRAs reach the weights of a diffusers pipeline, found without loading any."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from ...errors import UnsupportedModelError
from ...models import Architecture
from ...models.headers import Shapes
from ...models.lora_fit import LoRAFit, ModuleReader, Target
from ..sdxl_config import sdxl_config_folder
from ..standalone import loading, quiet, require_standalone
from .loader import ResolvedModel

_TEXT_ENCODERS = {"text_encoder": "CLIPTextModel", "text_encoder_2": "CLIPTextModelWithProjection"}


def lora_fit(model: ResolvedModel) -> LoRAFit:
    """Return what measures LoRAs against a model, by its configuration and diffusers' own conversion of LoRAs.

    Raises MissingDependencyError, and UnsupportedModelError for a configuration that cannot be read.
    """
    require_standalone("the diffusers host")
    import diffusers
    import torch
    import transformers

    folder = sdxl_config_folder() if model.single_file else model.path
    targets: dict[str, Target] = {}
    try:
        with loading(), torch.device("meta"):
            config = diffusers.UNet2DConditionModel.load_config(folder / "unet")
            unet = diffusers.UNet2DConditionModel.from_config(config)
            targets |= _targets("unet", unet)
            for component, kind in _TEXT_ENCODERS.items():
                if (folder / component / "config.json").is_file():
                    config = transformers.CLIPTextConfig.from_pretrained(str(folder / component))
                    targets |= _targets(component, getattr(transformers, kind)(config), text=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UnsupportedModelError(f"{model.path}: cannot be loaded: {str(error).strip()[:200]}") from error
    is_sdxl = model.evidence.architecture not in (Architecture.SD1, Architecture.SD2)
    with quiet():  # imports it
        loader = diffusers.StableDiffusionXLPipeline if is_sdxl else diffusers.StableDiffusionPipeline
    lines = sorted(f"{name}\0{target.shape}" for name, target in targets.items())
    mark = hashlib.blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()
    return LoRAFit(targets, mark, reader=ModuleReader(lambda shapes: _converted(shapes, loader, unet.config)))


def _targets(component: str, network: Any, *, text: bool = False) -> dict[str, Target]:
    shapes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
    targets: dict[str, Target] = {}
    for key, shape in shapes.items():
        name, _, last = key.rpartition(".")
        if last == "weight":
            target = Target(f"{component}.{key}", shape, shapes.get(f"{name}.bias"), text)
            targets |= dict.fromkeys([f"{component}.{each}" for each in _spellings(name, text)], target)
    return targets


def _spellings(name: str, text: bool) -> list[str]:
    """A module's own name, and as diffusers wrote it before peft, which its loader still reads."""
    if not text:
        return [name, name.replace(".to_out.0", ".to_out").replace(".to_", ".processor.to_")]
    name = f"text_model.{name.removeprefix('text_model.')}"
    return [name, re.sub(r"\.self_attn\.(q|k|v|out)_proj$", r".self_attn.to_\1", name)]


def _converted(shapes: Shapes, loader: Any, unet_config: Any) -> Shapes:
    """Return a LoRA's tensors under diffusers' names; as they are where diffusers refuses them."""
    import torch

    with torch.device("meta"):
        tensors = {key: torch.empty(shape) for key, shape in shapes.items()}
    tensors |= {key: torch.ones(()) for key in shapes if key.endswith(".alpha")}
    try:
        with quiet():
            found, *_ = loader.lora_state_dict(tensors, unet_config=unet_config)
    except (ValueError, KeyError, IndexError, AttributeError, RuntimeError):
        return shapes
    return {key: tuple(tensor.shape) for key, tensor in found.items()}
