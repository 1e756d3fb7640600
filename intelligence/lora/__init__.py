"""Which LoRA, at which strength, with which trigger words, and why."""

from .recommendation import MAX_STRENGTH, LoRAChoice, LoRARecommendation, RejectedLoRA
from .recommender import LoRARecommender
from .weave import Woven, weave

__all__ = [
    "MAX_STRENGTH",
    "LoRAChoice",
    "LoRARecommendation",
    "LoRARecommender",
    "RejectedLoRA",
    "Woven",
    "weave",
]
