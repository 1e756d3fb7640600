"""Commands that rate, and that show and change what was learned."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..config import data_folder, require
from ..errors import InvalidInputError, StorageError
from ..given_files import given_text
from ..history.own_pictures import HISTORY_FILE, PictureHistory
from ..learning import LearningEngine
from ..learning.observations import Evidence
from ..models.sanitize import parse_json
from ..registry import ModelRegistry
from ..units import counted
from ..whole_files import write_whole
from .terminal import Answer


def feedback(options: argparse.Namespace) -> Answer:
    from ..generation.picture_history import rated_id

    learning = LearningEngine()
    wanted = [options.rating is not None, options.remove, options.pick]
    require(sum(wanted) == 1, "give a rating from 1 to 5, --remove or --pick")
    rated = rated_id(options.id, learning)
    if options.pick:
        noticed = learning.signals.note(rated, Evidence.PICKED)
        return {"id": rated, "noticed": noticed}, f"{'picked' if noticed else 'nothing to pick among'}: {options.id}"
    if options.remove:
        removed = learning.remove_feedback(rated)
        return {"id": rated, "removed": removed}, f"{'rating taken back' if removed else 'had no rating'}: {options.id}"
    stored = learning.record_feedback(rated, options.rating, options.comments)
    return stored.to_dict(), f"rated {options.rating} of 5: {options.id}"


def learned(options: argparse.Namespace) -> Answer:
    from ..generation.learned import learned, learned_lines
    from ..generation.store_notes import store_notes
    from ..memory import MemoryManager

    registry, learning = ModelRegistry(), LearningEngine()
    pictures = PictureHistory(registry.folder / HISTORY_FILE)
    told = [*_switched(options, learning, pictures), *_taken_back(options, registry, learning, pictures)]
    told += _moved(options, learning)
    notes = store_notes(registry, learning, MemoryManager(data_folder() / "memory.db"))
    found = learned(registry, learning, notes, pictures)
    return found.to_dict(), "\n".join([*told, *([""] if told else []), *learned_lines(found)])


def _switched(options: argparse.Namespace, learning: LearningEngine, pictures: PictureHistory) -> list[str]:
    if options.paused is not None:
        learning.paused = options.paused
    if options.acts is not None:
        learning.signals.on = options.acts == "on"
    if options.prompts is not None:
        learning.keep_prompts = options.prompts == "on"
        pictures.keep_prompts(learning.keep_prompts)
    return []


def _taken_back(
    options: argparse.Namespace, registry: ModelRegistry, learning: LearningEngine, pictures: PictureHistory
) -> list[str]:
    told = []
    if options.drop is not None:
        dropped = learning.signals.drop(options.drop or None)
        told.append(f"{counted(dropped, 'act beside stars counts', 'acts beside stars count')} no longer")
    if options.reset is not None:
        lora = registry.get_model(options.reset).model_id if options.reset else None
        told.append(f"{counted(learning.reset(lora), 'rating counts', 'ratings count')} no longer")
    if options.forget is not None:
        told.append(_forgotten(learning.forget_generation(options.forget)))
    if options.forget_prompt is not None:
        told.append(_forgotten(learning.forget_prompt(options.forget_prompt)))
        pictures.forget(options.forget_prompt)
    return told


def _forgotten(generations: int) -> str:
    return f"{counted(generations, 'generation', 'generations')} forgotten"


def _moved(options: argparse.Namespace, learning: LearningEngine) -> list[str]:
    told = []
    if options.import_file is not None:
        text = given_text(Path(options.import_file))
        try:
            data = parse_json(text)
        except ValueError as error:
            raise InvalidInputError(f"{options.import_file}: {error}") from None
        added = learning.import_ratings(data)
        made = counted(added.generations, "generation", "generations")
        rated = counted(added.ratings, "rating", "ratings")
        told.append(f"{made}, {rated} and {counted(added.acts, 'act', 'acts')} added")
    if options.export_file is not None:
        text = json.dumps(learning.export_ratings())
        try:
            write_whole(Path(options.export_file), lambda file: file.write(text.encode()))
        except OSError as error:
            raise StorageError(f"{options.export_file} cannot be written: {error}") from error
        told.append(f"written: {options.export_file}")
    return told


def generations(options: argparse.Namespace) -> Answer:
    from ..generation.history import generations_to_rate, recent_generations

    learning = LearningEngine()
    if options.to_rate is None:
        found = recent_generations(learning, options.limit)
    else:
        found = generations_to_rate(learning, options.to_rate)
    lines = [f"{each.id}  {each.made_at}  {each.stars or '-':<5}  {each.first_words}" for each in found]
    return [each.to_dict() for each in found], "\n".join(lines) or "nothing was made yet"
