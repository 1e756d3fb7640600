"""The graph, in ComfyUI's API format, that carries out a plan with the pack's nodes: nothing in it is chosen anew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from ...config import AUTO, EMBEDDED_MODEL, LoRAPreferences, OperationMode
from ...parameters.second_pass import SecondPassUse
from ..stages import GenerationPlan

Node = dict[str, Any]

SAMPLER, SAVER = "8", "9"
"""Ids of the nodes that sample and save."""


def plan_graph(plan: GenerationPlan, seeds: Sequence[int], base_model: str, prefix: str) -> dict[str, Node]:
    """Return a prompt for `POST /prompt` that makes the plan's pictures; seeds count up from the first.

    Prompts, LoRAs, strengths and settings are the plan's, memory is planned by the server for its own device. An
    explicit schedule is made again by its name from the same settings.

    Args:
        base_model: as `PipelineConfig.base_model` names it; a file is found by its name in the server's folders.
        prefix: of the files in the server's output folder.
    """
    chosen, parameters = plan.recommendations, plan.parameters
    selection = [
        {
            "lora": lora.lora_metadata.model_id.partition(":")[2] or lora.lora_name,
            "strength": lora.suggested_alpha,
            "strength_clip": lora.alpha_clip,
            "trigger_words": [],
        }
        for lora in plan.loras
    ]
    mode = OperationMode.MANUAL if parameters.schedule is None else OperationMode.AUTO
    improvements = parameters.improvements
    return {
        "1": _node("PromptAnalyze", prompt=chosen.prompt, negative_prompt=chosen.negative_prompt, analyzer="rules"),
        "2": _loader(base_model),
        "3": _node(
            "LoRARecommend",
            analysis=["1", 0],
            model=["2", 0],
            clip=["2", 1],
            mode=mode.value,
            selection=json.dumps(selection),
            on_unconfirmed="error",
            max_loras=LoRAPreferences.max_loras,
            min_confidence=LoRAPreferences.min_confidence,
            allow_style_mixing=False,
            quality_tags=False,
            variations=1,
        ),
        "4": _node("CLIPTextEncode", text=["3", 2], clip=["3", 1]),
        "5": _node("CLIPTextEncode", text=["3", 3], clip=["3", 1]),
        "6": _node(
            "ParamOptimize",
            recommendations=["3", 4],
            model=["3", 0],
            priority="BALANCED",
            max_time_seconds=0.0,
            max_vram_gb=0.0,
            images=len(seeds),
            aspect=AUTO,
            steps=parameters.num_steps,
            cfg=parameters.guidance_scale,
            sampler=parameters.sampler_name,
            scheduler=parameters.scheduler if parameters.schedule is None else AUTO,
            width=parameters.width,
            height=parameters.height,
            variations=1,
        ),
        "7": _node("MemoryPlan", model=["3", 0], vae=["2", 2], parameters=["6", 0], strategy="auto", tile_size="auto"),
        SAMPLER: _node(
            "IntelligentSampler",
            model=["7", 0],
            positive=["4", 0],
            negative=["5", 0],
            vae=["2", 2],
            plan=["7", 1],
            seed=seeds[0],
            seeds_per_image=True,
            cfg_cutoff=improvements.cfg_cutoff_sigma,
            cfg_start=improvements.cfg_start_sigma or 0.0,
            rescale_cfg=parameters.rescale_cfg,
            easycache=improvements.easycache,
            second_pass=SecondPassUse.OFF if parameters.second_pass is None else SecondPassUse.ON,
        ),
        SAVER: _node(
            "SaveGeneration", images=[SAMPLER, 0], generation=[SAMPLER, 2], filename_prefix=prefix, format="png"
        ),
    }


def _node(class_type: str, **inputs: Any) -> Node:
    return {"class_type": class_type, "inputs": inputs}


def _loader(base_model: str) -> Node:
    if base_model == EMBEDDED_MODEL:
        return _node("EmbeddedDemoModel")
    return _node("CheckpointLoaderSimple", ckpt_name=PurePath(base_model.replace("\\", "/")).name)
