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
from .analyzer import PromptAnalyzer
from .grammar import Parsed, parse, strip_lora_tags

__all__ = [
    "ArtisticStyle",
    "ComplexityCategory",
    "ConceptCategory",
    "ContentType",
    "Intent",
    "LoRATag",
    "Parsed",
    "PromptAnalysis",
    "PromptAnalyzer",
    "QualityLevel",
    "Segment",
    "parse",
    "strip_lora_tags",
]
