"""Commands that show pictures and models, and learn from pictures that were made before."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import require
from ..errors import ModelNotFoundError, UnknownGenerationError
from ..given_files import expanded, is_file
from ..learning import LearningEngine
from ..models import ModelKind
from ..registry import ModelRegistry
from .terminal import Answer, progress

if TYPE_CHECKING:
    from ..history import PictureHistory
    from ..models import ModelMetadata

MAX_TAGS = 20
"""Tags of a model that are listed."""

FOR_PROGRAMS = ("metadata", "modules", "digest")
"""Fields of a model that tell people nothing."""


def history(options: argparse.Namespace) -> Answer:
    from ..history.history_reading import ReadingPace
    from ..lora.lora_library import forget_index

    registry = ModelRegistry()
    pictures = _own_pictures(registry)
    told: list[str] = []
    if options.action in ("on", "off"):
        require(all(options.folders), "a folder's name is empty")
        named = [expanded(folder).absolute() for folder in options.folders]
        pictures.switch(options.action == "on", named or None)
    elif options.action == "forget":
        number = pictures.forget(options.prompt)
        forget_index(registry.folder)
        told.append(f"{number} pictures forgotten; their files stay")
    if options.action == "read" or (options.action == "on" and pictures.folders):
        with progress(options, "picture") as step:
            found = pictures.read((), ReadingPace(LearningEngine().keep_prompts), step)
        told.append(f"{found.read} read, {found.told} of them tell how they were made, {found.skipped} were skipped")
        told += [f"{folder}: {problem}" for folder, problem in found.problems.items()]
    if options.action == "used":
        used = pictures.use(registry.summaries(ModelKind.LORA), registry.moves())
        lines = [f"{number:6}  {name}" for name, number in [*used.loras.items(), *used.unknown_loras.items()]]
        lines += [f"{use.pictures:6}  {use.checkpoint}  {_words(use.settings)}" for use in used.checkpoints]
        return used.to_dict(), "\n".join(lines) or "no pictures were read yet"
    status = pictures.status()
    told.append(f"{'on' if status.on else 'off'}: {status.told} pictures known, {status.skipped} could not be read")
    told += [status.problem] if status.problem else list(status.folders)
    return status.to_dict(), "\n".join(told)


def _words(settings: dict[str, int | float | str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def show(options: argparse.Namespace) -> Answer:
    from ..generation.picture_history import why_no_picture

    registry = ModelRegistry()
    model = _model_at(options.name, registry) if is_file(options.name) else options.name
    if model is None:
        return _show_picture(Path(options.name), options.as_workflow)
    no_picture = why_no_picture(options.name)
    require(
        not options.as_workflow, no_picture or f"{options.name} is no picture, of which --as-workflow makes a graph"
    )
    learning = LearningEngine()
    try:
        stored = learning.get_generation(options.name)
    except UnknownGenerationError:
        try:
            shown = registry.get_model(model)
        except ModelNotFoundError as error:
            raise ModelNotFoundError(no_picture or f"no generation has the id {options.name!r}, and {error}") from None
        return shown.to_dict(), "\n".join(_model_lines(shown))
    return _show_generation(stored.data, learning)


def _model_lines(model: ModelMetadata) -> list[str]:
    """Return what people want to know of a model, a line for each fact; JSON holds the rest."""
    facts = model.to_dict() | {
        "strength_range": " to ".join(f"{end:g}" for end in model.strength_range or ()),
        "trigger_sets": "; ".join(", ".join(each.words) for each in model.trigger_sets),
        "tags": ", ".join(list(model.tags)[:MAX_TAGS]),
        "example_prompts": len(model.example_prompts),
        "findings": "; ".join(f"{name} by {found.source}" for name, found in model.findings.items()),
    }
    return [f"{name}: {value}" for name, value in facts.items() if value and name not in FOR_PROGRAMS]


def _model_at(path: str, registry: ModelRegistry) -> str | None:
    """Return the id of the model whose file this is; None: no model's file is."""
    full = str(Path(path).absolute())
    return next((model.model_id for model in registry.summaries() if model.local_path == full), None)


def _show_picture(path: Path, as_workflow: bool) -> Answer:
    from ..generation.picture_graph import picture_graph
    from ..generation.picture_history import picture_lines, picture_of, picture_record

    record = picture_record(path)
    if as_workflow:
        graph = picture_graph(picture_of(path, record))
        return graph, json.dumps(graph, ensure_ascii=False, indent=2)
    if record is not None:
        return _show_generation(record, LearningEngine())
    info = picture_of(path, record)
    return info.to_dict(), "\n".join(picture_lines(info))


def _show_generation(data: dict[str, Any], learning: LearningEngine) -> Answer:
    from ..generation.explanation import as_text, explain
    from ..generation.stages import Generation

    generation = Generation.from_dict(data)
    try:
        ratings = learning.ratings(generation.id)
    except UnknownGenerationError:
        ratings = []  # a picture from another machine
    stars = [f"Rated {rating.rating} of 5 {rating.comments}".rstrip() for rating in ratings]
    shown = {**data, **generation.to_dict(), "ratings": [rating.to_dict() for rating in ratings]}
    prompt = generation.plan.recommendations.prompt
    return shown, "\n".join([as_text(explain(generation)), "", f"Prompt: {prompt}", *stars])


def _own_pictures(registry: ModelRegistry) -> PictureHistory:
    from ..history.own_pictures import HISTORY_FILE, PictureHistory

    return PictureHistory(registry.folder / HISTORY_FILE)
