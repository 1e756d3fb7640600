"""ComfyUI's guider with the plan's improvements: counts forward items and skips guidance outside its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import comfy.samplers
from comfy.patcher_extension import WrappersMP, add_wrapper_with_key

from ...intelligence.parameters import OptimizedParameters

KEY = "intelligent_generation"

EASYCACHE_INTERVAL = (0.15, 0.95)
"""Part of the schedule in which EasyCache may skip steps, as in krita-ai-diffusion."""

GUIDANCE_OPTIONS = ("sampler_cfg_function", "sampler_pre_cfg_function")
"""Model options that combine cond and uncond: without uncond, ComfyUI passes them zeros."""


@dataclass
class ForwardCounter:
    """Counter of the forward items of one run."""

    items: int = 0
    """Images × conditionings that the diffusion model computed."""

    def count(self, executor: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Wrap the diffusion model itself, inside of everything that caches its outputs."""
        self.items += x[0].shape[0] if isinstance(x, list) else x.shape[0]
        return executor(x, *args, **kwargs)


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


class Guider(comfy.samplers.CFGGuider):
    """KSampler's guider, which counts forward items and skips the negative conditioning where the plan has no guidance.

    Its hooks are in its own copy of MODEL's options, inside those of other nodes. ComfyUI would take a clone of MODEL
    for every run for a new model, load its weights again and keep a trace of each.
    """

    def __init__(self, model: Any, parameters: OptimizedParameters, forward: ForwardCounter) -> None:
        super().__init__(model)
        self.cfg = parameters.guidance_scale
        self.improvements = parameters.improvements
        self.forward = forward

    def outer_sample(self, *args: Any, **kwargs: Any) -> Any:
        """See `CFGGuider`. MODEL's own hooks are in the options by now."""
        add_wrapper_with_key(
            WrappersMP.DIFFUSION_MODEL, KEY, self.forward.count, self.model_options, is_model_options=True
        )
        return super().outer_sample(*args, **kwargs)

    def predict_noise(self, x: Any, timestep: Any, model_options: dict[str, Any], seed: int | None = None) -> Any:
        """See `CFGGuider`."""
        limits = self.improvements.limits_guidance
        # Samplers that need uncond themselves (CFG++) would compute it anyway.
        if not limits or model_options.get("disable_cfg1_optimization") or self.improvements.guides(float(timestep[0])):
            return super().predict_noise(x, timestep, model_options, seed)
        unguided = {name: value for name, value in model_options.items() if name not in GUIDANCE_OPTIONS}
        cfg, self.cfg = self.cfg, 1.0
        try:
            return super().predict_noise(x, timestep, unguided, seed)
        finally:
            self.cfg = cfg
