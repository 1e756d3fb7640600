"""What happens at the model: forward items are counted, guidance is left out where the plan says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import comfy.samplers
from comfy.patcher_extension import WrappersMP, add_wrapper_with_key

from ...intelligence.parameters import OptimizedParameters

KEY = "intelligent_generation"

EASYCACHE_SPAN = (0.15, 0.95)
"""Part of the schedule in which EasyCache may skip, as krita-ai-diffusion uses it."""

GUIDANCE_ONLY = ("sampler_cfg_function", "sampler_pre_cfg_function")
"""Options that work on cond and uncond together: without uncond, ComfyUI hands them zeros."""


@dataclass
class Forward:
    """The counter of one run."""

    items: int = 0
    """Images × conditionings that went through the diffusion model."""

    def count(self, executor: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Wrapper around the diffusion model itself, inside of what caches its outputs."""
        self.items += x[0].shape[0] if isinstance(x, list) else x.shape[0]
        return executor(x, *args, **kwargs)


def has_easycache(model: Any) -> bool:
    """Whether a node before ours put EasyCache or LazyCache on MODEL."""
    return "easycache" in model.model_options.get("transformer_options", {})


def improved(model: Any, parameters: OptimizedParameters) -> Any:
    """MODEL, or a clone of it with what core's own nodes do for the plan."""
    if parameters.rescale_cfg:
        from comfy_extras.nodes_model_advanced import RescaleCFG

        model = RescaleCFG().patch(model, parameters.rescale_cfg)[0]
    if parameters.improvements.easycache:
        from comfy_extras.nodes_easycache import EasyCacheNode

        model = EasyCacheNode.execute(model, parameters.improvements.easycache, *EASYCACHE_SPAN, False)[0]
    return model


class Guider(comfy.samplers.CFGGuider):
    """KSampler's guider, which counts what the model computes and leaves the negative conditioning out at the sigmas
    where the plan wants no guidance.

    It hooks into its own copy of MODEL's options, inside of all that other nodes hooked in. A clone of MODEL for every
    run would be another model to core, loaded anew, with a trace of each left behind.
    """

    def __init__(self, model: Any, parameters: OptimizedParameters, forward: Forward) -> None:
        super().__init__(model)
        self.cfg = parameters.guidance_scale
        self.improvements = parameters.improvements
        self.forward = forward

    def outer_sample(self, *args: Any, **kwargs: Any) -> Any:
        """See core. MODEL's own hooks are in the options by now."""
        add_wrapper_with_key(
            WrappersMP.DIFFUSION_MODEL, KEY, self.forward.count, self.model_options, is_model_options=True
        )
        return super().outer_sample(*args, **kwargs)

    def predict_noise(self, x: Any, timestep: Any, model_options: dict[str, Any], seed: int | None = None) -> Any:
        """See core."""
        limits = self.improvements.limits_guidance
        # Samplers that need uncond for themselves (CFG++) would compute it all the same.
        if not limits or model_options.get("disable_cfg1_optimization") or self.improvements.guides(float(timestep[0])):
            return super().predict_noise(x, timestep, model_options, seed)
        unguided = {name: value for name, value in model_options.items() if name not in GUIDANCE_ONLY}
        cfg, self.cfg = self.cfg, 1.0
        try:
            return super().predict_noise(x, timestep, unguided, seed)
        finally:
            self.cfg = cfg
