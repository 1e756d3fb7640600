"""Enlarges a first picture for its second pass with ComfyUI's own nodes."""

from __future__ import annotations

from typing import Any

from ...intelligence.parameters import OptimizedParameters
from ...intelligence.parameters.second_pass import LATENT_METHOD
from .core_nodes import core_nodes
from .start_latents import USUAL_SCALE, pixels_per_latent


def enlarge(latent: dict[str, Any], parameters: OptimizedParameters, model: Any, vae: Any) -> dict[str, Any]:
    """Return the LATENT of a first pass at the size of the second, as core's LatentUpscale makes it."""
    scale = pixels_per_latent(model, vae)
    sides = (side * USUAL_SCALE // scale for side in (parameters.width, parameters.height))
    enlarged: dict[str, Any] = core_nodes().LatentUpscale().upscale(latent, LATENT_METHOD, *sides, "disabled")[0]
    return enlarged
