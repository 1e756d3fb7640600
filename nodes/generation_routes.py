"""Answers of the routes that show generations again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from .host import thumbnails
from .host.server_planner import planner

Arguments = Mapping[str, Any]


def again(arguments: Arguments) -> dict[str, Any]:
    """Return a stored generation: its nodes' outputs, its stars, and the widgets' values that make each image again."""
    from ..intelligence.generation.generation_views import node_outputs, widget_values
    from ..intelligence.generation.stages import Generation

    learning = planner().learning
    stored = learning.get_generation(arguments["id"])
    made = Generation.from_dict(stored.data)
    return {
        "generation_id": stored.generation_id,
        "image_ids": [*made.image_ids],
        "ratings": [rating.to_dict() for rating in learning.ratings(stored.generation_id)],
        "outputs": node_outputs(made, planner().registry),
        "widgets": widget_values(made),
    }


def thumbnail(arguments: Arguments) -> web.StreamResponse:
    """Return the small picture of an image (`?id=`); 404 if there is none, 204 with `?optional=1`."""
    found = thumbnails.path(arguments.get("id", ""))
    if found is None:
        missing = {"error": "there is no thumbnail of this image"}
        return web.Response(status=204) if "optional" in arguments else web.json_response(missing, status=404)
    return web.FileResponse(found, headers={"X-Content-Type-Options": "nosniff", "Cache-Control": "max-age=86400"})


GET = {"/generations/{id}/again": again, "/thumbnail": thumbnail}
