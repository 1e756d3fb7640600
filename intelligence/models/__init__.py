"""What a model is: kind, architecture, family, and what is known of it."""

from .evidence import FamilyFinding, ModelEvidence
from .family import identify_family
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
]
