"""The card of a stage: what was chosen as data, for a page to draw in its own language.

Decides nothing and writes no sentence: every reason is handed on with its message's key and arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Any

from ..memory import MemoryPlan
from ..parameters import OptimizedParameters
from ..prompt import PromptAnalysis
from ..records import Reason
from .explanation import Stage
from .stages import BEST_OF, Generation, GenerationPlan, PromptRecommendations, Recommendations

Card = dict[str, Any]
"""JSON types: `prompt`, `negative`, `loras`, `left_out`, `settings`, `time`, `memory`, `seeds`, `notes`, by part."""

CHOICE = ("prompt", "loras")
"""Parts that LoRA Recommend shows."""

SETTINGS = ("settings",)
"""Parts that Param Optimize shows."""

MEMORY = ("memory",)
"""Parts that Memory Plan shows."""

EVERYTHING = ("prompt", "loras", "settings", "time", "memory", "run")

_WORDS = re.compile(r"\s+|[,.;:!?()]|[^\s,.;:!?()]+")


def card(stage: Stage, parts: Iterable[str] = EVERYTHING) -> Card:
    """Return what was chosen up to `stage`, of these parts."""
    generation = stage if isinstance(stage, Generation) else None
    plan = generation.plan if generation else stage if isinstance(stage, GenerationPlan) else None
    recommendations = plan.recommendations if plan else stage if isinstance(stage, PromptRecommendations) else None
    analysis = recommendations.prompt_analysis if recommendations else stage
    assert isinstance(analysis, PromptAnalysis)
    made: Card = {}
    parts = tuple(parts)
    for part in parts:
        if part == "prompt":
            made |= _prompts(analysis, recommendations)
        elif part == "loras" and recommendations:
            made |= _loras(recommendations)
        elif part == "settings" and isinstance(recommendations, Recommendations):
            rows = [*_settings(recommendations.suggested_params), *_best_of(generation)]
            made |= {"settings": [row for row in rows if row["setting"] != "time" or "time" not in parts]}
        elif part == "time" and isinstance(recommendations, Recommendations):
            made |= {"time": _time(recommendations.suggested_params, generation)}
        elif part == "memory" and plan:
            made |= {"memory": _memory(plan.memory, generation)}
            if "time" in parts:
                made["memory"]["seconds"] = None
        elif part == "run" and generation:
            made |= {"seeds": [str(seed) for seed in generation.seeds], "notes": [*generation.notes]}
    return made


def reason_data(reason: Reason) -> dict[str, Any]:
    """Return a reason as JSON: its setting, its English text, and what a translation needs."""
    data = {"setting": reason.setting, "text": reason.evidence, "key": reason.message, "arguments": reason.arguments}
    return {**data, "otherwise": reason.otherwise} if reason.otherwise else data


def added_parts(before: str, after: str) -> list[list[Any]]:
    """Return `after` as pieces of text, each with True where `before` lacks it."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    pieces: list[list[Any]] = []
    for change, _, _, start, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if start < end:
            pieces.append(["".join(new[start:end]), change != "equal"])
    return pieces


def _prompts(analysis: PromptAnalysis, recommendations: PromptRecommendations | None) -> Card:
    reasons = [*analysis.reasons, *(recommendations.reasons if recommendations else ())]
    made: Card = {"why": [reason_data(reason) for reason in reasons]}
    if recommendations is None:
        return {"prompt": [[analysis.prompt, False]], "negative": [[analysis.negative_prompt, False]], **made}
    return {
        "prompt": added_parts(analysis.prompt, recommendations.prompt),
        "negative": added_parts(analysis.negative_prompt, recommendations.negative_prompt),
        **made,
    }


def _loras(recommendations: PromptRecommendations) -> Card:
    chosen = [
        {
            "id": lora.lora_metadata.model_id,
            "name": lora.title,
            "strength": lora.suggested_alpha,
            "strength_clip": lora.alpha_clip,
            "confidence": round(lora.confidence_score, 3),
            "named": lora.named,
            "why": [reason_data(reason) for reason in lora.reasons],
        }
        for lora in recommendations.suggested_loras
    ]
    rejected = [(each.title or each.lora_name, each.reason) for each in recommendations.rejected]
    left_out = [{"name": name, "why": [reason_data(reason)]} for name, reason in rejected]
    return {"loras": chosen, "left_out": left_out}


def _settings(parameters: OptimizedParameters) -> list[dict[str, Any]]:
    """Return a row a setting: its value as people write it, and the reasons; other reasons follow without a value."""
    values = {
        "steps": str(parameters.num_steps),
        "cfg": f"{parameters.guidance_scale:g}",
        "guidance": "" if parameters.guidance is None else f"{parameters.guidance:g}",
        "sampler": parameters.sampler_name,
        "scheduler": parameters.scheduler,
        "size": f"{parameters.width}×{parameters.height}",
        "images": str(parameters.batch_size) if parameters.batch_size > 1 else "",
    }
    why: dict[str, list[dict[str, Any]]] = {}
    for reason in parameters.reasons:
        why.setdefault(reason.setting, []).append(reason_data(reason))
    rows = [{"setting": name, "value": value, "why": why.pop(name, [])} for name, value in values.items() if value]
    return rows + [{"setting": name, "value": "", "why": reasons} for name, reasons in why.items()]


def _best_of(generation: Generation | None) -> list[dict[str, Any]]:
    if generation is None or generation.best_of is None:
        return []
    found = generation.best_of
    value = f"{found.finished + 1}/{len(found.seeds)}"
    return [{"setting": BEST_OF, "value": value, "why": [reason_data(reason) for reason in found.reasons]}]


def _time(parameters: OptimizedParameters, generation: Generation | None) -> dict[str, Any]:
    return {
        "predicted": parameters.estimated_time_seconds,
        "between": parameters.time_interval_seconds,
        "limit": parameters.max_time_seconds,
        "took": generation.generation_time_seconds if generation else None,
    }


def _memory(plan: MemoryPlan, generation: Generation | None) -> dict[str, Any]:
    return {
        "device": plan.device,
        "strategy": plan.strategy.value,
        "predicted": plan.predicted_peak_gb,
        "budget": plan.budget_gb,
        "peak": generation.peak_vram_gb + plan.context_gb if generation and generation.peak_vram_gb else None,
        "fits": plan.fits,
        "stages": plan.stages,
        "seconds": plan.seconds,
        "why": [reason_data(reason) for reason in plan.reasons],
    }
