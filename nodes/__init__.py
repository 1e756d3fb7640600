"""The pack's nodes for ComfyUI.

ComfyUI's start loads only their schemas: each node imports what it needs when it runs.
"""

from __future__ import annotations

import logging

from comfy_api.latest import ComfyExtension, io

from . import routes
from .checkpoint_or_first import CheckpointOrFirst
from .embedded_demo_model import EmbeddedDemoModel
from .explain import Explain
from .feedback import Feedback
from .host import queued_prompts, users
from .host.core_nodes import core_nodes
from .host.library_scan import list_demo_loras
from .intelligent_sampler import IntelligentSampler
from .lora_recommend import LoRARecommend
from .memory_plan import MemoryPlan
from .param_optimize import ParamOptimize
from .prompt_analyze import PromptAnalyze
from .save_generation import SaveGeneration

NODES: list[type[io.ComfyNode]] = [
    PromptAnalyze,
    LoRARecommend,
    ParamOptimize,
    MemoryPlan,
    IntelligentSampler,
    Explain,
    Feedback,
    SaveGeneration,
    EmbeddedDemoModel,
    CheckpointOrFirst,
]


class IntelligentGeneration(ComfyExtension):
    """All nodes and the routes behind their widgets."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES


def load_extension() -> IntelligentGeneration:
    """Return the extension for ComfyUI, its routes registered: 0.8.0 does not call `on_load`."""
    routes.register()
    queued_prompts.register()
    users.register()
    list_demo_loras()
    for node in NODES:
        node_id = node.GET_SCHEMA().node_id
        taken = core_nodes().NODE_CLASS_MAPPINGS.get(node_id)
        if taken is not None and taken is not node:
            pack = getattr(taken, "RELATIVE_PYTHON_MODULE", taken.__module__)
            logging.warning(
                "Intelligent Generation: node id %s is already taken by %s; ours replaces it.", node_id, pack
            )
    return IntelligentGeneration()
