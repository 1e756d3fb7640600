"""MemoryPlan: parameters → a plan that fits the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import comfy.model_management
from comfy_api.latest import io

from ..intelligence.config import MemorySettings, OffloadStrategy
from .host.server_planner import planner
from .host.told_paths import errors_without_folders
from .node_schema import ADVANCED, ParametersType, PlanType, schema

if TYPE_CHECKING:
    from ..intelligence.generation.stages import Recommendations

TILE_SIZES = {"auto": None, "whole": 0, "256": 256, "512": 512, "768": 768, "1024": 1024}
"""Widget → side of a VAE tile in pixels; 0: no tiles; None: chosen by the plan."""


class MemoryPlan(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="MemoryPlan",
            display_name="Memory Plan",
            description="Predicts what the run needs and fits it onto your device: VAE tiles and forward batches. "
            "Tells you before it starts when it cannot fit.",
            search_aliases=["vram", "memory", "out of memory", "offload", "tiled", "intelligent"],
            has_intermediate_output=True,
            inputs=[
                io.Model.Input("model", tooltip="The model that will sample."),
                io.Vae.Input("vae", tooltip="The VAE that will decode; decoding often needs the most memory."),
                ParametersType.Input("parameters", tooltip="From Param Optimize."),
                io.Combo.Input(
                    "strategy",
                    options=[strategy.value.lower() for strategy in OffloadStrategy],
                    default="auto",
                    tooltip="Where the weights are. auto: as many on the device as fit. ComfyUI's dynamic VRAM places "
                    "them itself.",
                    **ADVANCED,
                ),
                io.Combo.Input(
                    "tile_size",
                    options=list(TILE_SIZES),
                    default="auto",
                    tooltip="Side of a VAE decode tile in pixels. auto: whole if it fits.",
                    **ADVANCED,
                ),
            ],
            outputs=[
                io.Model.Output("MODEL", tooltip="Keeps to the plan, with any sampler."),
                PlanType.Output("plan", tooltip="For Intelligent Sampler."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **_: Any) -> str:
        device = comfy.model_management.get_torch_device()
        name = comfy.model_management.get_torch_device_name(device)
        return f"{name}:{comfy.model_management.get_total_memory(device)}:{planner().memory.failures(name)}"

    @classmethod
    @errors_without_folders()
    def execute(cls, model: Any, vae: Any, parameters: Recommendations, strategy: str, tile_size: str) -> io.NodeOutput:
        from ..intelligence.generation.card import MEMORY, card
        from ..intelligence.generation.explanation import plan_lines
        from ..intelligence.memory import MemoryRequest
        from .host.device_memory import fit, with_file_advice
        from .host.model_settings import with_shift
        from .host.plan_hooks import apply_plan

        request = MemoryRequest(
            images=parameters.suggested_params.batch_size,
            max_batch=1,
            settings=MemorySettings(OffloadStrategy(strategy)),
            tile_size=TILE_SIZES[tile_size],
        )
        plan = with_file_advice(fit(parameters, model, vae, request), model, vae, request)
        model = with_shift(model, plan.parameters.shift)
        ui = {
            "text": ["\n".join(plan_lines(plan.memory))],
            "card": [card(plan, MEMORY)],
            "plan": [plan.memory.to_dict()],
        }
        return io.NodeOutput(apply_plan(model, plan.memory), plan, ui=ui)
