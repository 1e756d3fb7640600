"""Models on this machine."""

from .enrich import enrich
from .registry import ModelRegistry
from .updates import newer_versions
from .user_corrections import Correction

__all__ = ["Correction", "ModelRegistry", "enrich", "newer_versions"]
