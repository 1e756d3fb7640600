"""A stored generation as the page shows it again: outputs of the nodes that made it, and what their widgets held."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from ..errors import ModelNotFoundError
from ..lora import LoRARecommendation
from ..registry import ModelRegistry
from .card import SETTINGS, card
from .choice_requests import ChoiceBasis, choice_report, chosen_settings, settings_report
from .explanation import Stage, as_text, explain
from .stages import Generation

Values = dict[str, Any]


def explanation_report(stage: Stage, registry: ModelRegistry) -> dict[str, list[Any]]:
    """Return the explanation of a stage as lists of JSON types: `text`, `explanation`, `card`, `generation_id`.

    `registry` knows the LoRAs' titles and trigger words, which are not stored with each generation.
    """
    explanation = explain(stage)
    ids = [stage.id] if isinstance(stage, Generation) else []
    return {
        "text": [as_text(explanation)],
        "explanation": [explanation.to_dict()],
        "card": [card(_with_library(stage, registry) if isinstance(stage, Generation) else stage)],
        "generation_id": ids,
    }


def rating_report(
    registry: ModelRegistry,
    generation_id: str,
    image_ids: Sequence[str],
    text: str = "",
    made: Generation | None = None,
) -> dict[str, list[Any]]:
    """Return what can be rated, as lists of JSON types: `text`, `feedback`, with what tells variations apart."""
    about = {}
    if made is not None:
        known = _with_library(made, registry).plan.loras
        loras = [f"{lora.title} {lora.suggested_alpha:g}" for lora in known]
        about = {"loras": ", ".join(loras), **chosen_settings(made.plan.recommendations)}
    return {"text": [text], "feedback": [{"generation_id": generation_id, "image_ids": [*image_ids], "about": about}]}


def node_outputs(generation: Generation, registry: ModelRegistry) -> dict[str, dict[str, list[Any]]]:
    """Return node type → the `ui` output with which its node told of this generation."""
    recommendations = _with_library(generation, registry).plan.recommendations
    return {
        "LoRARecommend": choice_report(recommendations),
        "ParamOptimize": {
            "text": [settings_report(recommendations)],
            "card": [card(recommendations, SETTINGS)],
            "settings": [chosen_settings(recommendations)],
        },
        "Explain": explanation_report(generation, registry),
        "Feedback": rating_report(registry, generation.id, generation.image_ids, made=generation),
    }


def _with_library(generation: Generation, registry: ModelRegistry) -> Generation:
    """The generation with what the library knows of its LoRAs now."""
    recommendations = generation.plan.recommendations
    loras = [_known(lora, registry) for lora in recommendations.suggested_loras]
    plan = replace(generation.plan, recommendations=replace(recommendations, suggested_loras=loras))
    return replace(generation, plan=plan)


def _known(lora: LoRARecommendation, registry: ModelRegistry) -> LoRARecommendation:
    try:
        return replace(lora, lora_metadata=registry.get_model(lora.lora_metadata.model_id))
    except ModelNotFoundError:
        return lora


def widget_values(generation: Generation) -> list[dict[str, Values]]:
    """Return for each image: node type → widget → the value that makes exactly this image again, whatever is learned.

    Where the images shared one noise, all of them are made again.
    """
    analysis, loras = generation.plan.recommendations.prompt_analysis, generation.plan.loras
    basis = ChoiceBasis.of(analysis.prompt, generation.plan.recommendations.model)
    selection = [
        {
            "lora": lora.lora_metadata.model_id.partition(":")[2],
            "strength": lora.suggested_alpha,
            "strength_clip": lora.alpha_clip,
            "trigger_words": [*lora.trigger_words],
        }
        for lora in loras
        if lora.lora_name not in {tag.name for tag in analysis.lora_tags}
    ]
    alone = len(set(generation.seeds)) == len(generation.seeds)
    return [
        {
            "PromptAnalyze": {"prompt": analysis.prompt, "negative_prompt": analysis.negative_prompt},
            "LoRARecommend": {
                "selection": json.dumps({"loras": selection, "chosen_for": asdict(basis)}, ensure_ascii=False),
                "variations": 1,
            },
            "ParamOptimize": {
                **chosen_settings(generation.plan_of(index).recommendations),
                "images": 1 if alone else len(generation.seeds),
                "variations": 1,
            },
            "IntelligentSampler": {
                "seed": seed,
                "control_after_generate": "fixed",
                "seeds_per_image": alone,
                "scout": 0,
                "pick": 0,
                "best_of": 0,
            },
        }
        for index, seed in enumerate(generation.seeds)
    ]
