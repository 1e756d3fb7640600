"""Settings of a plan that live on MODEL and conditioning: shift, guidance value, RescaleCFG, EasyCache.

What the user put there stays.
"""

from __future__ import annotations

import math
from typing import Any

import comfy.model_sampling
import node_helpers

from ...intelligence.generation.generation_messages import GenerationMessage
from ...intelligence.generation.stages import GenerationPlan
from ...intelligence.parameters import OptimizedParameters

SAMPLING = "model_sampling"
"""ComfyUI's name of the object that holds a MODEL's noise levels."""

SHIFTED_ATTRIBUTE = "_intelligent_generation_shift"
"""Attribute of the input MODEL with its shifted clones, by shift; and of what we put into them."""

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


def with_shift(model: Any, shift: float | None) -> Any:
    """Return MODEL with its flow schedule shifted, as core's ModelSamplingSD3 and ModelSamplingAuraFlow do it.

    MODEL itself where that is its shift already, where another node set one, where it has none, and for None. An equal
    clone is made once: ComfyUI would take each for another model.
    """
    sampling = model.get_model_object(SAMPLING)
    if shift is None or own_shift(model) is not None or _shift_of(sampling) in (None, shift):
        return model
    made: dict[float, Any] = model.__dict__.setdefault(SHIFTED_ATTRIBUTE, {})
    if shift not in made:
        made[shift] = model.clone()
        made[shift].add_object_patch(SAMPLING, _shifted(sampling, model.model.model_config, shift))
    return made[shift]


def own_shift(model: Any) -> float | None:
    """Return the shift of a sampling that another node put on MODEL (0: it has none); None: nobody did."""
    patch = model.object_patches.get(SAMPLING)
    return None if patch is None or hasattr(patch, SHIFTED_ATTRIBUTE) else _shift_of(patch) or 0.0


def _shift_of(sampling: Any) -> float | None:
    """Shift as ModelSamplingSD3 takes it, of which Flux's is the logarithm; None: no flow schedule."""
    if isinstance(sampling, comfy.model_sampling.ModelSamplingFlux):
        return math.exp(sampling.shift)
    return sampling.shift if isinstance(sampling, comfy.model_sampling.ModelSamplingDiscreteFlow) else None


class ShiftedSampling(comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST):
    """Flow schedule in the place of Flux's, as ModelSamplingAuraFlow sets it."""


def _shifted(sampling: Any, configuration: Any, shift: float) -> Any:
    flux = isinstance(sampling, comfy.model_sampling.ModelSamplingFlux)
    made = (ShiftedSampling if flux else type(sampling))(configuration)
    made.set_parameters(shift=shift, multiplier=1.0 if flux else sampling.multiplier)
    if hasattr(sampling, "noise_scale"):
        made.set_noise_scale(sampling.noise_scale)
    setattr(made, SHIFTED_ATTRIBUTE, True)
    return made


def with_guidance(conditioning: Any, guidance: float | None) -> Any:
    """Return CONDITIONING with the guidance value that the network reads, as core's FluxGuidance sets it; itself where
    it has one already, and for None."""
    if guidance is None or own_guidance(conditioning):
        return conditioning
    return node_helpers.conditioning_set_values(conditioning, {"guidance": guidance})


def own_guidance(conditioning: Any) -> list[float | None]:
    """Return the guidance values in CONDITIONING; None of them: switched off."""
    return [entries["guidance"] for _, entries in conditioning if "guidance" in entries]


def settled(plan: GenerationPlan, model: Any, positive: Any) -> tuple[GenerationPlan, Any, tuple[str, ...]]:
    """Return the plan with the shift and guidance that hold on this MODEL and CONDITIONING, the MODEL with the shift,
    and notes where the user's own hold."""
    parameters, notes = plan.parameters, []
    shift, guidance = own_shift(model), own_guidance(positive)
    if parameters.shift is not None and shift is not None and shift != parameters.shift:
        notes.append(GenerationMessage.OWN_SHIFT.format(own=shift, planned=parameters.shift))
        plan = plan.changed(shift=shift or None)
    if parameters.guidance is not None and guidance and set(guidance) != {parameters.guidance}:
        own = "off" if guidance[0] is None else f"{guidance[0]:g}"
        notes.append(GenerationMessage.OWN_GUIDANCE.format(own=own, planned=parameters.guidance))
        plan = plan.changed(guidance=guidance[0])
    return plan, with_shift(model, plan.parameters.shift), tuple(notes)
