"""The part of a graph, in ComfyUI's API format, in which the pack's nodes sample pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..config import AUTO, LoRAPreferences

Node = dict[str, Any]

CLIP = ["2", 1]
"""Link to the loader's text encoders."""

RECOMMENDER = "3"
"""Id of the node that applies the LoRAs."""

SAMPLER = "8"
"""Id of the node that samples."""


def node(class_type: str, **inputs: Any) -> Node:
    """Return a node of a prompt."""
    return {"class_type": class_type, "inputs": inputs}


def pack_graph(
    loader: Node,
    prompts: tuple[str, str],
    selection: Sequence[Mapping[str, Any]],
    loras: Mapping[str, Any],
    settings: Mapping[str, Any],
    sampling: Mapping[str, Any],
) -> dict[str, Node]:
    """Return the nodes from the prompt to the sampler, whose seeds count up a picture.

    Args:
        loader: the node that loads the model.
        prompts: the positive and the negative one.
        selection: the LoRAs of LoRARecommend's `selection`.
        loras: further inputs of LoRARecommend; settings: of ParamOptimize; sampling: of IntelligentSampler.
    """
    return {
        "1": node("PromptAnalyze", prompt=prompts[0], negative_prompt=prompts[1], analyzer="rules"),
        "2": loader,
        RECOMMENDER: node(
            "LoRARecommend",
            analysis=["1", 0],
            model=["2", 0],
            clip=CLIP,
            selection=json.dumps(selection),
            on_unconfirmed="error",
            max_loras=LoRAPreferences.max_loras,
            min_confidence=LoRAPreferences.min_confidence,
            allow_style_mixing=False,
            variations=1,
            **loras,
        ),
        "4": node("CLIPTextEncode", text=["3", 2], clip=["3", 1]),
        "5": node("CLIPTextEncode", text=["3", 3], clip=["3", 1]),
        "6": node(
            "ParamOptimize",
            recommendations=["3", 4],
            model=["3", 0],
            priority="BALANCED",
            max_time_seconds=0.0,
            max_vram_gb=0.0,
            aspect=AUTO,
            variations=1,
            **settings,
        ),
        "7": node("MemoryPlan", model=["3", 0], vae=["2", 2], parameters=["6", 0], strategy="auto", tile_size="auto"),
        SAMPLER: node(
            "IntelligentSampler",
            model=["7", 0],
            positive=["4", 0],
            negative=["5", 0],
            vae=["2", 2],
            plan=["7", 1],
            seeds_per_image=True,
            **sampling,
        ),
    }


def saver(prefix: str) -> Node:
    """Return the node that saves the sampler's pictures. `prefix`: of the files in the server's output folder."""
    return node("SaveGeneration", images=[SAMPLER, 0], generation=[SAMPLER, 2], filename_prefix=prefix, format="png")
