"""Answers of the routes that rate pictures, and that show and change what was learned from ratings."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import folder_paths

from ..intelligence.config import require
from ..intelligence.errors import InvalidInputError, ModelNotFoundError, UnknownGenerationError
from .host import thumbnails
from .host.server_planner import planner

MAX_PICTURE_BYTES = 64 * 1024 * 1024
"""Of a picture that is sent to be rated."""

MAX_IMPORT_BYTES = 1024 * 1024 * 1024
"""Of an export of ratings."""

PICTURE_TYPES = {"image/png": ".png", "image/webp": ".webp", "image/jpeg": ".jpg"}
"""Content types of pictures that can be sent → suffixes of their files."""

Arguments = Mapping[str, Any]


def feedback(arguments: Arguments) -> dict[str, Any]:
    """Store a rating: {"generation_id": …, "rating": 1 … 5, "comments": …}.

    `generation_id` is that of an image, a generation or a prompt; in its place, {"image": {"filename", "subfolder",
    "type"}} names a file in ComfyUI's folders, as nodes' outputs do. Or the body is the picture itself (PNG, WebP,
    JPEG), and `?rating=` and `?comments=` stand in the query. The answer's `learned`
    says in words what it changes.
    """
    from ..intelligence.generation.rating_effects import rate

    require("rating" in arguments, "the body lacks 'rating'")
    rating, comments = arguments["rating"], arguments.get("comments", "")
    if isinstance(rating, str) and "picture" in arguments:
        require(rating.isdecimal(), f"rating must be an integer from 1 to 5, got {rating[:40]!r}")
        rating = int(rating)
    stored, learned = rate(planner(), _target(arguments), rating, comments)
    told = [{"text": one.evidence, "key": one.message, "arguments": one.arguments} for one in learned]
    return {**stored.to_dict(), "learned": told}


def remove_feedback(arguments: Arguments) -> dict[str, Any]:
    """Take a rating back; the target is named as in `feedback`. Returns whether there was one."""
    target = _target(arguments)
    return {"generation_id": target, "removed": planner().learning.remove_feedback(target)}


def history(arguments: Arguments) -> list[dict[str, Any]]:
    """Return every rating that the generation, image or prompt `{id}` was given; a rating of 0 took one back."""
    return [one.to_dict() for one in planner().learning.rating_history(arguments["id"])]


def learned(arguments: Arguments) -> dict[str, Any]:
    """Return what was learned from ratings: counts by stars and month, each LoRA's effect, notes; see `Learned`."""
    from ..intelligence.generation.learned import learned, learned_lines
    from ..intelligence.generation.store_notes import store_notes

    stores = planner()
    notes = store_notes(stores.registry, stores.learning, stores.memory)
    found = learned(stores.registry, stores.learning, notes, stores.pictures)
    return {**found.to_dict(), "text": learned_lines(found)}


def change_learned(arguments: Arguments) -> dict[str, Any]:
    """Set {"paused": …}, {"keep_prompts": …} or {"heeds_acts": …}, true or false. Returns what GET /learned does."""
    learning = planner().learning
    for name in ("paused", "keep_prompts", "heeds_acts"):
        if name in arguments:
            require(isinstance(arguments[name], bool), f"{name} must be true or false")
    for name in ("paused", "keep_prompts"):
        if name in arguments:
            setattr(learning, name, arguments[name])
    if "heeds_acts" in arguments:
        learning.signals.on = arguments["heeds_acts"]
    if "keep_prompts" in arguments:
        planner().pictures.keep_prompts(arguments["keep_prompts"])
    return learned(arguments)


def reset_learned(arguments: Arguments) -> dict[str, Any]:
    """Forget what was learned of a LoRA: {"lora": its id or name}, or of all: {"all": true}."""
    require("lora" in arguments or arguments.get("all") is True, 'the body lacks "lora", or {"all": true}')
    stores = planner()
    lora = _lora(arguments["lora"]) if "lora" in arguments else None
    return {"lora": lora, "reset": stores.learning.reset(lora)}


def pick(arguments: Arguments) -> dict[str, Any]:
    """Say that of its batch this picture is the best; the target is named as in `feedback`. Weaker than stars.

    Returns whether that tells anything: not of a picture that was made alone.
    """
    from ..intelligence.learning.observations import Evidence

    target = _target(arguments)
    return {"generation_id": target, "noticed": planner().learning.signals.note(target, Evidence.PICKED)}


def drop_acts(arguments: Arguments) -> dict[str, Any]:
    """Take acts beside stars back: {"numbers": […]} as GET /learned gives them, or {"all": true}."""
    numbers = arguments.get("numbers")
    valid = isinstance(numbers, list) and all(isinstance(one, int) and 0 <= one < 2**63 for one in numbers)
    require(valid or arguments.get("all") is True, 'the body lacks "numbers", or {"all": true}')
    return {"dropped": planner().learning.signals.drop(numbers if valid else None)}


def forget(arguments: Arguments) -> dict[str, Any]:
    """Delete a generation with its ratings and copies: {"generation_id": …}, or all of a prompt: {"prompt": …}."""
    learning = planner().learning
    if isinstance(arguments.get("prompt"), str):
        planner().pictures.forget(arguments["prompt"])
        count = learning.forget_prompt(arguments["prompt"])
    else:
        require(isinstance(arguments.get("generation_id"), str), "the body lacks 'generation_id' or 'prompt', a text")
        count = learning.forget_generation(arguments["generation_id"])
    thumbnails.forget(_is_stored)
    return {"forgotten": count}


def _is_stored(image_id: str) -> bool:
    try:
        planner().learning.get_generation(image_id)
    except UnknownGenerationError:
        return False
    return True


def export(arguments: Arguments) -> dict[str, Any]:
    """Return all ratings with their history and generations."""
    return planner().learning.export_ratings()


def take_in(arguments: Arguments) -> dict[str, Any]:
    """Add the ratings of an export, which is the body."""
    return planner().learning.import_ratings(arguments)._asdict()


def _lora(name: Any) -> str:
    """Return the model id of a LoRA, also of one that was rated and is not installed any more."""
    require(isinstance(name, str), "`lora` must be a LoRA's id or name")
    try:
        return planner().registry.get_model(name).model_id
    except ModelNotFoundError:
        if name.startswith("lora:"):
            return str(name)
        raise


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
    identifier = arguments.get("generation_id")
    require(isinstance(identifier, str), "the body lacks 'generation_id', a text (or 'image')")
    return str(identifier)


def _file(image: Any) -> Path:
    """Return the file that an entry of a node's `images` names, in one of ComfyUI's folders."""
    if not isinstance(image, Mapping) or not isinstance(image.get("filename"), str):
        raise InvalidInputError('`image` must be like {"filename": "a.png", "subfolder": "", "type": "output"}')
    folder = folder_paths.get_directory_by_type(str(image.get("type", "output")))
    require(folder is not None, f"`image`: type must be output, input or temp, got {str(image.get('type'))[:40]!r}")
    root = Path(str(folder)).resolve()
    try:
        path = (root / str(image.get("subfolder", "")) / image["filename"]).resolve()
        is_there = path.is_relative_to(root) and path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        is_there = False
    require(is_there, f"there is no picture {image['filename'][:200]!r} in {root.name}")
    return path


GET = {"/generations/{id}/history": history, "/learned": learned, "/learned/export": export}
POST = {
    "/feedback": feedback,
    "/feedback/remove": remove_feedback,
    "/feedback/pick": pick,
    "/learned": change_learned,
    "/learned/drop": drop_acts,
    "/learned/forget": forget,
    "/learned/import": take_in,
    "/learned/reset": reset_learned,
}
