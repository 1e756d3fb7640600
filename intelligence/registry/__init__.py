"""Which models exist and what is known of them."""

from .evidence import FamilyFinding, ModelEvidence
from .metadata import Architecture, ExamplePrompt, Family, Finding, LoRAKind, ModelKind, ModelMetadata, TriggerSet

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
    "TriggerSet",
]
