"""LoRARecommend: analysis → LoRAs chosen, applied and explained."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..intelligence.config import LoRAPreferences, OperationMode
from ..intelligence.errors import InvalidInputError
from ..intelligence.records import Reason
from .host.library_scan import decision_revision, refresh_library
from .host.server_planner import planner
from .node_schema import (
    AUTO,
    CATEGORY,
    LoraStackType,
    PromptAnalysisType,
    RecommendationsType,
    advanced,
    family_input,
    named_family,
    schema,
)

if TYPE_CHECKING:
    from ..intelligence.generation.stages import Recommendations
    from ..intelligence.lora import RejectedLoRA
    from ..intelligence.prompt import LoRATag, PromptAnalysis

ON_UNCONFIRMED = ("error", "use_suggestions", "suggest_only")
"""What ASSISTED does without a confirmed selection. `suggest_only` shows suggestions and loads no model; the
*Suggest* button queues it."""

UNCONFIRMED = (
    "ASSISTED mode waits for your choice: confirm the suggestions in `selection`, or set `on_unconfirmed` to "
    "use_suggestions."
)


class LoRARecommend(io.ComfyNode):
    """Chooses LoRAs from the user's own library and applies them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LoRARecommend",
            display_name="LoRA Recommend",
            category=CATEGORY,
            description="Chooses the LoRAs that fit the prompt from your own library, with strengths and trigger "
            "words, and applies them. Says why.",
            search_aliases=["lora", "auto lora", "lora loader", "recommend", "intelligent"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            inputs=[
                PromptAnalysisType.Input("analysis", tooltip="From Prompt Analyze."),
                io.Model.Input("model", lazy=True, tooltip="The model to apply the LoRAs to."),
                io.Clip.Input("clip", lazy=True, tooltip="The text encoders to apply the LoRAs to."),
                io.Combo.Input(
                    "mode",
                    options=list(OperationMode),
                    default=OperationMode.AUTO,
                    tooltip="AUTO: choose and apply. ASSISTED: apply what you confirmed in `selection`. MANUAL: "
                    "choose nothing; apply `selection` and the prompt's own <lora:…> tags.",
                ),
                io.String.Input(
                    "selection",
                    default="",
                    tooltip="The LoRAs you confirmed, as JSON: "
                    '[{"lora": "name", "strength": 0.8}]. Empty: not confirmed; []: none. Wins over every choice.',
                ),
                io.Combo.Input(
                    "on_unconfirmed",
                    options=list(ON_UNCONFIRMED),
                    default="error",
                    tooltip="What ASSISTED does while `selection` is empty.",
                    **advanced(),
                ),
                io.Int.Input("max_loras", default=3, min=0, max=10, tooltip="At most this many LoRAs are chosen."),
                io.Float.Input(
                    "min_confidence",
                    default=LoRAPreferences.min_confidence,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How sure the choice must be, 0 to 1. No LoRA is better than a wrong one.",
                ),
                io.Boolean.Input(
                    "allow_style_mixing", default=False, tooltip="Whether LoRAs of several styles may be combined."
                ),
                io.Boolean.Input(
                    "quality_tags",
                    default=True,
                    tooltip="Add the quality tags that the checkpoint's family was trained with, where missing.",
                ),
                io.Int.Input(
                    "variations",
                    default=1,
                    min=1,
                    max=16,
                    tooltip="Try this many sets of LoRAs: everything after this node runs once for each.",
                    **advanced(),
                ),
                LoraStackType.Input(
                    "lora_stack", optional=True, tooltip="LoRAs from another pack's stacker, applied in any case."
                ),
                family_input("told from how it samples, its header and its name. Param Optimize takes it over."),
            ],
            outputs=[
                io.Model.Output("MODEL", is_output_list=True, tooltip="With the LoRAs applied."),
                io.Clip.Output("CLIP", is_output_list=True, tooltip="With the LoRAs applied."),
                io.String.Output("prompt", is_output_list=True, tooltip="With trigger words and quality tags."),
                io.String.Output("negative", is_output_list=True, tooltip="The negative prompt, likewise."),
                RecommendationsType.Output("recommendations", is_output_list=True, tooltip="For Param Optimize."),
                LoraStackType.Output(
                    "LORA_STACK",
                    is_output_list=True,
                    tooltip="The same choice for another pack's loader. Already applied to MODEL here: "
                    "never apply it again to that one.",
                ),
            ],
        )

    @classmethod
    async def validate_inputs(cls, mode: str | None, selection: str | None, on_unconfirmed: str | None) -> bool | str:
        from ..intelligence.generation.lora_request import parse_selection

        try:
            named = None if selection is None else parse_selection(selection)
        except InvalidInputError as error:
            return str(error)
        for name, value, options in (
            ("mode", mode, tuple(OperationMode)),
            ("on_unconfirmed", on_unconfirmed, ON_UNCONFIRMED),
        ):
            if value is not None and value not in options:
                return f"{name} must be one of {', '.join(options)}, got {value!r}"
        if mode == OperationMode.ASSISTED and selection is not None and named is None and on_unconfirmed == "error":
            return UNCONFIRMED
        if named and on_unconfirmed == "error" and (rejected := await asyncio.to_thread(_unusable, named)):
            missing = "; ".join(f"{item.lora_name}: {item.reason.evidence}" for item in rejected)
            return f"`selection` names LoRAs that cannot be used here ({missing}). Remove them from `selection`."
        return True

    @classmethod
    def fingerprint_inputs(cls, selection: str | None = None, **_: Any) -> str:
        return "confirmed" if selection and selection.strip() else decision_revision()

    @classmethod
    def check_lazy_status(cls, mode: str, selection: str, on_unconfirmed: str, **inputs: Any) -> list[str]:
        if _suggest_only(mode, selection, on_unconfirmed):
            return []
        return [name for name in ("model", "clip") if inputs.get(name) is None]

    @classmethod
    def execute(
        cls,
        analysis: PromptAnalysis,
        mode: str,
        selection: str,
        on_unconfirmed: str,
        max_loras: int,
        min_confidence: float,
        allow_style_mixing: bool,
        quality_tags: bool,
        variations: int,
        model: Any = None,
        clip: Any = None,
        lora_stack: list[tuple[str, float, float]] | None = None,
        model_family: str = AUTO,
    ) -> io.NodeOutput:
        from ..intelligence.generation.batch import lora_variants
        from ..intelligence.generation.lora_request import named_loras, parse_selection
        from .host import lora_patches, model_evidence

        unfinished = refresh_library()
        operation = OperationMode(mode)
        suggest_only = _suggest_only(mode, selection, on_unconfirmed)
        evidence = model_evidence.evidence(None if suggest_only else model, cls.hidden.dynprompt, cls.hidden.unique_id)
        evidence = replace(evidence, family=named_family(model_family))
        selected = parse_selection(selection)
        recommendations = planner().recommend(
            analysis,
            evidence,
            LoRAPreferences(max_loras, min_confidence, allow_style_mixing),
            mode=operation,
            named=[*named_loras(lora_stack or []), *(selected or [])],
            confirmed=selected is not None,
            quality_tags=quality_tags,
        )
        if unfinished:
            recommendations = replace(
                recommendations, reasons=(Reason("library", unfinished), *recommendations.reasons)
            )
        ui = _ui(recommendations, suggest_only)
        if suggest_only:
            blocked = [ExecutionBlocker(None)]
            return io.NodeOutput([None], *[blocked] * 3, [recommendations], blocked, ui=ui)
        variants = lora_variants(planner(), recommendations, variations, quality_tags=quality_tags)
        patched = lora_patches.apply(
            model, clip, [variant.suggested_loras for variant in variants], cls.hidden.unique_id
        )
        return io.NodeOutput(
            [pair[0] for pair in patched],
            [pair[1] for pair in patched],
            [variant.prompt for variant in variants],
            [variant.negative_prompt for variant in variants],
            variants,
            [lora_patches.as_lora_stack(variant.suggested_loras) for variant in variants],
            ui=ui,
        )


def _unusable(named: list[LoRATag]) -> tuple[RejectedLoRA, ...]:
    refresh_library()
    return planner().unusable(named)


def _suggest_only(mode: str, selection: str, on_unconfirmed: str) -> bool:
    unconfirmed = mode == OperationMode.ASSISTED and not selection.strip()
    return unconfirmed and on_unconfirmed == "suggest_only"


def _ui(recommendations: Recommendations, suggest_only: bool) -> dict[str, list[Any]]:
    from ..intelligence.generation.explanation import as_text, explain

    return {
        "text": [as_text(explain(recommendations))],
        "suggestions": [
            {
                "lora": lora.lora_metadata.model_id.partition(":")[2],
                "name": lora.lora_name,
                "strength": lora.suggested_alpha,
                "strength_clip": lora.alpha_clip,
                "confidence": round(lora.confidence_score, 3),
                "reasoning": lora.reasoning,
            }
            for lora in recommendations.suggested_loras
        ],
        "rejected": [{"name": item.lora_name, "reason": item.reason.evidence} for item in recommendations.rejected],
        "confirmed": [not suggest_only],
    }
