"""Intelligent Generation: from a prompt to a chosen, planned, sampled, explained and rated image.

Everything public is named here and imported on first use, so that importing the package stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    ".config": (
        "BatchConfig",
        "GenerationConstraints",
        "LoRAPreferences",
        "MemorySettings",
        "OffloadStrategy",
        "OllamaConfig",
        "OperationMode",
        "PipelineConfig",
        "Priority",
        "VariationStrategy",
    ),
    ".errors": (
        "BrokenImageError",
        "ConfirmationRequiredError",
        "HubError",
        "IntelligentGenerationError",
        "InvalidInputError",
        "MissingDependencyError",
        "ModelNotFoundError",
        "OutOfMemoryError",
        "StorageError",
        "UnknownGenerationError",
        "UnsupportedModelError",
    ),
    ".generation.generation_result": ("GenerationMetadata", "GenerationResult", "LoRAInfo"),
    ".generation.pipeline": ("BatchProgress", "IntelligentGenerationPipeline"),
    ".generation.scouting": ("Scouting",),
    ".generation.stages": ("Generation", "GenerationExplanation", "GenerationPlan", "Recommendations"),
    ".learning": ("Feedback", "LearningEngine", "Preferences"),
    ".lora": ("LoRARecommendation", "LoRARecommender"),
    ".memory": ("EvictionPolicy", "MemoryManager", "MemoryPlan", "ModelOffloader", "ModelPool", "Resources"),
    ".models": ("Architecture", "Family", "ModelEvidence", "ModelKind", "ModelMetadata"),
    ".parameters": ("Improvements", "OptimizedParameters", "ParameterOptimizer"),
    ".prompt": ("PromptAnalysis", "PromptAnalyzer"),
    ".records": ("Reason",),
    ".registry": ("ModelRegistry",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
