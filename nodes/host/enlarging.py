"""Enlarges a first picture for its second pass with ComfyUI's own nodes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.model_management as management
import comfy.utils
import folder_paths

from ...intelligence.config import require
from ...intelligence.generation.postprocess.upscale_models import cost
from ...intelligence.generation.problem_messages import ProblemMessage
from ...intelligence.memory import MemoryPlan
from ...intelligence.memory.upscaling import OVERLAP, TILES, UpscaleCost
from ...intelligence.parameters import OptimizedParameters
from ...intelligence.parameters.parameters import LATENT_UPSCALER
from ...intelligence.parameters.second_pass import IMAGE_METHOD, LATENT_METHOD
from .core_nodes import core_nodes
from .start_latents import USUAL_SCALE, pixels_per_latent
from .vae_decode import decode

if TYPE_CHECKING:
    from ...intelligence.generation.stages import GenerationPlan

MODELS_FOLDER = "upscale_models"
ENCODE_OVERLAP = 64
"""Pixels by which VAEEncodeTiled's tiles overlap, its default."""


def upscale_models() -> list[str]:
    """Return the upscale models that ComfyUI lists; none where this installation cannot run them."""
    known = "UpscaleModelLoader" in core_nodes().NODE_CLASS_MAPPINGS
    return list(folder_paths.get_filename_list(MODELS_FOLDER)) if known else []


def upscale_cost(name: str) -> UpscaleCost:
    """Return size and work of an upscale model. Raises InvalidInputError, UnsupportedModelError."""
    path = folder_paths.get_full_path(MODELS_FOLDER, name)
    require(path is not None, ProblemMessage.NO_UPSCALE_MODEL.format(name=name, folder=MODELS_FOLDER))
    return cost(Path(str(path)), management.get_torch_device().type)


def with_upscale_cost(plan: GenerationPlan) -> GenerationPlan:
    """Return the plan with size and work of its second pass' upscale model, where they are not known yet."""
    second = plan.parameters.second_pass
    if second is None or second.upscaler == LATENT_UPSCALER or second.cost is not None:
        return plan
    return plan.changed(second_pass=replace(second, cost=upscale_cost(second.upscaler)))


def enlarge(
    latent: dict[str, Any], parameters: OptimizedParameters, model: Any, vae: Any, memory: MemoryPlan
) -> dict[str, Any]:
    """Return the LATENT of a first pass at the size of the second.

    Latents are enlarged by core's LatentUpscale; else by VAEDecode, ImageUpscaleWithModel, ImageScale to the exact
    size, and VAEEncode, one picture after the other, in the plan's tiles. ImageUpscaleWithModel begins with its largest
    tile; where the plan has a smaller one, the same is done with that from the start.

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
        if memory.upscale_tile in (0, TILES[0]):
            enlarged = _output("ImageUpscaleWithModel", loaded, picture)
        else:
            enlarged = _upscaled(loaded, picture, memory.upscale_tile)
        exact = nodes.ImageScale().upscale(enlarged, IMAGE_METHOD, *size, "disabled")[0]
        if memory.tile_size:
            overlap = min(ENCODE_OVERLAP, memory.tile_size // 4)
            made = nodes.VAEEncodeTiled().encode(vae, exact, memory.tile_size, overlap)[0]
        else:
            made = nodes.VAEEncode().encode(vae, exact)[0]
        encoded.append(made["samples"])
    return torch.cat(encoded)


def _upscaled(model: Any, picture: Any, tile: int) -> Any:
    """The IMAGE enlarged in tiles of so many pixels, as ImageUpscaleWithModel does it."""
    import torch

    device = management.get_torch_device()
    patcher = getattr(model, "patcher", None)  # 0.8.0 has none
    if patcher is None:
        model.to(device)
    else:
        management.load_models_gpu([patcher], force_full_load=True)
    given = picture.movedim(-1, -3).to(device)
    made = comfy.utils.tiled_scale(
        given,
        lambda part: model(part.float()),
        tile_x=tile,
        tile_y=tile,
        overlap=OVERLAP,
        upscale_amount=model.scale,
        output_device=management.intermediate_device(),
    )
    if patcher is None:
        model.to("cpu")
    return torch.clamp(made.movedim(-3, -1), min=0, max=1.0).to(picture.dtype)


def _output(name: str, *inputs: Any) -> Any:
    """The first output of a core node in the newer form."""
    return core_nodes().NODE_CLASS_MAPPINGS[name].execute(*inputs)[0]
