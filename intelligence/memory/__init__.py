"""What the machine has, what a job needs, and the plan that fits one onto the other."""

from .manager import MemoryManager, Usage
from .offload import ModelOffloader, OffloadConfig, carries, release_pipeline
from .plan import COMFYUI, DIFFUSERS, HostTraits, MemoryPlan, Option, Resources
from .pool import EvictionPolicy, ModelPool
from .resources import card
from .text import describe, peak_line, plan_lines

__all__ = [
    "COMFYUI",
    "DIFFUSERS",
    "EvictionPolicy",
    "HostTraits",
    "MemoryManager",
    "MemoryPlan",
    "ModelOffloader",
    "ModelPool",
    "OffloadConfig",
    "Option",
    "Resources",
    "Usage",
    "card",
    "carries",
    "describe",
    "peak_line",
    "plan_lines",
    "release_pipeline",
]
