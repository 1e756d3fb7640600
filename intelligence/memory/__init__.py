"""Memory of the machine and of a job, and the plan that fits one onto the other."""

from .manager import MemoryManager
from .memory_request import COMFYUI, DIFFUSERS, MemoryRequest, Rates
from .offload import ModelOffloader, OffloadConfig, carries, release_pipeline
from .plan import MemoryPlan, PlanOption, budget_bars, describe, peak_line
from .pool import EvictionPolicy, ModelPool
from .resources import Resources, detect_resources, device_name, hypothetical_gpu, weight_bytes
from .usage import track_usage

__all__ = [
    "COMFYUI",
    "DIFFUSERS",
    "EvictionPolicy",
    "MemoryManager",
    "MemoryPlan",
    "MemoryRequest",
    "ModelOffloader",
    "ModelPool",
    "OffloadConfig",
    "PlanOption",
    "Rates",
    "Resources",
    "budget_bars",
    "carries",
    "describe",
    "detect_resources",
    "device_name",
    "hypothetical_gpu",
    "peak_line",
    "release_pipeline",
    "track_usage",
    "weight_bytes",
]
