"""Carries a memory plan out through the hooks of a cloned MODEL: how many of its weights lie on the device, and whether
prompt and negative prompt go through it together.

A plan that needs neither leaves the MODEL as it is. Dynamic VRAM pages weights by itself: they are never touched there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import comfy.model_management as management
from comfy.patcher_extension import WrappersMP

from ...intelligence.config import OffloadStrategy
from ...intelligence.memory import MemoryPlan
from .device_memory import GIB, is_dynamic, loaded_on

KEY = "intelligent_generation_memory"


def apply_plan(model: Any, plan: MemoryPlan) -> Any:
    """A clone of MODEL that keeps to `plan`, whatever plan it kept to before; MODEL itself where nothing is to be done.

    The hook that splits guidance stands innermost: what others record or change around it stays whole.
    """
    hooks: dict[str, list[Any]] = {
        WrappersMP.PREPARE_SAMPLING: [PlaceWeights(plan)] if moves_weights(model, plan) else [],
        WrappersMP.CALC_COND_BATCH: [split_guidance] if plan.cfg_split else [],
    }
    there = all(model.get_wrappers(kind, KEY) == wanted for kind, wanted in hooks.items())
    around = model.get_all_wrappers(WrappersMP.CALC_COND_BATCH)
    if there and (not plan.cfg_split or around[-1] is split_guidance):
        return model
    model = model.clone()
    for kind, wanted in hooks.items():
        model.remove_wrappers_with_key(kind, KEY)
        for hook in wanted:
            model.add_wrapper_with_key(kind, KEY, hook)
    return model


def moves_weights(patcher: Any, plan: MemoryPlan) -> bool:
    """Whether the plan moves weights of this patcher. Where everything fits, core loads everything by itself; where it
    samples on the CPU or never unloads (`--highvram`), there is no other place for them."""
    elsewhere = patcher.load_device != patcher.offload_device
    return elsewhere and plan.strategy is not OffloadStrategy.FULL_GPU and not is_dynamic(patcher)


@dataclass(frozen=True)
class PlaceWeights:
    """Wrapper around core's preparation for sampling: corrects how many weights it left on the device."""

    plan: MemoryPlan

    def __call__(self, executor: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        prepared = executor(model, *args, **kwargs)
        *_, beside = prepared  # ControlNets and the like
        place_weights(model, self.plan, beside)
        return prepared


def place_weights(model: Any, plan: MemoryPlan, beside: Sequence[Any] = ()) -> None:
    """Bring the loaded MODEL to as many resident weights as the plan allows, other models off the device first.

    What core left off the device is loaded only into memory that is free beyond the planned activations.
    """
    target = min(model.model_size(), int(plan.weights_limit("unet") * GIB))
    make_room((model, *beside), plan, "unet")
    loaded = model.loaded_size()
    if loaded > target:
        model.partially_unload(model.offload_device, loaded - target)
        management.soft_empty_cache()
        return
    activations = int((plan.comfort["unet"] - plan.resident["unet"] - plan.context_gb) * GIB)
    spare = management.get_free_memory(model.load_device) - activations - management.extra_reserved_memory()
    if (more := min(target - loaded, spare)) > 0:
        model.partially_load(model.load_device, more + 1)  # a model is only loaded whole into more than its size


def make_room(patchers: Sequence[Any], plan: MemoryPlan, stage: str) -> None:
    """Unload other models from the device as far as they do not fit beside `patchers` and what `stage` takes."""
    device = patchers[0].load_device
    loaded = loaded_on(device)
    kept = [one for one in loaded if one.model in patchers]
    others = sum(one.model_loaded_memory() for one in loaded if one not in kept)
    limit = int(plan.weights_limit(stage) * GIB)
    room = limit - min(patchers[0].model_size(), limit)
    if others > room:
        management.free_memory(management.get_free_memory(device) + others - room, device, keep_loaded=kept)


def split_guidance(executor: Any, model: Any, conds: Any, x: Any, timestep: Any, options: Any) -> list[Any]:
    """Wrapper around the prediction for all conditionings: one forward after the other, each with half the memory."""
    return [prediction for cond in conds for prediction in executor(model, [cond], x, timestep, options)]
