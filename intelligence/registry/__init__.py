"""Which models exist and what is known of them."""

from .evidence import FamilyFinding, ModelEvidence
from .family import identify_family
from .hashing import HashReport
from .hubs import CachedRepo, CivitAI, EnrichReport, HuggingFace, SearchPage, enrich
from .kinds import Architecture, ExamplePrompt, Family, Finding, LoRAKind, ModelKind, TriggerSet
from .metadata import ModelMetadata
from .previews import Preview
from .registry import CleanupReport, ModelRegistry, RegistryStatus
from .scan import ScanReport

__all__ = [
    "Architecture",
    "CachedRepo",
    "CivitAI",
    "CleanupReport",
    "EnrichReport",
    "ExamplePrompt",
    "Family",
    "FamilyFinding",
    "Finding",
    "HashReport",
    "HuggingFace",
    "LoRAKind",
    "ModelEvidence",
    "ModelKind",
    "ModelMetadata",
    "ModelRegistry",
    "Preview",
    "RegistryStatus",
    "ScanReport",
    "SearchPage",
    "TriggerSet",
    "enrich",
    "identify_family",
]
