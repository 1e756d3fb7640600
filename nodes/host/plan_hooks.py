"""Applies a memory plan through hooks of a cloned MODEL: how many of its weights are on the device, and whether prompt
and negative prompt share a forward batch.

A plan that needs neither leaves the MODEL as it is. Weights that dynamic VRAM pages are never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import comfy.model_management as management
from comfy.patcher_extension import WrappersMP

from ...intelligence.config import OffloadStrategy
from ...intelligence.memory import MemoryPlan
from ...intelligence.units import BYTES_PER_GIB
from .device_memory import is_dynamic, is_shared_out, loaded_on

KEY = "intelligent_generation_memory"


def apply_plan(model: Any, plan: MemoryPlan) -> Any:
    """Return a clone of MODEL that keeps to `plan` instead of an earlier one, or MODEL itself where it does so already.

    The hook that splits guidance is innermost, so that the hooks of others see whole batches; it is left out where
    ComfyUI shares the conditionings out among devices, which would each have to wait for the others.
    """
    splits = plan.cfg_split and not is_shared_out(model)
    hooks: dict[str, list[Any]] = {
        WrappersMP.PREPARE_SAMPLING: [PlaceWeights(plan)] if moves_weights(model, plan) else [],
        WrappersMP.CALC_COND_BATCH: [split_guidance] if splits else [],
    }
    hooked = all(model.get_wrappers(kind, KEY) == wanted for kind, wanted in hooks.items())
    wrappers = model.get_all_wrappers(WrappersMP.CALC_COND_BATCH)
    if hooked and (not splits or wrappers[-1] is split_guidance):
        return model
    model = model.clone()
    for kind, wanted in hooks.items():
        model.remove_wrappers_with_key(kind, KEY)
        for hook in wanted:
            model.add_wrapper_with_key(kind, KEY, hook)
    return model


def moves_weights(patcher: Any, plan: MemoryPlan) -> bool:
    """Return whether the plan moves weights of this patcher.

    It does not where everything fits, and where ComfyUI has no other place for them: on a CPU, or with `--highvram`.
    """
    elsewhere = patcher.load_device != patcher.offload_device
    return elsewhere and plan.strategy is not OffloadStrategy.FULL_GPU and not is_dynamic(patcher)


@dataclass(frozen=True)
class PlaceWeights:
    """Wrapper around ComfyUI's preparation for sampling: corrects how many weights are on the device."""

    plan: MemoryPlan

    def __call__(self, executor: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        prepared = executor(model, *args, **kwargs)
        *_, companions = prepared  # ControlNets and the like
        place_weights(model, self.plan, companions)
        return prepared


def place_weights(model: Any, plan: MemoryPlan, companions: Sequence[Any] = ()) -> None:
    """Bring the loaded MODEL to as many resident weights as the plan allows; other models leave the device first.

    Weights that ComfyUI left off the device are loaded only into memory that the planned activations leave free.
    """
    target = min(model.model_size(), int(plan.weights_limit("unet") * BYTES_PER_GIB))
    make_room((model, *companions), plan, "unet")
    loaded = model.loaded_size()
    if loaded > target:
        model.partially_unload(model.offload_device, loaded - target)
        management.soft_empty_cache()
        return
    activations = int((plan.reserved_gb["unet"] - plan.resident["unet"] - plan.context_gb) * BYTES_PER_GIB)
    spare = management.get_free_memory(model.load_device) - activations - management.extra_reserved_memory()
    if (more := min(target - loaded, spare)) > 0:
        model.partially_load(model.load_device, more + 1)  # a model is only loaded whole into more than its size


def make_room(patchers: Sequence[Any], plan: MemoryPlan, stage: str) -> None:
    """Unload other models from the device until `patchers` and the memory that `stage` takes fit."""
    device = patchers[0].load_device
    loaded = loaded_on(device)
    kept = [record for record in loaded if record.model in patchers]
    others = sum(record.model_loaded_memory() for record in loaded if record not in kept)
    limit = int(plan.weights_limit(stage) * BYTES_PER_GIB)
    room = limit - min(patchers[0].model_size(), limit)
    if others > room:
        management.free_memory(management.get_free_memory(device) + others - room, device, keep_loaded=kept)


def split_guidance(executor: Any, model: Any, conds: Any, x: Any, timestep: Any, options: Any) -> list[Any]:
    """Wrap the prediction for all conditionings: one forward batch for each, with half the memory."""
    return [prediction for cond in conds for prediction in executor(model, [cond], x, timestep, options)]
