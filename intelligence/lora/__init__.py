"""Which LoRA, at which strength, with which trigger words, and why."""

from .recommendation import MAX_STRENGTH, LoRAChoice, LoRARecommendation, RejectedLoRA

__all__ = ["MAX_STRENGTH", "LoRAChoice", "LoRARecommendation", "RejectedLoRA"]
