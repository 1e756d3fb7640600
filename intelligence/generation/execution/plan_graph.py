"""The graph, in ComfyUI's API format, that carries out a plan with the pack's nodes: nothing in it is chosen anew."""

from __future__ import annotations

from collections.abc import Sequence

from ...config import AUTO, EMBEDDED_MODEL, OperationMode, SecondPassUse
from ...errors import InvalidInputError
from ...parameters import OptimizedParameters
from ...parameters.second_pass import Enlargement, enlargement, native_of
from ..pack_graph import CLIP, RECOMMENDER, Node, node, pack_graph, saver
from ..postprocess.steps import StepKind
from ..stages import GenerationPlan

SAVER = "9"
"""Id of the node that saves."""

CLIP_LAYER = "10"
"""Id of the node that sets the text encoders' last layer."""


def plan_graph(plan: GenerationPlan, seeds: Sequence[int], base_model: str, prefix: str) -> dict[str, Node]:
    """Return a prompt for `POST /prompt` that makes the plan's pictures; seeds count up from the first.

    Prompts, LoRAs, strengths and settings are the plan's, memory is planned by the server for its own device. An
    explicit schedule is made again by its name from the same settings, shift and guidance value are the family's.

    Args:
        base_model: `embedded`, or the server's name of a checkpoint.
        prefix: of the files in the server's output folder.

    Raises InvalidInputError for a second pass of sizes that the nodes cannot be asked for.
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
    of_family = (parameters.schedule, parameters.shift, parameters.guidance)  # no widget has them
    mode = OperationMode.MANUAL if of_family == (None, None, None) else OperationMode.AUTO
    improvements, second = parameters.improvements, parameters.second_pass
    width, height = _asked_size(parameters)
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
            "width": width,
            "height": height,
        },
        {
            "seed": seeds[0],
            "cfg_cutoff": improvements.cfg_cutoff_sigma,
            "cfg_start": improvements.cfg_start_sigma or 0.0,
            "rescale_cfg": parameters.rescale_cfg,
            "easycache": improvements.easycache,
            "second_pass": SecondPassUse.OFF if second is None else SecondPassUse.ON,
            "upscaler": AUTO if second is None else second.upscaler,
            "repair": plan.takes(StepKind.REPAIR),
            "seam_check": plan.takes(StepKind.SEAM_CHECK),
        },
    )
    if parameters.clip_skip is not None:
        graph[CLIP_LAYER] = node("CLIPSetLastLayer", clip=CLIP, stop_at_clip_layer=parameters.clip_skip)
        graph[RECOMMENDER]["inputs"]["clip"] = [CLIP_LAYER, 0]
    return {**graph, SAVER: saver(prefix)}


def _asked_size(parameters: OptimizedParameters) -> tuple[int, int]:
    """Return the size in pixels for which the nodes plan both passes as they are planned here: that of the first one
    where the model paints it whole and it is enlarged by the usual factor, else that of the second."""
    second, size = parameters.second_pass, (parameters.width, parameters.height)
    if second is None:
        return size
    passes = Enlargement((second.width, second.height), size)
    for asked in passes:
        if enlargement(SecondPassUse.ON, asked, native_of(parameters), parameters.family) == passes:
            return asked
    raise InvalidInputError(
        f"a second pass from {second.width}x{second.height} to {size[0]}x{size[1]} cannot be carried out on servers: "
        "leave out the time limit that made both smaller, or the second pass"
    )


def _loader(base_model: str) -> Node:
    if base_model == EMBEDDED_MODEL:
        return node("EmbeddedDemoModel")
    return node("CheckpointLoaderSimple", ckpt_name=base_model)
