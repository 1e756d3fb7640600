"""PromptAnalyze: prompt → analysis."""

from __future__ import annotations

from comfy_api.latest import io

from .host.server_planner import planner, settings
from .host.told_paths import errors_without_folders
from .node_schema import ADVANCED, PromptAnalysisType, schema


class PromptAnalyze(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="PromptAnalyze",
            display_name="Prompt Analyze",
            description="Reads what the prompt asks for: style, content, concepts, complexity. Start here.",
            search_aliases=["prompt", "analyze prompt", "understand", "intelligent"],
            inputs=[
                io.String.Input(
                    "prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    placeholder="what the picture should show",
                    tooltip="What the picture should show. Weights like (word:1.2), embedding:name and "
                    "<lora:name:0.8> work as in ComfyUI and A1111.",
                ),
                io.String.Input(
                    "negative_prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    default="",
                    placeholder="what it should not show",
                    tooltip="What the picture should not show; may be empty.",
                ),
                io.Combo.Input(
                    "analyzer",
                    options=["rules", "ollama"],
                    default="rules",
                    tooltip="rules: instant, on this machine, always the same. ollama: also asks the Ollama server "
                    "in the pack's config.json, and falls back to rules when it does not answer.",
                    **ADVANCED,
                ),
            ],
            outputs=[PromptAnalysisType.Output("analysis", display_name="analysis", tooltip="For LoRA Recommend.")],
        )

    @classmethod
    def validate_inputs(cls, prompt: str | None = None) -> bool | str:
        from ..intelligence.prompt.prompt_messages import PromptMessage

        if prompt is not None and not prompt.strip():
            return PromptMessage.EMPTY.value
        return True

    @classmethod
    @errors_without_folders()
    def execute(cls, prompt: str, negative_prompt: str, analyzer: str) -> io.NodeOutput:
        from ..intelligence.generation.explanation import explain

        ollama = settings().ollama if analyzer == "ollama" else None
        analysis = planner().analyze(prompt, negative_prompt, ollama)
        return io.NodeOutput(
            analysis, ui={"text": [explain(analysis).summary, *analysis.notes], "analysis": [analysis.to_dict()]}
        )
