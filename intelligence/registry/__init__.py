"""Which models exist and what is known of them."""

from .evidence import FamilyFinding, ModelEvidence
from .family import identify_family
from .metadata import Architecture, ExamplePrompt, Family, Finding, LoRAKind, ModelKind, ModelMetadata, TriggerSet
from .registry import CleanupReport, ModelRegistry
from .scan import ScanReport

__all__ = [
    "Architecture",
    "CleanupReport",
    "ExamplePrompt",
    "Family",
    "FamilyFinding",
    "Finding",
    "LoRAKind",
    "ModelEvidence",
    "ModelKind",
    "ModelMetadata",
    "ModelRegistry",
    "ScanReport",
    "TriggerSet",
    "identify_family",
]
