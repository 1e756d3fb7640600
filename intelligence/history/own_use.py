"""The user's own use of a library, by the pictures made before: prompts and strengths of LoRAs, pairs, checkpoints."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from statistics import median_low
from typing import Protocol

from ..models.kinds import ExamplePrompt
from ..models.name_patterns import SAFETENSORS_SUFFIXES, plain_name
from ..pictures.picture_info import OWN_PROGRAM
from ..records import Record
from .past_pictures import Mark, PastPicture

MAX_EXAMPLES = 60
"""Of one LoRA, those that speak best of it first."""
MAX_PAIRS = 200


class Listed(Protocol):
    """A model of the library."""

    @property
    def model_id(self) -> str:
        """`<kind>:<path under its root>`."""

    @property
    def name(self) -> str:
        """File name without extension."""


class NamedModels:
    """Models by the names that pictures have for them: paths under their root, with or without ending, file names.

    Args:
        moves: earlier id → id that the same file has now: pictures keep the old name.
    """

    def __init__(self, models: Iterable[Listed], moves: Mapping[str, str] | None = None) -> None:
        self._by_path: dict[str, str] = {}
        self._by_name: dict[str, str | None] = {}
        self._found: dict[str, str | None] = {}
        """Names that were asked for already: many pictures have the same."""
        for model in models:
            self._by_path[_plain_path(model.model_id.partition(":")[2])] = model.model_id
            self._add_name(plain_name(model.name), model.model_id)
        known = set(self._by_path.values())
        for earlier, now in (moves or {}).items():
            if now in known:
                path = earlier.partition(":")[2]
                self._by_path.setdefault(_plain_path(path), now)
                if plain_name(path) not in self._by_name:
                    self._add_name(plain_name(path), now)

    def _add_name(self, name: str, model_id: str) -> None:
        name = unicodedata.normalize("NFC", name)
        self._by_name[name] = None if self._by_name.get(name, model_id) != model_id else model_id

    def id_of(self, name: str) -> str | None:
        """Return the id of the model with this name; None: there is none, or several have it."""
        if name not in self._found:
            found = self._by_path.get(_plain_path(name))
            self._found[name] = found or self._by_name.get(unicodedata.normalize("NFC", plain_name(name)))
        return self._found[name]


def _plain_path(path: str) -> str:
    text = unicodedata.normalize("NFC", path).replace("\\", "/").casefold().strip("/ ")
    return next((text[: -len(end)] for end in SAFETENSORS_SUFFIXES if text.endswith(end)), text)


@dataclass(frozen=True)
class PairUse(Record):
    """Two LoRAs that were applied together."""

    loras: tuple[str, str]
    """Model ids."""
    pictures: int


@dataclass(frozen=True)
class CheckpointUse(Record):
    """A checkpoint's use."""

    checkpoint: str
    """As pictures name it."""
    pictures: int
    settings: dict[str, int | float | str] = field(default_factory=dict)
    """`steps`, `cfg`, `sampler`, `scheduler`, `width`, `height`: the median of numbers, the commonest of words; `size`:
    width and height, as `832x1216`, of more than half of the pictures."""


@dataclass(frozen=True)
class OwnUse(Record):
    """Everything in one record, for people."""

    loras: dict[str, int] = field(default_factory=dict)
    """Model id → pictures with it, the most used first."""
    unknown_loras: dict[str, int] = field(default_factory=dict)
    """Names in pictures that are no LoRA of the library → pictures."""
    pairs: tuple[PairUse, ...] = ()
    checkpoints: tuple[CheckpointUse, ...] = ()


def own_examples(pictures: Sequence[PastPicture], models: NamedModels) -> dict[str, tuple[ExamplePrompt, ...]]:
    """Return model id → the user's own prompts with it, and strengths, as example prompts; liked and newest first.

    Each prompt counts once at each strength. Not those of pictures that were removed, and not those of this pack's own:
    there the strength was the pack's choice, and would confirm itself.
    """
    found: dict[str, dict[tuple[str, float, bool], tuple[float, float]]] = defaultdict(dict)
    for picture in pictures:
        if picture.program == OWN_PROGRAM or Mark.REMOVED in picture.marks:
            continue
        used = {lora.name: lora.strength for lora in picture.loras if lora.strength}
        for name, strength in used.items():
            if (model_id := models.id_of(name)) is not None:
                key = picture.prompt, strength, len(used) > 1
                rank = (picture.signal, picture.made_at)
                found[model_id][key] = max(found[model_id].get(key, rank), rank)
    return {
        model_id: tuple(
            ExamplePrompt(prompt, strength, stacked, own=True)
            for prompt, strength, stacked in sorted(examples, key=lambda key: examples[key], reverse=True)[
                :MAX_EXAMPLES
            ]
        )
        for model_id, examples in found.items()
    }


def with_ids(picture: PastPicture, models: NamedModels) -> PastPicture:
    """Return the picture with the ids of the library's LoRAs in place of their names; others keep their name."""
    loras = tuple(replace(lora, name=models.id_of(lora.name) or lora.name) for lora in picture.loras)
    return replace(picture, loras=loras)


def own_use(pictures: Sequence[PastPicture], models: NamedModels) -> OwnUse:
    """Return how often LoRAs, pairs of them and checkpoints were used, and with which settings."""
    loras: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for picture in pictures:
        known = sorted({found for lora in picture.loras if (found := models.id_of(lora.name))})
        loras.update(known)
        unknown.update({lora.name for lora in picture.loras if models.id_of(lora.name) is None})
        pairs.update(combinations(known, 2))
    return OwnUse(
        dict(loras.most_common()),
        dict(unknown.most_common(MAX_PAIRS)),
        tuple(PairUse(pair, number) for pair, number in pairs.most_common(MAX_PAIRS)),
        checkpoint_uses(pictures),
    )


def checkpoint_uses(pictures: Sequence[PastPicture]) -> tuple[CheckpointUse, ...]:
    """Return the checkpoints, the most used first, with the user's usual settings. Removed pictures do not count."""
    by_checkpoint: dict[str, list[PastPicture]] = defaultdict(list)
    for picture in pictures:
        if picture.checkpoint and Mark.REMOVED not in picture.marks:
            by_checkpoint[plain_name(picture.checkpoint)].append(picture)
    found = [
        CheckpointUse(
            Counter(each.checkpoint for each in used).most_common(1)[0][0],
            len(used),
            _usual([e.settings for e in used]),
        )
        for used in by_checkpoint.values()
    ]
    return tuple(sorted(found, key=lambda use: (-use.pictures, use.checkpoint)))


def _usual(settings: Sequence[Mapping[str, int | float | str]]) -> dict[str, int | float | str]:
    usual: dict[str, int | float | str] = {}
    for name in ("steps", "cfg", "width", "height"):
        numbers = [value for each in settings if isinstance(value := each.get(name), (int, float))]
        if numbers:
            usual[name] = median_low(numbers)
    for name in ("sampler", "scheduler"):
        if words := Counter(value for each in settings if isinstance(value := each.get(name), str)):
            usual[name] = words.most_common(1)[0][0]
    sizes = Counter(f"{each['width']}x{each['height']}" for each in settings if {"width", "height"} <= each.keys())
    for size, count in sizes.most_common(1):
        if count > len(settings) / 2:
            usual["size"] = size
    return usual
