"""The pipeline: from a prompt to a rated image."""

from .pipeline import BatchProgress, IntelligentGenerationPipeline
from .result import GenerationMetadata, GenerationResult, LoRAInfo
from .story import Generation, GenerationExplanation, GenerationPlan, Recommendations

__all__ = [
    "BatchProgress",
    "Generation",
    "GenerationExplanation",
    "GenerationMetadata",
    "GenerationPlan",
    "GenerationResult",
    "IntelligentGenerationPipeline",
    "LoRAInfo",
    "Recommendations",
]
