"""Steps, cfg, size, sampler, scheduler, and how long it will take."""

from .optimizer import ParameterOptimizer
from .parameters import Improvements, OptimizedParameters
from .profiles import Profile, profile, profile_for
from .samplers import a1111_name
from .speed import TimeEstimate

__all__ = [
    "Improvements",
    "OptimizedParameters",
    "ParameterOptimizer",
    "Profile",
    "TimeEstimate",
    "a1111_name",
    "profile",
    "profile_for",
]
