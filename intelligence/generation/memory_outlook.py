"""Memory plans of a kind of model before any file of it is there."""

from __future__ import annotations

from dataclasses import replace

from ..config import require
from ..learning import LearningEngine
from ..memory import MemoryManager, MemoryPlan, MemoryRequest, hypothetical_gpu
from ..memory.footprints import known_models
from ..models import Architecture
from ..parameters.parameters import MAX_SIDE, MIN_SIDE
from ..parameters.speed import learn, timing_key
from ..parameters.workload import Work


def plan_ahead(
    request: MemoryRequest,
    architecture: str,
    memory: MemoryManager,
    learning: LearningEngine,
    vram_gb: float | None = None,
) -> MemoryPlan:
    """Return how a job fits into this machine's memory.

    Args:
        architecture: `sdxl`, `flux` …
        vram_gb: GiB of another graphics card; None: this machine as it is.

    Raises InvalidInputError for an architecture whose networks are not known or a size that no picture has,
    StorageError.
    """
    for name, side in (("width", request.width), ("height", request.height)):
        require(MIN_SIDE <= side <= MAX_SIDE, f"{name} must be {MIN_SIDE} to {MAX_SIDE}, got {side}")
    names = sorted({model.architecture for model in known_models()})
    require(architecture in names, f"architecture: {architecture} is none of {', '.join(names)}")
    known = Architecture(architecture)
    resources = memory.detect_resources()
    key = timing_key(resources.device, known, request.weights_gb.get("unet"))
    timings = learning.timings(key)
    if vram_gb is not None:
        resources, key, timings = hypothetical_gpu(vram_gb, resources), "cuda", []
    work = Work(request.width, request.height, request.items, request.steps * request.images, request.images)
    rates = learn(timings, key).rates(work)
    return memory.plan(replace(request, architecture=known), rates=rates, resources=resources)
