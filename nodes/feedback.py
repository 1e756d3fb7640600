"""Feedback: stars → ratings, from which later choices learn."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io
from comfy_execution.utils import get_executing_context

from .host.server_planner import planner
from .host.told_paths import errors_without_folders
from .host.users import current_user
from .node_schema import ADVANCED, GenerationType, schema, shown_as

if TYPE_CHECKING:
    from ..intelligence.generation.history import GraphRatings
    from ..intelligence.generation.stages import Generation


class Feedback(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="Feedback",
            display_name="Feedback",
            description="Rates a generation with 1 to 5 stars; later choices learn from it. Look at the image first, "
            "then click its stars, or set the rating and queue again.",
            search_aliases=["rate", "stars", "rating", "learn", "intelligent"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id, io.Hidden.extra_pnginfo],
            inputs=[
                GenerationType.Input("generation", optional=True, tooltip="From Intelligent Sampler."),
                io.Image.Input("images", optional=True, tooltip="The images to rate."),
                io.String.Input(
                    "generation_id",
                    default="",
                    tooltip="Id of an earlier generation, image or prompt to rate instead of the linked one.",
                    **ADVANCED,
                ),
                io.Int.Input(
                    "rating",
                    default=0,
                    min=0,
                    max=5,
                    tooltip="1 to 5 stars for the picture that you see before you queue; 0: not yet.",
                    **shown_as("not yet"),
                    **ADVANCED,
                ),
                io.String.Input("comments", default="", multiline=True, tooltip="What was good or bad; may be empty."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **_: Any) -> str:
        """Keep one user's rating from standing in the cache for another's."""
        return current_user()

    @classmethod
    @errors_without_folders()
    def execute(
        cls,
        generation_id: str,
        rating: int,
        comments: str,
        generation: Generation | None = None,
        images: Any = None,
    ) -> io.NodeOutput:
        from ..intelligence.generation.generation_views import rating_report
        from ..intelligence.generation.history import Shown, rate_named

        named, context = generation_id.strip(), get_executing_context()
        made = None if named else generation
        if made is None:
            text, target, ids = rate_named(planner().learning, named, rating, comments), named, [named]
        else:
            workflow = (cls.hidden.extra_pnginfo or {}).get("workflow") or {}
            node = (workflow.get("id"), cls.hidden.unique_id, context.list_index if context else None)
            run_id = context.prompt_id if context else ""
            text = graph_ratings().rate(planner().learning, node, Shown(made, rating, comments), run_id)
            target, ids = made.id, list(made.image_ids)
        return io.NodeOutput(ui=rating_report(planner().registry, target, ids, text, made))


@cache
def graph_ratings() -> GraphRatings:
    """Return what this server's graphs showed last."""
    from ..intelligence.generation.history import GraphRatings

    return GraphRatings()
