"""Read prompts: text → PromptAnalysis."""

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
from .prompt_syntax import Parsed, disarm_lora_tags, parse, split_embeddings, strip_lora_tags
from .vocabulary_files import load_vocabulary

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
    "disarm_lora_tags",
    "load_vocabulary",
    "parse",
    "split_embeddings",
    "strip_lora_tags",
]
