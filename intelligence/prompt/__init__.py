"""Text → PromptAnalysis."""

from .analysis import (
    ArtisticStyle,
    ComplexityCategory,
    ConceptCategory,
    ContentType,
    Intent,
    LoRATag,
    PromptAnalysis,
    QualityLevel,
    Segment,
)

__all__ = [
    "ArtisticStyle",
    "ComplexityCategory",
    "ConceptCategory",
    "ContentType",
    "Intent",
    "LoRATag",
    "PromptAnalysis",
    "QualityLevel",
    "Segment",
]
