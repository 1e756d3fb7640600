"""Picture files and what is known of them: told, and remembered for rating."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import InvalidInputError
from ..given_files import is_file, is_folder
from ..learning import LearningEngine
from ..pictures.picture_files import FORMATS
from ..pictures.picture_info import PictureInfo, embedded_record, own_info, read_picture
from .history import remember_generation
from .image_file import own_record, record_places
from .stages import Generation


def picture_record(path: Path) -> dict[str, Any] | None:
    """Return the pack's own record in a picture, or beside it, or that a JSON file is; None: there is none.

    Raises InvalidInputError where the file is neither.
    """
    if path.suffix.lower() == ".json" and (record := own_record(path)):
        return record
    inside = embedded_record(path)
    if inside is not None and own_info(inside) is not None:
        return inside
    plain, full = map(own_record, record_places(path))
    return full or (plain if plain and plain.get("file", path.name) == path.name else None)


def picture_of(path: Path, record: dict[str, Any] | None) -> PictureInfo:
    """Return what a picture tells. Raises InvalidInputError where that is nothing."""
    info = own_info(record) if record else None
    return info or read_picture(path)


def picture_lines(info: PictureInfo) -> list[str]:
    """Return what a picture of another program tells, a line for each fact."""
    model = f"{info.model} ({info.model_hash})" if info.model and info.model_hash else info.model or info.model_hash
    loras = ", ".join(f"{lora.name} at {lora.strength:g}" for lora in info.loras)
    facts = {
        "Made by": info.program,
        "Prompt": info.prompt,
        "Negative prompt": info.negative_prompt,
        "Model": model,
        "LoRAs": loras,
        "Settings": ", ".join(f"{name} {value}" for name, value in info.settings.items()),
        "Workflow": "inside: drop the picture onto ComfyUI's page" if info.has_workflow else "",
    }
    return [f"{name}: {value}" for name, value in facts.items() if value.strip()]


def remembered(path: Path, learning: LearningEngine) -> str:
    """Return the id by which a picture of the pack's is rated, its generation stored here if it was not.

    Raises InvalidInputError where it is none.
    """
    record = picture_record(path)
    if record is None:
        raise InvalidInputError(f"{path.name} was not made by Intelligent Generation, so nothing is learned from it")
    generation, image_id = Generation.from_dict(record), record.get("image_id")
    if image_id not in generation.image_ids:
        raise InvalidInputError(f"{path.name}: its record names no image")
    remember_generation(generation, learning)
    return str(image_id)


def rated_id(named: str | Path, learning: LearningEngine) -> str:
    """Return the id by which a picture file, or what an id names, is rated. Raises InvalidInputError."""
    if is_file(named):
        return remembered(Path(named), learning)
    if no_picture := why_no_picture(named):
        raise InvalidInputError(no_picture)
    return str(named)


def why_no_picture(named: str | Path) -> str:
    """Return why a name of no file is no picture's; empty where it may be an id, or the name of a model."""
    path = Path(named)
    if is_folder(named):
        return f"{named} is a folder; name a picture in it"
    if path.suffix.lower() in FORMATS:
        return f"there is no picture {named}"
    return ""
