"""LoRAs through ComfyUI's own loader code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import comfy.sd
import comfy.utils

from ...intelligence.errors import ModelNotFoundError, UnsupportedModelError
from ...intelligence.lora import LoRARecommendation

Stack = tuple[tuple[str, float, float], ...]
"""Rows of (file path, strength on the model, strength on the clip)."""


MEMO = "_intelligent_generation_loras"
"""Attribute of the input MODEL that keeps the last stack applied to it. An equal stack must not be patched again:
ComfyUI would take the new clone for another model and load its weights anew. It lives as long as the MODEL itself;
ComfyUI's own attachments would be carried into clones, and a weak dictionary kept alive by the clone's parent."""


@dataclass(frozen=True)
class _Patched:
    clip: Any
    stack: Stack
    result: tuple[Any, Any]


def apply(model: Any, clip: Any, loras: Sequence[LoRARecommendation]) -> tuple[Any, Any]:
    """MODEL and CLIP with all `loras` applied at their strengths; the inputs themselves when there is none.

    Raises ModelNotFoundError or UnsupportedModelError, naming the LoRA, for a file that is gone or cannot be read.
    """
    stack = tuple((lora.lora_metadata.local_path, lora.suggested_alpha, lora.alpha_clip) for lora in loras)
    stack = tuple(row for row in stack if row[1] or row[2])
    if not stack:
        return model, clip
    known = getattr(model, MEMO, None)
    if known and known.stack == stack and known.clip is clip:
        return known.result
    result = (model, clip)
    for path, strength, strength_clip in stack:
        result = comfy.sd.load_lora_for_models(*result, _load(path), strength, strength_clip)
    setattr(model, MEMO, _Patched(clip, stack, result))
    return result


def as_lora_stack(loras: Sequence[LoRARecommendation]) -> list[tuple[str, float, float]]:
    """LORA_STACK, the interchange type of other packs: (ComfyUI's LoRA name, strength_model, strength_clip)."""
    return [(lora.lora_metadata.model_id.partition(":")[2], lora.suggested_alpha, lora.alpha_clip) for lora in loras]


def _load(path: str) -> Any:
    try:
        return comfy.utils.load_torch_file(path, safe_load=True)
    except FileNotFoundError:
        raise ModelNotFoundError(f"the LoRA file {path} is gone: run again to choose from what is there") from None
    except Exception as error:
        raise UnsupportedModelError(f"the LoRA file {path} cannot be read: {error}") from error
