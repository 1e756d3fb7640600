"""LoRARecommend: analysis → LoRAs chosen, applied and explained."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..intelligence.config import AUTO, EMBEDDED_MODEL, LoRAPreferences, OnUnconfirmed, OperationMode
from ..intelligence.errors import InvalidInputError
from .host.decisions import decisions
from .host.library_scan import decision_revision, refresh_library
from .host.queued_prompts import queued_input
from .host.server_planner import lora_sets, planner, settings
from .host.told_paths import errors_without_folders, without_folders
from .node_schema import (
    ADVANCED,
    LoraStackType,
    PromptAnalysisType,
    RecommendationsType,
    family_input,
    schema,
)

if TYPE_CHECKING:
    from ..intelligence.generation.choice_requests import LoRARequest
    from ..intelligence.generation.stages import PromptRecommendations
    from ..intelligence.prompt import PromptAnalysis
    from ..intelligence.records import Reason


class LoRARecommend(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LoRARecommend",
            display_name="LoRA Recommend",
            description="Chooses the LoRAs that fit the prompt from your own library, with strengths and trigger "
            "words, and applies them. Says why.",
            search_aliases=["lora", "auto lora", "lora loader", "recommend", "intelligent"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            inputs=[
                PromptAnalysisType.Input("analysis", tooltip="From Prompt Analyze."),
                io.Model.Input("model", lazy=True, tooltip="The model to apply the LoRAs to."),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    lazy=True,
                    tooltip="The text encoders to apply the LoRAs to. Leave open for LoRAs on the model alone.",
                ),
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
                    '[{"lora": "name", "strength": 0.8}], with "trigger_words": ["word"] where you want others. '
                    "Empty: not confirmed; []: none. Wins over every choice.",
                    **ADVANCED,
                ),
                io.Combo.Input(
                    "on_unconfirmed",
                    options=list(OnUnconfirmed),
                    default=OnUnconfirmed.ERROR,
                    tooltip="What ASSISTED does while `selection` is empty.",
                    **ADVANCED,
                ),
                io.Int.Input(
                    "max_loras",
                    default=3,
                    min=0,
                    max=10,
                    tooltip="At most this many LoRAs are chosen.",
                    **ADVANCED,
                ),
                io.Float.Input(
                    "min_confidence",
                    default=LoRAPreferences.min_confidence,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How sure the choice must be, 0 to 1. No LoRA is better than a wrong one.",
                    **ADVANCED,
                ),
                io.Boolean.Input(
                    "allow_style_mixing",
                    default=False,
                    tooltip="Allow LoRAs of several styles at once.",
                    **ADVANCED,
                ),
                io.Boolean.Input(
                    "quality_tags",
                    default=True,
                    tooltip="Add the quality tags that the checkpoint's family was trained with, where missing.",
                    **ADVANCED,
                ),
                io.Int.Input(
                    "variations",
                    default=1,
                    min=1,
                    max=16,
                    tooltip="Try this many sets of LoRAs: everything downstream runs once per variation.",
                    **ADVANCED,
                ),
                LoraStackType.Input(
                    "lora_stack", optional=True, tooltip="LoRAs from another pack's stacker; always applied."
                ),
                family_input("from how it samples, its header and its name. Param Optimize uses the same."),
                io.Combo.Input(
                    "judge",
                    options=["off", "ollama"],
                    default="off",
                    optional=True,
                    tooltip="ollama: the language model of the Ollama server in the pack's config.json says yes or no "
                    "to the first eight LoRAs, within its time limit. Without an answer the choice stands.",
                    **ADVANCED,
                ),
                io.Int.Input(
                    "explore_every",
                    default=0,
                    min=0,
                    max=100,
                    optional=True,
                    tooltip="AUTO makes a second picture on one prompt in so many, with a LoRA that is worth trying: "
                    "rate both. 0: never.",
                    **ADVANCED,
                ),
            ],
            outputs=[
                io.Model.Output("MODEL", is_output_list=True, tooltip="With the LoRAs applied."),
                io.Clip.Output("CLIP", is_output_list=True, tooltip="With the LoRAs applied."),
                io.String.Output("prompt", is_output_list=True, tooltip="With trigger words and quality tags."),
                io.String.Output(
                    "negative", is_output_list=True, tooltip="The negative prompt, with the family's own additions."
                ),
                RecommendationsType.Output("recommendations", is_output_list=True, tooltip="For Param Optimize."),
                LoraStackType.Output(
                    "LORA_STACK",
                    is_output_list=True,
                    tooltip="The same choice for another pack's loader. Already applied to MODEL here: "
                    "do not apply it to that MODEL again.",
                ),
            ],
        )

    @classmethod
    async def validate_inputs(cls, selection: str | None = None) -> bool | str:
        """Check the choice as a whole. Names one input alone: ComfyUI repeats the text for each that is named."""
        from ..intelligence.generation.choice_requests import LoRARequest

        # None: a linked input, which is known only when the node runs.
        known = "[]" if selection is None else selection
        mode = queued_input(cls.hidden.unique_id, "mode")
        on_unconfirmed = queued_input(cls.hidden.unique_id, "on_unconfirmed")
        if mode not in (None, *OperationMode) or on_unconfirmed not in (None, *OnUnconfirmed):
            return True  # ComfyUI's own check of these names it
        try:
            request = LoRARequest.from_text(mode or "AUTO", known, on_unconfirmed or "use_suggestions")
            return await asyncio.to_thread(_problem, request) or True
        except InvalidInputError as error:
            return without_folders(str(error))

    @classmethod
    def fingerprint_inputs(cls, selection: str | None = None, **_: Any) -> str:
        return "confirmed" if selection and selection.strip() else decisions.fingerprint(cls.hidden.unique_id)

    @classmethod
    def check_lazy_status(cls, mode: str, selection: str, on_unconfirmed: str, **inputs: Any) -> list[str]:
        from ..intelligence.generation.choice_requests import LoRARequest

        request = LoRARequest.from_text(mode, selection, on_unconfirmed)
        connected = [name for name in ("model", "clip") if name in inputs]
        return [] if request.suggest_only else [name for name in connected if inputs[name] is None]

    @classmethod
    @errors_without_folders()
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
        judge: str = "off",
        explore_every: int = 0,
    ) -> io.NodeOutput:
        from ..intelligence.generation.choice_requests import LoRARequest, applied_choice, choice_report, named_loras
        from ..intelligence.models import named_family
        from .host import demo_model, lora_patches, model_evidence, model_targets

        asked = LoRARequest.from_text(mode, selection, on_unconfirmed)
        loaded = None if asked.suggest_only else model
        request = replace(
            asked,
            stack=tuple(named_loras(lora_stack or [])),
            preferences=LoRAPreferences(max_loras, min_confidence, allow_style_mixing, explore_every=explore_every),
            quality_tags=quality_tags,
            variations=variations,
            judge=settings().ollama if judge == "ollama" else None,
            fit=None if loaded is None else model_targets.lora_fit(loaded, clip),
        )
        notes = refresh_library()
        node_id, family = cls.hidden.unique_id, named_family(model_family)
        evidence = model_evidence.evidence(loaded, cls.hidden.dynprompt, node_id, family)
        evidence = replace(evidence, clip_layer=getattr(clip, "layer_idx", None))
        if loaded is None and evidence.name == EMBEDDED_MODEL:
            demo_model.ensure_demo()  # to suggest LoRAs, no model is loaded, which would have made them
            notes = refresh_library()
        revision = decision_revision()

        def choose(notes: tuple[Reason, ...] = ()) -> list[PromptRecommendations]:
            always = lora_sets().tags(evidence.name) if request.takes_always_used else ()
            asked = replace(request, stack=(*request.stack, *always))
            return planner().recommend_variants(asked, analysis, evidence, notes)

        sets = choose(notes)
        decisions.remember(
            node_id,
            revision,
            applied_choice(sets),
            lambda: applied_choice(choose()),
        )
        if request.suggest_only:
            blocked = [ExecutionBlocker(None)]
            ui = {**choice_report(sets[0]), "confirmed": [False]}
            return io.NodeOutput([None], *[blocked] * 3, sets, blocked, ui=ui)
        patched = lora_patches.apply(model, clip, [each.suggested_loras for each in sets], node_id)
        sets = [planner().patched(each, one.counts, request) for each, one in zip(sets, patched, strict=True)]
        return io.NodeOutput(
            [one.model for one in patched],
            [one.clip for one in patched],
            [each.prompt for each in sets],
            [each.negative_prompt for each in sets],
            sets,
            [lora_patches.as_lora_stack(each.suggested_loras) for each in sets],
            ui={**choice_report(*sets), "confirmed": [True]},
        )


def _problem(request: LoRARequest) -> str | None:
    if request.selection:
        refresh_library()
    return planner().problem(request)
