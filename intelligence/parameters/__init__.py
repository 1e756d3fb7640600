"""Steps, cfg, size, sampler, scheduler, and how long it will take."""

from .optimizer import ParameterOptimizer
from .parameters import Improvements, OptimizedParameters
from .profiles import Profile, profile
from .samplers import a1111_name
from .timing import step_tflop, throughput_key

__all__ = [
    "Improvements",
    "OptimizedParameters",
    "ParameterOptimizer",
    "Profile",
    "a1111_name",
    "profile",
    "step_tflop",
    "throughput_key",
]
