"""Answers of the routes that rate pictures, and that show and change what was learned from ratings."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import folder_paths

from ..intelligence.config import require
from ..intelligence.errors import InvalidInputError
from .host.server_planner import planner

MAX_PICTURE_BYTES = 64 * 1024 * 1024
"""Of a picture that is sent to be rated."""

PICTURE_TYPES = {"image/png": ".png", "image/webp": ".webp", "image/jpeg": ".jpg"}
"""Content types of pictures that can be sent → suffixes of their files."""

Arguments = Mapping[str, Any]


def feedback(arguments: Arguments) -> dict[str, Any]:
    """Store a rating: {"generation_id": …, "rating": 1 … 5, "comments": …}.

    `generation_id` is that of an image, a generation or a prompt; in its place, {"image": {"filename", "subfolder",
    "type"}} names a file in ComfyUI's folders, as nodes' outputs do. Or the body is the picture itself (PNG, WebP,
    JPEG), and `?rating=` and `?comments=` stand in the query.
    """
    require("rating" in arguments, "the body lacks 'rating'")
    rating, comments = arguments["rating"], arguments.get("comments", "")
    if isinstance(rating, str) and "picture" in arguments:
        require(rating.isdecimal(), f"rating must be an integer from 1 to 5, got {rating[:40]!r}")
        rating = int(rating)
    return planner().learning.record_feedback(_target(arguments), rating, comments).to_dict()


def remove_feedback(arguments: Arguments) -> dict[str, Any]:
    """Take a rating back; the target is named as in `feedback`. Returns whether there was one."""
    target = _target(arguments)
    return {"generation_id": target, "removed": planner().learning.remove_feedback(target)}


def history(arguments: Arguments) -> list[dict[str, Any]]:
    """Return every rating that the generation, image or prompt `{id}` was given; a rating of 0 took one back."""
    return [one.to_dict() for one in planner().learning.rating_history(arguments["id"])]


def _target(arguments: Arguments) -> str:
    """Return the id of what a request rates, the generation of a picture stored where it was made elsewhere."""
    from ..intelligence.generation.picture_history import remembered

    if isinstance(picture := arguments.get("picture"), bytes):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "the picture").with_suffix(PICTURE_TYPES[arguments["picture_type"]])
            path.write_bytes(picture)
            return remembered(path, planner().learning)
    if "image" in arguments:
        return remembered(_file(arguments["image"]), planner().learning)
    require("generation_id" in arguments, "the body lacks 'generation_id' (or 'image')")
    identifier: str = arguments["generation_id"]
    return identifier


def _file(image: Any) -> Path:
    """Return the file that an entry of a node's `images` names, in one of ComfyUI's folders."""
    if not isinstance(image, Mapping) or not isinstance(image.get("filename"), str):
        raise InvalidInputError('`image` must be like {"filename": "a.png", "subfolder": "", "type": "output"}')
    folder = folder_paths.get_directory_by_type(str(image.get("type", "output")))
    require(folder is not None, f"`image`: type must be output, input or temp, got {str(image.get('type'))[:40]!r}")
    root = Path(str(folder)).resolve()
    path = (root / str(image.get("subfolder", "")) / image["filename"]).resolve()
    require(
        path.is_relative_to(root) and path.is_file(), f"there is no picture {image['filename'][:200]!r} in {root.name}"
    )
    return path


GET = {"/generations/{id}/history": history}
POST = {"/feedback": feedback, "/feedback/remove": remove_feedback}
