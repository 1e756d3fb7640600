"""Which models lie on this machine."""

from .enrich import EnrichReport, enrich
from .hashing import HashReport
from .previews import Preview
from .registry import ModelRegistry
from .registry_status import RegistryStatus
from .scan import ScanReport

__all__ = [
    "EnrichReport",
    "HashReport",
    "ModelRegistry",
    "Preview",
    "RegistryStatus",
    "ScanReport",
    "enrich",
]
