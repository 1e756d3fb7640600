"""Which LoRA, at which strength, with which trigger words, and why."""

from .compose import ComposedPrompts, compose_prompts
from .recommendation import LoRAChoice, LoRARecommendation, RejectedLoRA
from .recommender import LoRARecommender

__all__ = [
    "ComposedPrompts",
    "LoRAChoice",
    "LoRARecommendation",
    "LoRARecommender",
    "RejectedLoRA",
    "compose_prompts",
]
