"""Models on this machine."""

from .enrich import enrich
from .registry import ModelRegistry

__all__ = ["ModelRegistry", "enrich"]
