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
    RefusedTag,
    Segment,
)
from .analyzer import PromptAnalyzer
from .lora_tags import disarm_lora_tags, strip_lora_tags
from .prompt_syntax import parse, split_embeddings, unescape, wanted_text
from .vocabulary import load_vocabulary, user_vocabulary

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
    "RefusedTag",
    "Segment",
    "disarm_lora_tags",
    "load_vocabulary",
    "parse",
    "split_embeddings",
    "strip_lora_tags",
    "unescape",
    "user_vocabulary",
    "wanted_text",
]
