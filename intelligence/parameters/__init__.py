"""Steps, cfg, size, sampler, scheduler, and how long it will take."""

from .optimizer import ParameterOptimizer
from .parameters import Improvements, ModelGuidance, OptimizedParameters, ParameterRequest
from .profiles import find_profile, profile_for
from .samplers import a1111_name
from .speed import TimeEstimate

__all__ = [
    "Improvements",
    "ModelGuidance",
    "OptimizedParameters",
    "ParameterOptimizer",
    "ParameterRequest",
    "TimeEstimate",
    "a1111_name",
    "find_profile",
    "profile_for",
]
