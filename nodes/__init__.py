"""The pack's nodes for ComfyUI.

ComfyUI's start loads only their schemas: each node imports what it needs when it runs.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

from aiohttp import web
from comfy_api.latest import ComfyExtension, io
from server import PromptServer

from ..intelligence.config import name_data_folder
from . import routes
from .checkpoint_or_first import CheckpointOrFirst
from .embedded_demo_model import EmbeddedDemoModel
from .explain import Explain
from .feedback import Feedback
from .host import queued_prompts, users
from .host.core_nodes import core_nodes
from .host.library_scan import list_demo_loras
from .host.server_planner import home
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
    name_data_folder(home())
    routes.register()
    queued_prompts.register()
    users.register()
    list_demo_loras()
    for node_id, pack in _taken_ids():
        logging.warning("Intelligent Generation: node id %s is already taken by %s; ours replaces it.", node_id, pack)
    PromptServer.instance.app.on_startup.extend((_tell_replaced, _freeze_loaded))
    return IntelligentGeneration()


def _taken_ids() -> Iterator[tuple[str, str]]:
    """Yield our node ids that another pack holds, each with its module."""
    for node in NODES:
        node_id = node.GET_SCHEMA().node_id
        holder = core_nodes().NODE_CLASS_MAPPINGS.get(node_id)
        if holder is not None and holder is not node:
            yield node_id, getattr(holder, "RELATIVE_PYTHON_MODULE", holder.__module__)


async def _tell_replaced(app: web.Application) -> None:
    """Tell, once every pack is loaded, which ids were taken from us: ComfyUI leaves an id to the pack loaded last."""
    for node_id, pack in _taken_ids():
        message = "Intelligent Generation: %s took the node id %s; workflows get its node in place of ours. Remove or "
        logging.warning(message + "rename one of the two packs' folders to change which is loaded last.", pack, node_id)


async def _freeze_loaded(app: web.Application) -> None:
    """Take what is loaded before the server starts out of garbage collections, code nearly all of it, and no model.

    A full collection, such as ComfyUI makes after prompts, would hold the event loop for a quarter of a second.
    """
    gc.freeze()
