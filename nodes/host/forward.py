"""What happens at the model: forward items are counted, guidance is left out where the plan says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from comfy.patcher_extension import WrappersMP

from ...intelligence.parameters import Improvements, OptimizedParameters

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


def prepared(model: Any, parameters: OptimizedParameters) -> tuple[Any, Forward]:
    """A clone of MODEL with the plan's improvements, and the counter of what it computes."""
    improvements = parameters.improvements
    if parameters.rescale_cfg:
        from comfy_extras.nodes_model_advanced import RescaleCFG

        model = RescaleCFG().patch(model, parameters.rescale_cfg)[0]
    if improvements.easycache:
        from comfy_extras.nodes_easycache import EasyCacheNode

        model = EasyCacheNode.execute(model, improvements.easycache, *EASYCACHE_SPAN, False)[0]
    model = model.clone()
    if improvements.limits_guidance:
        model.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, KEY, _guidance(improvements))
    forward = Forward()
    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, KEY, forward.count)
    return model, forward


def _guidance(improvements: Improvements) -> Any:
    """Leaves the negative conditioning out at the sigmas where the plan wants no guidance."""

    def predict_noise(executor: Any, x: Any, timestep: Any, model_options: dict[str, Any], seed: int | None) -> Any:
        # Samplers that need uncond for themselves (CFG++) would compute it all the same.
        if improvements.guides(float(timestep[0])) or model_options.get("disable_cfg1_optimization"):
            return executor(x, timestep, model_options, seed)
        guider = executor.class_obj
        unguided = {name: value for name, value in model_options.items() if name not in GUIDANCE_ONLY}
        cfg, guider.cfg = guider.cfg, 1.0
        try:
            return executor(x, timestep, unguided, seed)
        finally:
            guider.cfg = cfg

    return predict_noise
