"""Which LoRA, at which strength, with which trigger words, and why."""

from .compose import Woven, weave
from .recommendation import LoRAChoice, LoRARecommendation, RejectedLoRA
from .recommender import LoRARecommender

__all__ = [
    "LoRAChoice",
    "LoRARecommendation",
    "LoRARecommender",
    "RejectedLoRA",
    "Woven",
    "weave",
]
