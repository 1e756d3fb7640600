"""General knowledge of words and names, whatever a library has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from typing import NamedTuple

from ...prompt import ConceptCategory, ContentType, load_vocabulary
from ...prompt.vocabulary import HINT_WEIGHT, Meaning
from .building import Background
from .tokens import stem


class PhraseCounts(NamedTuple):
    """Frequencies of a phrase at large, each the log of 1 + a number."""

    pages: float = 0.0
    """Model pages whose prompts have it."""
    captions: float = 0.0
    namesakes: float = 0.0
    """LoRAs of that name."""


RARE = PhraseCounts()


@dataclass(frozen=True)
class Knowledge:
    """General knowledge of words and names."""

    words: Mapping[str, Background]
    series: frozenset[str] = frozenset()
    """Keys of series: they tell LoRAs of one series apart from others, and never call one."""
    phrases: Mapping[str, PhraseCounts] = field(default_factory=dict)
    """Key of a word or name → its counts; without those that are `RARE`."""


class Shown(IntEnum):
    """Sorts of things that a word or phrase of the vocabulary names; their numbers are evidence."""

    UNKNOWN = 0
    OTHER = 1
    LOOK = 2
    """A style, by a word that says it."""
    GARMENT = 3
    ACCESSORY = 4
    """Mostly part of something else: a marble, a staircase."""
    THING = 5
    PLACE = 6
    ANIMAL = 7
    PERSON = 8


_BY_CONTENT = {
    **dict.fromkeys((ContentType.CHARACTER, ContentType.PORTRAIT, ContentType.GROUP), Shown.PERSON),
    ContentType.ANIMAL: Shown.ANIMAL,
    **dict.fromkeys((ContentType.LANDSCAPE, ContentType.ARCHITECTURE, ContentType.INTERIOR), Shown.PLACE),
    **dict.fromkeys((ContentType.OBJECT, ContentType.FOOD, ContentType.VEHICLE), Shown.THING),
}


@cache
def shown_by() -> Mapping[str, Shown]:
    """Return what the words and phrases of the vocabulary name, by their keys."""
    return {"".join(map(stem, key)): _sort(meaning) for key, meaning in load_vocabulary().english.items()}


def _sort(meaning: Meaning) -> Shown:
    if any(says > HINT_WEIGHT for _, says in meaning.styles) or meaning.category is ConceptCategory.STYLE:
        return Shown.LOOK
    if meaning.garment:
        return Shown.GARMENT
    if meaning.content and meaning.weak:
        return Shown.ACCESSORY
    return next((_BY_CONTENT[content] for content in meaning.content if content in _BY_CONTENT), Shown.OTHER)
