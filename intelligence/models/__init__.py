"""Facts about a model: kind, architecture, family, and metadata."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .evidence import FamilyFinding, ModelEvidence, named_family
    from .family_detection import identify_family
    from .kinds import Architecture, ExamplePrompt, Family, Finding, LoRAKind, ModelKind, TriggerSet
    from .metadata import ModelMetadata, ModelSummary

__all__ = [
    "Architecture",
    "ExamplePrompt",
    "Family",
    "FamilyFinding",
    "Finding",
    "LoRAKind",
    "ModelEvidence",
    "ModelKind",
    "ModelMetadata",
    "ModelSummary",
    "TriggerSet",
    "identify_family",
    "named_family",
]


def __getattr__(name: str) -> Any:
    """Import a name on first use: the start of ComfyUI needs the kinds alone."""
    if name in __all__:
        for home in ("kinds", "evidence", "metadata", "family_detection"):
            module = import_module(f".{home}", __name__)
            if hasattr(module, name):
                globals()[name] = getattr(module, name)
                return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
