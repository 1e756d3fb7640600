"""Which models exist and what is known of them."""

from .evidence import FamilyFinding, ModelEvidence
from .family import identify_family
from .hashing import HashReport
from .kinds import Architecture, ExamplePrompt, Family, Finding, LoRAKind, ModelKind, TriggerSet
from .metadata import ModelMetadata
from .previews import Preview
from .registry import CleanupReport, ModelRegistry, RegistryStatus
from .scan import ScanReport

__all__ = [
    "Architecture",
    "CleanupReport",
    "ExamplePrompt",
    "Family",
    "FamilyFinding",
    "Finding",
    "HashReport",
    "LoRAKind",
    "ModelEvidence",
    "ModelKind",
    "ModelMetadata",
    "ModelRegistry",
    "Preview",
    "RegistryStatus",
    "ScanReport",
    "TriggerSet",
    "identify_family",
]
