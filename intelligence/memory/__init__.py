"""What the machine has, what a job needs, and the plan that fits one onto the other."""

from .manager import MemoryManager, Usage
from .offload import ModelOffloader, OffloadConfig
from .plan import MemoryPlan, Resources
from .pool import EvictionPolicy, ModelPool

__all__ = [
    "EvictionPolicy",
    "MemoryManager",
    "MemoryPlan",
    "ModelOffloader",
    "ModelPool",
    "OffloadConfig",
    "Resources",
    "Usage",
]
