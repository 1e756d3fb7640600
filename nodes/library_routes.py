"""Answers of the routes behind the library: its cards, how a LoRA was used, and what the user keeps of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..intelligence.config import AUTO, require
from ..intelligence.errors import ModelNotFoundError
from ..intelligence.models import ModelKind
from ..intelligence.records import json_parts
from .host.server_planner import home, lora_sets, planner

if TYPE_CHECKING:
    from ..intelligence.lora.lora_sets import AlwaysUsed, LoRASets
    from ..intelligence.models import ModelMetadata
    from ..intelligence.models.kinds import Architecture
    from ..intelligence.registry import ModelRegistry

Arguments = Mapping[str, Any]

CARD_TRIGGERS = 12
"""Trigger words and tags of a card, by which it is found."""

USAGE_GENERATIONS = 500
"""Newest generations in which uses of a LoRA are looked for."""


def cards(arguments: Arguments) -> bytes:
    """Return every LoRA as a card, copies of one file as one.

    `?checkpoint=`: with whether it fits this checkpoint's file, null: unknown.
    """
    from ..intelligence.models.kinds import Architecture

    registry = planner().registry
    checkpoint = arguments.get("checkpoint", "")
    base = Architecture.DEMO if checkpoint == "embedded" else None
    for model in registry.summaries(ModelKind.CHECKPOINT) if checkpoint and base is None else ():
        if model.local_path.replace("\\", "/").rpartition("/")[2] == checkpoint:
            base = model.architecture
    with _one_at_a_time:
        return _cards(registry, registry.revision, base, lora_sets().always)


def taken_checkpoint(arguments: Arguments) -> dict[str, str]:
    """Return the file name of the checkpoint that *Checkpoint or First* takes for `?named=`; "embedded": the demo."""
    from .host.checkpoint_choice import choose_checkpoint

    taken = choose_checkpoint(arguments.get("named", AUTO)).name
    return {"checkpoint": taken.replace("\\", "/").rpartition("/")[2]}


_one_at_a_time = threading.Lock()
"""Answers about thousands of LoRAs at once take turns: together they would take as long, and hold the server up."""


@lru_cache(maxsize=2)
def _cards(
    registry: ModelRegistry, revision: int, base: Architecture | None, always_used: tuple[AlwaysUsed, ...]
) -> bytes:
    from ..intelligence.models.compatibility import Fit, architecture_fit
    from ..intelligence.models.metadata import without_copies

    answers = {Fit.YES: True, Fit.NO: False, Fit.UNKNOWN: None}
    always = {entry.lora: entry.checkpoint for entry in always_used}
    listed = registry.summaries(ModelKind.LORA)
    names: dict[str | None, list[str]] = {}
    for one in listed:
        names.setdefault(one.digest, []).append(one.name)
    found = []
    for record in registry.read_models(without_copies(listed)):
        copies = names[record.digest][1:] if record.digest else []
        name = record.model_id.partition(":")[2]
        words = [word for trigger in record.trigger_sets for word in trigger.words][:CARD_TRIGGERS]
        found.append(
            {
                "id": record.model_id,
                "lora": name,
                "title": record.title or record.name,
                "base": base_title(record),
                "kind": record.lora_kind.value,
                "fits": None if base is None else answers[architecture_fit(record.architecture, base)],
                "words": " ".join(
                    [record.name, *copies, *words, *list(record.tags)[:CARD_TRIGGERS], record.creator or ""]
                ),
                "strength": record.strength,
                "favourite": record.favourite,
                "excluded": record.excluded,
                "always": always.get(name),
            }
        )
    return "".join(json_parts({"revision": revision, "loras": found})).encode()


def base_title(model: ModelMetadata) -> str:
    """Return the base model of a file as people name it."""
    from ..intelligence.models.kinds import ARCHITECTURE_TITLES, TITLES

    return TITLES.get(model.family) or model.base_model or ARCHITECTURE_TITLES[model.architecture]


def usage(arguments: Arguments) -> dict[str, Any]:
    """Return the stars of a LoRA (`?name=`), and the last of the newest generations that it was used in."""
    registry, learning = planner().registry, planner().learning
    model_id, moves = registry.get_model(arguments.get("name", "")).model_id, registry.moves()

    def has(loras: Any) -> bool:
        return model_id in {moves.get(lora, lora) for lora in loras}

    stars = [picture.rating for picture in learning.rated_pictures() if has(picture.generation.loras)]
    used = [stored for stored in learning.list_generations(USAGE_GENERATIONS) if has(stored.loras)]
    return {
        "stars": sum(stars) / len(stars) if stars else None,
        "rated": len(stars),
        "used": len(used),
        "last_used": used[0].created_at if used else None,
        "last_image": used[0].image_ids[0] if used and used[0].image_ids else None,
    }


def sets(arguments: Arguments) -> dict[str, Any]:
    """Return the named sets of LoRAs, and the LoRAs that are used always."""
    return lora_sets().to_dict()


def change_set(arguments: Arguments) -> dict[str, Any]:
    """Keep a set: {"name": …, "loras": [{"lora": …, "strength": …}]}; without loras, delete it. Returns all."""
    name, loras = arguments.get("name"), arguments.get("loras")
    require(isinstance(name, str), "the body lacks 'name', the set's")
    valid = loras is None or (isinstance(loras, list) and all(isinstance(entry, dict) for entry in loras))
    require(valid, '\'loras\' must be a list like [{"lora": "name", "strength": 0.8}]')
    return _keep(lora_sets().with_set(str(name), loras))


def change_always(arguments: Arguments) -> dict[str, Any]:
    """Use a LoRA always: {"lora": …, "strength": …, "checkpoint": …}; strength null: no longer. Returns all.

    One that the library lacks is refused, and only taken back.
    """
    lora, checkpoint, strength = arguments.get("lora"), arguments.get("checkpoint") or "", arguments.get("strength")
    require(isinstance(lora, str) and bool(lora), "the body lacks 'lora', its name")
    require(isinstance(checkpoint, str), "'checkpoint' must be a file name")
    changed = lora_sets().with_always(str(lora), None)
    try:
        model = planner().registry.get_model(str(lora))
    except ModelNotFoundError:
        if strength is not None:
            raise
        return _keep(changed)
    require(model.kind is ModelKind.LORA, f"{lora!r} is no LoRA")
    return _keep(changed.with_always(model.model_id.partition(":")[2], strength, checkpoint))


def _keep(changed: LoRASets) -> dict[str, Any]:
    changed.write(home())
    kept: dict[str, Any] = changed.to_dict()
    return kept


GET = {"/library/cards": cards, "/library/checkpoint": taken_checkpoint, "/library/sets": sets, "/library/usage": usage}
POST = {"/library/sets": change_set, "/library/always": change_always}
