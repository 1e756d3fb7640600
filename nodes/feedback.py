"""Feedback: stars → ratings, from which later choices learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io
from comfy_execution.utils import get_executing_context

from .host.server_planner import planner
from .node_schema import ADVANCED, GenerationType, schema, shown_as

if TYPE_CHECKING:
    from ..intelligence.generation.stages import Generation


class Feedback(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="Feedback",
            display_name="Feedback",
            description="Rates a generation with 1 to 5 stars; later choices learn from it. Look at the image first, "
            "then set the rating and queue again (the image itself comes from the cache).",
            search_aliases=["rate", "stars", "rating", "learn", "intelligent"],
            is_output_node=True,
            inputs=[
                GenerationType.Input("generation", optional=True, tooltip="From Intelligent Sampler."),
                io.Image.Input("images", optional=True, tooltip="The images to rate."),
                io.String.Input(
                    "generation_id",
                    default="",
                    tooltip="Id of an earlier generation or image to rate instead of the linked one.",
                    **ADVANCED,
                ),
                io.Int.Input(
                    "rating",
                    default=0,
                    min=0,
                    max=5,
                    tooltip="1 to 5 stars; 0: not yet. Counts only for a generation that existed before this run.",
                    **shown_as("not yet"),
                    **ADVANCED,
                ),
                io.String.Input("comments", default="", multiline=True, tooltip="What was good or bad; may be empty."),
            ],
        )

    @classmethod
    def execute(
        cls,
        generation_id: str,
        rating: int,
        comments: str,
        generation: Generation | None = None,
        images: Any = None,
    ) -> io.NodeOutput:
        from ..intelligence.generation.history import rate_in_run

        named = generation_id.strip()
        target = named or (generation.id if generation else "")
        ids = list(generation.image_ids) if generation and not named else [target]
        context = get_executing_context()
        text = rate_in_run(planner().learning, target, rating, comments, context.prompt_id if context else "")
        ui: dict[str, list[Any]] = {"text": [text], "feedback": [{"generation_id": target, "image_ids": ids}]}
        return io.NodeOutput(ui=ui)
