"""Settings of a plan that live on the MODEL: RescaleCFG and EasyCache. What the user put there stays."""

from __future__ import annotations

from typing import Any

from ...intelligence.parameters import OptimizedParameters

EASYCACHE_INTERVAL = (0.15, 0.95)
"""Part of the schedule in which EasyCache may skip steps, as in krita-ai-diffusion."""


def has_easycache(model: Any) -> bool:
    """Return whether another node put EasyCache or LazyCache on MODEL."""
    return "easycache" in model.model_options.get("transformer_options", {})


def with_improvements(model: Any, parameters: OptimizedParameters) -> Any:
    """Return MODEL, or a clone of it with the core nodes applied that `parameters` ask for: RescaleCFG, EasyCache."""
    if parameters.rescale_cfg:
        from comfy_extras.nodes_model_advanced import RescaleCFG

        model = RescaleCFG().patch(model, parameters.rescale_cfg)[0]
    if parameters.improvements.easycache:
        from comfy_extras.nodes_easycache import EasyCacheNode

        model = EasyCacheNode.execute(model, parameters.improvements.easycache, *EASYCACHE_INTERVAL, False)[0]
    return model
