"""Carries out a plan with diffusers: the host that stands alone."""

from .host import DiffusersHost
from .loader import ResolvedModel, resolve_base_model

__all__ = ["DiffusersHost", "ResolvedModel", "resolve_base_model"]
