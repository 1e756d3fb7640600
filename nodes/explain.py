"""Explain: the object of any stage → words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io

from .host.told_paths import errors_without_folders
from .node_schema import AnyStageType, schema

if TYPE_CHECKING:
    from ..intelligence.generation.explanation import Stage


class Explain(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="Explain",
            display_name="Explain",
            description="Shows what was chosen and why. API users find the text in the history's outputs.",
            search_aliases=["why", "reasons", "explanation", "intelligent"],
            is_output_node=True,
            inputs=[
                AnyStageType.Input(
                    "generation",
                    tooltip="A generation, or an earlier node's output: plan, parameters, recommendations, analysis.",
                )
            ],
            outputs=[
                io.String.Output("summary", tooltip="One line."),
                io.String.Output("json", tooltip="The whole object as JSON."),
            ],
        )

    @classmethod
    @errors_without_folders()
    def execute(cls, generation: Stage) -> io.NodeOutput:
        from ..intelligence.generation.generation_views import explanation_report
        from .host.server_planner import planner

        ui = explanation_report(generation, planner().registry)
        return io.NodeOutput(ui["explanation"][0]["summary"], generation.to_json(indent=2), ui=ui)
