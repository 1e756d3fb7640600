"""Steps, cfg, size, sampler, scheduler, and how long it will take."""

from .parameters import OptimizedParameters

__all__ = ["OptimizedParameters"]
