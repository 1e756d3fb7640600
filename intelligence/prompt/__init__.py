"""Read prompts: text → PromptAnalysis."""

from .analysis import (
    ArtisticStyle,
    ComplexityCategory,
    ConceptCategory,
    ContentType,
    Intent,
    LoRATag,
    Negation,
    PromptAnalysis,
    Segment,
)
from .analyzer import PromptAnalyzer
from .prompt_syntax import disarm_lora_tags, parse, split_embeddings, strip_lora_tags, wanted_text
from .vocabulary import load_vocabulary

__all__ = [
    "ArtisticStyle",
    "ComplexityCategory",
    "ConceptCategory",
    "ContentType",
    "Intent",
    "LoRATag",
    "Negation",
    "PromptAnalysis",
    "PromptAnalyzer",
    "Segment",
    "disarm_lora_tags",
    "load_vocabulary",
    "parse",
    "split_embeddings",
    "strip_lora_tags",
    "wanted_text",
]
