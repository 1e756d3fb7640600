"""Patches LoRAs into MODEL and CLIP with ComfyUI's own loader code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import comfy.sd
import comfy.utils

from ...intelligence.errors import ModelNotFoundError, UnsupportedModelError
from ...intelligence.lora import LoRARecommendation

Stack = tuple[tuple[str, int, float, float], ...]
"""Rows of (file path, modification time in ns, strength on the model, strength on the text encoders)."""

PATCHED_ATTRIBUTE = "_intelligent_generation_loras"
"""Attribute of the input MODEL with the last results of each node.

An equal stack must not be patched again: ComfyUI would take the new clone for another model and load its weights again.
ComfyUI's own attachments would be copied into clones, and a clone's parent would keep a weak dictionary alive.
"""


class Patched(NamedTuple):
    """MODEL and CLIP with LoRAs applied."""

    model: Any
    clip: Any
    """None: not connected."""
    counts: dict[str, int]
    """Path of a LoRA → number of weights that ComfyUI patched for it, over all times it was applied."""


def apply(model: Any, clip: Any, variants: Sequence[Sequence[LoRARecommendation]], node_id: str) -> list[Patched]:
    """Return MODEL and CLIP with the LoRAs of each of `variants` at their strengths; the inputs where none is loaded.

    Raises ModelNotFoundError or UnsupportedModelError, naming the file, for one that is missing or cannot be read.
    """
    memo: dict[str, tuple[Any, dict[Stack, Patched]]] = model.__dict__.setdefault(PATCHED_ATTRIBUTE, {})
    last_clip, last = memo.get(node_id, (None, {}))
    known = last if last_clip is clip else {}
    stacks = [_stack(loras) for loras in variants]
    patched = {stack: known.get(stack) or _patch(model, clip, stack) for stack in stacks if stack}
    memo[node_id] = clip, patched
    return [patched.get(stack, Patched(model, clip, {})) for stack in stacks]


def _stack(loras: Sequence[LoRARecommendation]) -> Stack:
    return tuple(
        (path, _modified_ns(path), lora.suggested_alpha, lora.alpha_clip)
        for lora in loras
        if (lora.suggested_alpha or lora.alpha_clip) and (path := lora.lora_metadata.local_path)
    )


def _patch(model: Any, clip: Any, stack: Stack) -> Patched:
    counts: dict[str, int] = {}
    for path, _, strength, strength_clip in stack:
        patched = comfy.sd.load_lora_for_models(model, clip, _load(path), strength, strength_clip)
        count = _patch_count(*patched) - _patch_count(model, clip)
        counts[path] = counts.get(path, 0) + count
        model, clip = patched if count else (model, clip)
    return Patched(model, clip, counts)


def _patch_count(model: Any, clip: Any) -> int:
    patchers = [model] if clip is None else [model, clip.patcher]
    return sum(len(patches) for patcher in patchers for patches in patcher.patches.values())


def as_lora_stack(loras: Sequence[LoRARecommendation]) -> list[tuple[str, float, float]]:
    """Return a LORA_STACK, the type of other packs: rows of (ComfyUI's LoRA name, strength_model, strength_clip)."""
    return [(lora.lora_metadata.model_id.partition(":")[2], lora.suggested_alpha, lora.alpha_clip) for lora in loras]


def _modified_ns(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except FileNotFoundError:
        raise _missing(path) from None


def _load(path: str) -> Any:
    try:
        return comfy.utils.load_torch_file(path, safe_load=True)
    except FileNotFoundError:
        raise _missing(path) from None
    except Exception as error:
        raise UnsupportedModelError(f"the LoRA file {path} cannot be read: {error}") from error


def _missing(path: str) -> ModelNotFoundError:
    return ModelNotFoundError(f"the LoRA file {path} is gone: run again to choose from the files that are there")
