"""Link types of the pack, and helpers for schemas that all supported ComfyUI versions accept."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import comfy.samplers
from comfy_api.latest import io

from ..intelligence.config import AUTO
from ..intelligence.models import Family

PromptAnalysisType = io.Custom("PROMPT_ANALYSIS")
RecommendationsType = io.Custom("LORA_RECOMMENDATIONS")
ParametersType = io.Custom("GENERATION_PARAMETERS")
PlanType = io.Custom("MEMORY_PLAN")
GenerationType = io.Custom("GENERATION")
LoraStackType = io.Custom("LORA_STACK")
RecommendationsOrAnalysisType = io.Custom("LORA_RECOMMENDATIONS,PROMPT_ANALYSIS")
AnyStageType = io.Custom("GENERATION,MEMORY_PLAN,GENERATION_PARAMETERS,LORA_RECOMMENDATIONS,PROMPT_ANALYSIS")


class _AnyOptions(list):
    """Options of a combo output that links to any combo: other packs replace the core lists by longer ones."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (list, str))

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None


SamplerType = io.Custom(_AnyOptions(comfy.samplers.KSampler.SAMPLERS))
SchedulerType = io.Custom(_AnyOptions(comfy.samplers.KSampler.SCHEDULERS))

ADVANCED = {"advanced": True} if "advanced" in inspect.signature(io.Input.__init__).parameters else {}
"""Keyword of inputs that are shown only on request, where this ComfyUI has it (0.8.0 has not)."""


def shown_as(text: str, value: float = 0) -> dict[str, Any]:
    """Return the keyword of a number input that the page shows as `text` where it is `value`."""
    return {"extra_dict": {"shown_as": [value, text]}}


_SCHEMA_FIELDS = {field.name for field in dataclasses.fields(io.Schema)}


def schema(**fields: Any) -> io.Schema:
    """Return an `io.Schema` in our category, without fields that this ComfyUI lacks (0.8.0: `search_aliases`)."""
    known = {name: value for name, value in fields.items() if name in _SCHEMA_FIELDS}
    return io.Schema(category="intelligent generation", **known)


def family_input(automatic: str) -> Any:
    """Return the widget in which the user names the kind of checkpoint; `automatic` describes `auto` in its tooltip."""
    return io.Combo.Input(
        "model_family",
        options=[AUTO, *(family.value for family in Family if family not in (Family.DEMO, Family.UNKNOWN))],
        default=AUTO,
        optional=True,
        tooltip=f"The kind of checkpoint. auto: {automatic}",
        **ADVANCED,
    )
