"""ParamOptimize: recommendations → sampling settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import comfy.samplers
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..intelligence.config import ASPECTS, AUTO, GenerationConstraints, Priority
from .host.decisions import decisions
from .host.library_scan import decision_revision
from .host.server_planner import planner
from .host.told_paths import errors_without_folders
from .node_schema import (
    ADVANCED,
    ParametersType,
    RecommendationsOrAnalysisType,
    SamplerType,
    SchedulerType,
    family_input,
    schema,
    shown_as,
)

if TYPE_CHECKING:
    from ..intelligence.generation.stages import PromptRecommendations
    from ..intelligence.prompt import PromptAnalysis


class ParamOptimize(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ParamOptimize",
            display_name="Param Optimize",
            description="Chooses steps, CFG, sampler, scheduler and size for your checkpoint, the prompt and the "
            "budgets. Any setting that you fill in wins.",
            search_aliases=["parameters", "settings", "sampler settings", "steps", "cfg", "intelligent"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            inputs=[
                RecommendationsOrAnalysisType.Input(
                    "recommendations", tooltip="From LoRA Recommend, or an analysis straight from Prompt Analyze."
                ),
                io.Model.Input(
                    "model",
                    lazy=True,
                    tooltip="The model that will sample: tells the family and its schedule.",
                ),
                io.Combo.Input(
                    "priority", options=list(Priority), default=Priority.BALANCED, tooltip="Favour speed or quality."
                ),
                io.Float.Input(
                    "max_time_seconds",
                    default=0.0,
                    min=0.0,
                    max=86400.0,
                    step=1.0,
                    tooltip="Time budget of the run in seconds; 0: no limit.",
                    **shown_as("no limit"),
                    **ADVANCED,
                ),
                io.Float.Input(
                    "max_vram_gb",
                    default=0.0,
                    min=0.0,
                    max=1024.0,
                    step=0.5,
                    tooltip="Memory budget on the device in GiB; 0: what is free.",
                    **shown_as(AUTO),
                    **ADVANCED,
                ),
                io.Int.Input("images", default=1, min=1, max=64, tooltip="How many images to make in one run."),
                io.Combo.Input(
                    "aspect",
                    options=[AUTO, *ASPECTS],
                    default=AUTO,
                    tooltip="Shape of the picture; auto: from what the prompt shows.",
                ),
                io.Int.Input(
                    "steps",
                    default=0,
                    min=0,
                    max=1000,
                    tooltip="Sampling steps; 0: auto.",
                    **shown_as(AUTO),
                    **ADVANCED,
                ),
                io.Float.Input(
                    "cfg",
                    default=0.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="Guidance (CFG) scale; 0: auto.",
                    **shown_as(AUTO),
                    **ADVANCED,
                ),
                io.Combo.Input(
                    "sampler",
                    options=[AUTO, *comfy.samplers.KSampler.SAMPLERS],
                    default=AUTO,
                    tooltip="Sampler.",
                    **ADVANCED,
                ),
                io.Combo.Input(
                    "scheduler",
                    options=[AUTO, *comfy.samplers.KSampler.SCHEDULERS],
                    default=AUTO,
                    tooltip="Scheduler.",
                    **ADVANCED,
                ),
                *(
                    io.Int.Input(
                        side,
                        default=0,
                        min=0,
                        max=8192,
                        step=8,
                        tooltip=f"{side.capitalize()} in pixels; 0: auto.",
                        **shown_as(AUTO),
                        **ADVANCED,
                    )
                    for side in ("width", "height")
                ),
                io.Int.Input(
                    "variations",
                    default=1,
                    min=1,
                    max=16,
                    tooltip="Try this many neighbouring settings; everything downstream runs once per variation.",
                    **ADVANCED,
                ),
                family_input("as in LoRA Recommend, otherwise from how it samples, its header and its name."),
            ],
            outputs=[
                ParametersType.Output("parameters", is_output_list=True, tooltip="For Memory Plan."),
                io.Int.Output("steps", tooltip="Of the first variation, like the outputs below."),
                io.Float.Output("cfg"),
                SamplerType.Output("sampler_name", tooltip="For the core KSampler and other samplers."),
                SchedulerType.Output("scheduler", tooltip="Always a core scheduler; SIGMAS may be more exact."),
                io.Sigmas.Output("SIGMAS", tooltip="The exact schedule, for SamplerCustom."),
                io.Int.Output("width"),
                io.Int.Output("height"),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **_: Any) -> str:
        return decisions.fingerprint(cls.hidden.unique_id)

    @classmethod
    def check_lazy_status(cls, recommendations: Any, **inputs: Any) -> list[str]:
        needed = inputs.get("model") is None and not getattr(recommendations, "suggest_only", False)
        return ["model"] if needed else []

    @classmethod
    @errors_without_folders()
    def execute(
        cls,
        recommendations: PromptRecommendations | PromptAnalysis,
        priority: str,
        max_time_seconds: float,
        max_vram_gb: float,
        images: int,
        aspect: str,
        steps: int,
        cfg: float,
        sampler: str,
        scheduler: str,
        width: int,
        height: int,
        variations: int,
        model: Any = None,
        model_family: str = AUTO,
    ) -> io.NodeOutput:
        from ..intelligence.generation.card import SETTINGS, card
        from ..intelligence.generation.choice_requests import (
            SettingsRequest,
            applied_settings,
            chosen_settings,
            settings_report,
        )
        from ..intelligence.memory import MemoryRequest
        from ..intelligence.models import named_family
        from ..intelligence.parameters.parameters import NO_GUIDANCE
        from .host import device_memory, enlarging, model_evidence, model_guidance, model_settings, sampler_run

        weights = {} if model is None else device_memory.weights_gb(model)
        settings = {"num_steps": steps, "guidance_scale": cfg, "sampler_name": sampler, "scheduler": scheduler}
        request = SettingsRequest(
            GenerationConstraints(max_time_seconds or None, max_vram_gb or None, Priority(priority)),
            {**settings, "width": width, "height": height},
            MemoryRequest(images=images, max_batch=1, weights_gb=weights),
            aspect,
            variations,
            named_family(model_family),
            device_memory.resources(model),
            NO_GUIDANCE if model is None else model_guidance.model_guidance(model),
            comfy.samplers.KSampler.SAMPLERS,
            comfy.samplers.KSampler.SCHEDULERS,
            enlarging.upscale_models(),
            enlarging.upscale_cost,
        )
        known = None if model is None else model_evidence.evidence(model, cls.hidden.dynprompt, cls.hidden.unique_id)
        revision = decision_revision()
        variants = planner().parametrize_variants(request, recommendations, known)
        settled = applied_settings(variants)

        def again() -> Any:
            """Choose by today's ratings; a time budget keeps what it got, lest a measured time samples anew."""
            if max_time_seconds:
                return settled
            return applied_settings(planner().parametrize_variants(request, recommendations, known))

        decisions.remember(cls.hidden.unique_id, revision, settled, again)
        ui = {
            "text": [settings_report(one) for one in variants],
            "card": [card(one, SETTINGS) for one in variants],
            "settings": [chosen_settings(one) for one in variants],
        }
        if model is None:
            return io.NodeOutput([ExecutionBlocker(None)], *[ExecutionBlocker(None)] * 7, ui=ui)
        variants = [sampler_run.with_core_sigmas(variant) for variant in variants]
        first = variants[0].suggested_params
        chosen = (first.num_steps, first.guidance_scale, first.sampler_name, first.scheduler)
        sigmas = sampler_run.sigmas(model_settings.with_shift(model, first.shift), first)
        return io.NodeOutput(variants, *chosen, sigmas, first.width, first.height, ui=ui)
