"""Answers of the routes behind the pictures that the user already has: the switch, the reading, what was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..intelligence.config import require
from ..intelligence.models import ModelKind
from .host.picture_reading import picture_reading
from .host.server_planner import planner
from .host.told_paths import without_folders

Arguments = Mapping[str, Any]


def status(arguments: Arguments) -> dict[str, Any]:
    """Return the switch (`on`; `asked`: false until the user said yes or no), numbers of pictures, and the progress."""
    progress = {"reading": picture_reading.running, "done": picture_reading.done, "total": picture_reading.total}
    found = planner().pictures.status().to_dict()
    problem = found["problem"] or picture_reading.problem
    return {**found, **progress, "problem": problem and without_folders(problem)}


def used(arguments: Arguments) -> dict[str, Any]:
    """Return how often LoRAs, pairs of them and checkpoints were used in the pictures, and with which settings."""
    registry = planner().registry
    return planner().pictures.use(registry.summaries(ModelKind.LORA), registry.moves()).to_dict()


def switch(arguments: Arguments) -> dict[str, Any]:
    """Switch on, and read, or off: {"on": true, "folders": [full paths beside the output folder]}. Returns the status.

    Without `folders` those of before stay.
    """
    on, folders = arguments.get("on"), arguments.get("folders")
    require(isinstance(on, bool), "the body lacks 'on', true or false")
    valid = folders is None or (isinstance(folders, list) and all(isinstance(folder, str) for folder in folders))
    require(valid, "'folders' must be a list of full paths")
    picture_reading.cancel()
    planner().pictures.switch(bool(on), folders)
    picture_reading.start()
    return status({})


def read(arguments: Arguments) -> dict[str, Any]:
    """Start to read new pictures. Returns the status."""
    picture_reading.start()
    return status({})


def cancel(arguments: Arguments) -> dict[str, Any]:
    """Stop reading; it keeps what it has read. Returns the status."""
    picture_reading.cancel()
    return status({})


def forget(arguments: Arguments) -> dict[str, Any]:
    """Forget all that pictures told, or that of one prompt: {"prompt": …}. The pictures stay; returns their number."""
    from ..intelligence.lora.lora_library import forget_index

    prompt = arguments.get("prompt")
    require(prompt is None or (isinstance(prompt, str) and bool(prompt)), "'prompt' must be a text")
    if prompt is None:
        picture_reading.cancel()
    number = planner().pictures.forget(prompt)
    forget_index(planner().registry.folder)
    return {"forgotten": number}


GET = {"/history": status, "/history/used": used}
POST = {"/history": switch, "/history/read": read, "/history/cancel": cancel, "/history/forget": forget}
