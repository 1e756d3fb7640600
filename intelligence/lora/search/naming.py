"""Phrases that name what a LoRA shows: pieces of its title, its file name, its trigger phrases, its commonest tags."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from enum import IntEnum

from ...models import LoRAKind, ModelMetadata
from ...models.fields import MAX_TRIGGER_SETS
from ...prompt.clip_words import UNKNOWN_RANK, word_rank
from .tokens import MAX_PHRASE, is_common, is_meta, tokens

MAX_NAMES = 40
"""Of one LoRA."""
MAX_TEXT = 300
"""Characters that are read of a title or phrase."""
MAX_TAGS = 6
MIN_TAG_SHARE = 0.5
"""Share of the commonest tag's count from which a tag names a LoRA."""

_CJK = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uffdf"
_CUT = re.compile(
    r"[|/()\[\]{}【】（）《》「」『』〔〕~～+;:!?\"“”,、，。·•←→=*&]+|\s[-–—]+\s|_-_|[-–—]{2,}"
    rf"|(?<=[a-zA-Z0-9.])\s*(?=[{_CJK}])|(?<=[{_CJK}])\s*(?=[a-zA-Z0-9])"
)
_QUALIFIER = re.compile(r"\s*\\?\([^()]*\\?\)\s*$")
_ORIGIN = re.compile(r"\s+(?:from|of|in)\s+", re.IGNORECASE)
_LATIN = re.compile(r"[a-zA-Z]{2}")
_NUMBER_TAIL = re.compile(r"(?<=[^\W\d_]{3})\d+$")
_LORA = re.compile(r"LoRA(?=s?\b)|LoCon\b")
_NOISE = frozenset(("ai", "mb", "extraction", "redone", "pack", "outfit", "series", "collection", "remake", "update"))


class NameSource(IntEnum):
    """Places in which a naming phrase stands."""

    FIRST_PIECE = 0
    """The first piece of the title."""
    OTHER_PIECE = 1
    TITLE = 2
    NAME = 3
    """The file's name."""
    FIRST_TRIGGER = 4
    """The first phrase of the first trigger set."""
    SET_TRIGGER = 5
    """The first phrase of a further set."""
    OTHER_TRIGGER = 6
    TAG = 7


STRONG = (NameSource.FIRST_PIECE, NameSource.TITLE, NameSource.NAME, NameSource.FIRST_TRIGGER)
"""Sources that name the LoRA itself."""

LOOKS = (LoRAKind.STYLE, LoRAKind.EFFECT)
"""Kinds that everyday words may name."""

Named = tuple[NameSource, tuple[str, ...]]
"""A source and the tokens of a phrase."""


def is_noise(token: str) -> bool:
    """Return whether a token at the edge of a name says nothing: `lora`, `v2`, `style`."""
    return is_meta(token) or token in _NOISE


def trimmed(phrase: tuple[str, ...]) -> tuple[str, ...]:
    """Return a phrase without noise at its edges."""
    start, end = 0, len(phrase)
    while start < end and is_noise(phrase[start]):
        start += 1
    while end > start and is_noise(phrase[end - 1]):
        end -= 1
    return phrase[start:end]


def title_pieces(title: str) -> list[str]:
    """Return the pieces of a title: `Keqing (Genshin Impact) | 3 outfits` has three."""
    return [
        piece for part in _CUT.split(_LORA.sub("lora", title[:MAX_TEXT])) if part and (piece := part.strip(" -–—._"))
    ]


def name_weight(token: str) -> float:
    """Return how much a word tells as part of a name: 0 for noise, 5 for a word that no dictionary has."""
    return 0.0 if is_noise(token) else 0.5 if is_common(token) else 0.5 + 0.9 * rank_level(word_rank(token))


def rank_level(rank: int) -> float:
    """Return 0 for the rank of a word that everybody uses … 5 for that of one which CLIP does not know."""
    return 5.0 if rank >= UNKNOWN_RANK else math.log2(1 + rank / 1500)


def naming_phrases(model: ModelMetadata) -> list[Named]:
    """Return the phrases of a LoRA's record that name it, each with its source, the surest first."""
    found: dict[tuple[NameSource, tuple[str, ...]], None] = {}
    people = model.lora_kind in (LoRAKind.CHARACTER, LoRAKind.UNKNOWN)
    for source, text in _texts(model):
        for phrase in _forms(text, bare=source is not NameSource.TAG, common=model.lora_kind in LOOKS):
            found.setdefault((source, phrase))
            if people and len(phrase) == 2 and source not in (NameSource.OTHER_TRIGGER, NameSource.TAG):
                found.setdefault((source, phrase[::-1]))
    return list(found)[:MAX_NAMES]


def _texts(model: ModelMetadata) -> Iterator[tuple[NameSource, str]]:
    pieces = [piece for piece in title_pieces(model.title) if trimmed(tokens(piece))]
    triggers = list(_triggers(model))
    called = {"".join(form) for source, text in triggers if source is NameSource.FIRST_TRIGGER for form in _forms(text)}
    first = next((n for n, piece in enumerate(pieces) if called.intersection(map("".join, _forms(piece)))), 0)
    firsts = {first, _in_latin(pieces)} if not _LATIN.search("".join(pieces[: first + 1])) else {first}
    for number, piece in enumerate(pieces):
        yield (NameSource.FIRST_PIECE if number in firsts else NameSource.OTHER_PIECE), piece
        if number in firsts:
            yield from ((NameSource.FIRST_PIECE, part) for part in _ORIGIN.split(piece)[:1] if part != piece)
    if len(pieces) > 1:
        yield NameSource.TITLE, model.title[:MAX_TEXT]
    yield NameSource.NAME, model.name[:MAX_TEXT]
    yield from triggers
    most = max(model.tags.values(), default=0)
    ranked = sorted(model.tags.items(), key=lambda item: (-item[1], item[0]))
    for tag, count in ranked[:MAX_TAGS]:
        if count >= MIN_TAG_SHARE * most:
            yield NameSource.TAG, tag[:MAX_TEXT]


def _in_latin(pieces: list[str]) -> int:
    """The first piece in Latin letters, which says in English what those before it say: `三国 The Three Kingdoms`."""
    return next((n for n, piece in enumerate(pieces) if _LATIN.search(piece)), 0)


def _triggers(model: ModelMetadata) -> Iterator[tuple[NameSource, str]]:
    for place, trigger in enumerate(model.trigger_sets[:MAX_TRIGGER_SETS]):
        for number, word in enumerate(trigger.words[:8]):
            first = NameSource.SET_TRIGGER if place else NameSource.FIRST_TRIGGER
            yield (NameSource.OTHER_TRIGGER if number else first), word[:MAX_TEXT]


def _forms(text: str, *, bare: bool = True, common: bool = False) -> Iterable[tuple[str, ...]]:
    """The phrase as it is written, without noise at its edges, and without what stands in parentheses behind it.

    Args:
        common: whether a phrase may be all common words, as `anime style`.
    """
    whole = tokens(plain := _LORA.sub("lora", text))
    forms = [whole, trimmed(whole)]
    if bare and (short := _QUALIFIER.sub("", plain)) != plain:
        forms.append(trimmed(tokens(short)))
    forms += [(*form[:-1], cut) for form in forms if form and (cut := _NUMBER_TAIL.sub("", form[-1])) != form[-1]]
    for form in dict.fromkeys(forms):
        if 0 < len(form) <= MAX_PHRASE and not all(is_meta(t) or (is_common(t) and not common) for t in form):
            yield form
