"""The host that runs plans with diffusers, without ComfyUI."""

from .host import DiffusersHost
from .loader import ResolvedModel, resolve_base_model

__all__ = ["DiffusersHost", "ResolvedModel", "resolve_base_model"]
