"""Enlarges a first picture for its second pass with ComfyUI's own nodes."""

from __future__ import annotations

from typing import Any

import folder_paths

from ...intelligence.config import require
from ...intelligence.generation.problem_messages import ProblemMessage
from ...intelligence.memory import MemoryPlan
from ...intelligence.parameters import OptimizedParameters
from ...intelligence.parameters.parameters import LATENT_UPSCALER
from ...intelligence.parameters.second_pass import IMAGE_METHOD, LATENT_METHOD
from .core_nodes import core_nodes
from .start_latents import USUAL_SCALE, pixels_per_latent
from .vae_decode import decode

MODELS_FOLDER = "upscale_models"
ENCODE_OVERLAP = 64
"""Pixels by which VAEEncodeTiled's tiles overlap, its default."""


def upscale_models() -> list[str]:
    """Return the upscale models that ComfyUI lists; none where this installation cannot run them."""
    known = "UpscaleModelLoader" in core_nodes().NODE_CLASS_MAPPINGS
    return list(folder_paths.get_filename_list(MODELS_FOLDER)) if known else []


def enlarge(
    latent: dict[str, Any], parameters: OptimizedParameters, model: Any, vae: Any, memory: MemoryPlan
) -> dict[str, Any]:
    """Return the LATENT of a first pass at the size of the second.

    Latents are enlarged by core's LatentUpscale; else by VAEDecode, ImageUpscaleWithModel, ImageScale to the exact
    size, and VAEEncode, one picture after the other, in the plan's tiles.

    Raises InvalidInputError for an upscale model that is not there, BrokenImageError.
    """
    assert parameters.second_pass is not None
    upscaler, size = parameters.second_pass.upscaler, (parameters.width, parameters.height)
    if upscaler != LATENT_UPSCALER:
        return {**latent, "samples": _by_model(latent["samples"], upscaler, size, vae, memory)}
    scale = pixels_per_latent(model, vae)
    sides = (side * USUAL_SCALE // scale for side in size)
    enlarged: dict[str, Any] = core_nodes().LatentUpscale().upscale(latent, LATENT_METHOD, *sides, "disabled")[0]
    return enlarged


def _by_model(samples: Any, name: str, size: tuple[int, int], vae: Any, memory: MemoryPlan) -> Any:
    import torch

    require(name in upscale_models(), ProblemMessage.NO_UPSCALE_MODEL.format(name=name, folder=MODELS_FOLDER))
    nodes = core_nodes()
    loaded = _output("UpscaleModelLoader", name)
    encoded = []
    for row in samples.split(1):
        picture, _ = decode(vae, row, memory, 1)
        enlarged = _output("ImageUpscaleWithModel", loaded, picture)
        exact = nodes.ImageScale().upscale(enlarged, IMAGE_METHOD, *size, "disabled")[0]
        if memory.tile_size:
            overlap = min(ENCODE_OVERLAP, memory.tile_size // 4)
            made = nodes.VAEEncodeTiled().encode(vae, exact, memory.tile_size, overlap)[0]
        else:
            made = nodes.VAEEncode().encode(vae, exact)[0]
        encoded.append(made["samples"])
    return torch.cat(encoded)


def _output(name: str, *inputs: Any) -> Any:
    """The first output of a core node in the newer form."""
    return core_nodes().NODE_CLASS_MAPPINGS[name].execute(*inputs)[0]
