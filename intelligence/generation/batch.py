"""Variations of a batch: seeds, neighbouring settings, other LoRAs."""

from __future__ import annotations

import secrets
from dataclasses import replace

from ..config import MAX_SEED, check_seed
from ..lora import LoRARecommendation
from .planner import Planner
from .stages import AnyRecommendations, Recommendations


def seeds_from(base_seed: int | None, count: int) -> list[int]:
    """Return `count` different seeds counting up from `base_seed` (0 is a seed) or a random one; 0 follows the last."""
    first = secrets.randbelow(2**32) if base_seed is None else check_seed(base_seed)
    return [(first + index) % (MAX_SEED + 1) for index in range(count)]


def parameter_variants(planner: Planner, recommendations: Recommendations, count: int) -> list[Recommendations]:
    """Return the recommendations as they are, then with neighbouring settings to compare: at most `count`."""
    neighbours = planner.optimizer.neighbours(recommendations.suggested_params, count)
    return [replace(recommendations, suggested_params=other) for other in neighbours]


def lora_variants(
    planner: Planner, recommendations: AnyRecommendations, count: int, *, quality_tags: bool, dense_text: bool = True
) -> list[AnyRecommendations]:
    """Return the recommendations as they are, then with other LoRAs: at most `count` sets, all different.

    The last chosen LoRA is replaced by the next in rank, then each chosen one stands alone, then none, then the last is
    replaced by those further down. LoRAs that the user named stay in every set.

    Args:
        dense_text: see `LoRAPreferences`.
    """
    if count == 1:
        return [recommendations]
    chosen = recommendations.suggested_loras
    fixed = [lora for lora in chosen if lora.named]
    free = [lora for lora in chosen if not lora.named]
    ranked = planner.recommender(dense_text).rank(recommendations.prompt_analysis, recommendations.model)
    others = [lora for lora in ranked if lora.lora_name not in {known.lora_name for known in chosen}]
    last_replaced = [[*free[:-1], other] for other in others]
    sets = [free, *last_replaced[:1], *([lora] for lora in free), [], *last_replaced[1:]]
    distinct: dict[frozenset[str], list[LoRARecommendation]] = {}
    for loras in sets:
        distinct.setdefault(frozenset(lora.lora_name for lora in loras), loras)
    kept = list(distinct.values())[:count]
    return [
        planner.compose(
            replace(recommendations, suggested_loras=[*fixed, *loras], variants=len(kept)), quality_tags=quality_tags
        )
        for loras in kept
    ]
