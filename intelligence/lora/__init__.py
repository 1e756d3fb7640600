"""Choose LoRAs, their strengths and trigger words, with reasons."""

from .compose import compose_prompts, without_added_words
from .recommendation import LoRAChoice, LoRARecommendation, NearLoRA, RejectedLoRA
from .recommender import LoRARecommender

__all__ = [
    "LoRAChoice",
    "LoRARecommendation",
    "LoRARecommender",
    "NearLoRA",
    "RejectedLoRA",
    "compose_prompts",
    "without_added_words",
]
