"""The graph, in ComfyUI's API format, that carries out a plan with the pack's nodes: nothing in it is chosen anew."""

from __future__ import annotations

from collections.abc import Sequence

from ...config import AUTO, EMBEDDED_MODEL, OperationMode, SecondPassUse
from ..pack_graph import CLIP, RECOMMENDER, Node, node, pack_graph, saver
from ..stages import GenerationPlan

SAVER = "9"
"""Id of the node that saves."""

CLIP_LAYER = "10"
"""Id of the node that sets the text encoders' last layer."""


def plan_graph(plan: GenerationPlan, seeds: Sequence[int], base_model: str, prefix: str) -> dict[str, Node]:
    """Return a prompt for `POST /prompt` that makes the plan's pictures; seeds count up from the first.

    Prompts, LoRAs, strengths and settings are the plan's, memory is planned by the server for its own device. An
    explicit schedule is made again by its name from the same settings.

    Args:
        base_model: `embedded`, or the server's name of a checkpoint.
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
    graph = pack_graph(
        _loader(base_model),
        (chosen.prompt, chosen.negative_prompt),
        selection,
        {"mode": mode.value, "quality_tags": False},
        {
            "images": len(seeds),
            "steps": parameters.num_steps,
            "cfg": parameters.guidance_scale,
            "sampler": parameters.sampler_name,
            "scheduler": parameters.scheduler if parameters.schedule is None else AUTO,
            "width": parameters.width,
            "height": parameters.height,
        },
        {
            "seed": seeds[0],
            "cfg_cutoff": improvements.cfg_cutoff_sigma,
            "cfg_start": improvements.cfg_start_sigma or 0.0,
            "rescale_cfg": parameters.rescale_cfg,
            "easycache": improvements.easycache,
            "second_pass": SecondPassUse.OFF if parameters.second_pass is None else SecondPassUse.ON,
        },
    )
    if parameters.clip_skip is not None:
        graph[CLIP_LAYER] = node("CLIPSetLastLayer", clip=CLIP, stop_at_clip_layer=parameters.clip_skip)
        graph[RECOMMENDER]["inputs"]["clip"] = [CLIP_LAYER, 0]
    return {**graph, SAVER: saver(prefix)}


def _loader(base_model: str) -> Node:
    if base_model == EMBEDDED_MODEL:
        return node("EmbeddedDemoModel")
    return node("CheckpointLoaderSimple", ckpt_name=base_model)
