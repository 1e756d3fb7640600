"""Which words mean what: `vocabulary.json`, and a user's own file of the same form on top of it.

The file's parts: `styles` (per style, `words` that say it and `hints` that suggest it), `content` (per content type),
`concepts` (per category, whatever is neither), `quality` (per level), `families` (per family, quality tags with their
weight), `spanish` (Spanish phrase → English phrase), and the function words that separate phrases.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import InvalidInputError
from .analysis import ArtisticStyle, ConceptCategory, ContentType, QualityLevel
from .words import fold, terms

BUILT_IN = Path(__file__).with_name("vocabulary.json")

HINT = 0.4
"""How much a word that only suggests a style counts, against 1 for one that says it."""

_CONTENT_CATEGORY = {
    ContentType.CHARACTER: ConceptCategory.CHARACTER,
    ContentType.PORTRAIT: ConceptCategory.CAMERA,
    ContentType.GROUP: ConceptCategory.CHARACTER,
    ContentType.LANDSCAPE: ConceptCategory.SETTING,
    ContentType.ARCHITECTURE: ConceptCategory.SETTING,
    ContentType.INTERIOR: ConceptCategory.SETTING,
    ContentType.ABSTRACT: ConceptCategory.STYLE,
}


@dataclass(frozen=True)
class Meaning:
    """What one phrase of the vocabulary says."""

    phrase: str
    """In English."""
    category: ConceptCategory
    styles: tuple[tuple[ArtisticStyle, float], ...] = ()
    content: tuple[ContentType, ...] = ()
    quality: QualityLevel | None = None


@dataclass(frozen=True)
class Match:
    """A phrase found at `terms[start:end]`."""

    start: int
    end: int
    meaning: Meaning


@dataclass(frozen=True)
class Vocabulary:
    """Phrases by their terms (folded, singular), ready to be looked up."""

    english: dict[tuple[str, ...], Meaning]
    spanish: dict[tuple[str, ...], Meaning]
    families: dict[str, dict[tuple[str, ...], float]] = field(default_factory=dict)
    function_words: dict[str, frozenset[str]] = field(default_factory=dict)
    adjunct_words: frozenset[str] = frozenset()
    negating_words: frozenset[str] = frozenset()
    joining_words: frozenset[str] = frozenset()
    longest: int = 1

    def find(self, words: Sequence[str], language: str = "en") -> list[Match]:
        """The phrases in `words` (terms), longest first, none overlapping another; Spanish ones where it is Spanish."""
        tables = (self.spanish, self.english) if language == "es" else (self.english,)
        found: list[Match] = []
        position = 0
        while position < len(words):
            match = self._at(words, position, tables)
            if match:
                found.append(match)
            position = match.end if match else position + 1
        return found

    def _at(
        self, words: Sequence[str], position: int, tables: Sequence[dict[tuple[str, ...], Meaning]]
    ) -> Match | None:
        for length in range(min(self.longest, len(words) - position), 0, -1):
            key = tuple(words[position : position + length])
            for table in tables:
                if key in table:
                    return Match(position, position + length, table[key])
        return None


@cache
def load(path: Path | None = None) -> Vocabulary:
    """The built-in vocabulary, extended by the file at `path`. Read once per path.

    Raises:
        InvalidInputError: the file is not readable as a vocabulary.
    """
    data = json.loads(BUILT_IN.read_text(encoding="utf-8"))
    if path is None:
        return _build(data)
    try:
        own = json.loads(path.read_text(encoding="utf-8"))
        return _build(_merged(data, own))
    except (OSError, ValueError, RecursionError, AttributeError, TypeError) as error:
        raise InvalidInputError(
            f"{path}: not a vocabulary ({error}); it must have the form of "
            "the built-in vocabulary.json, with any of its parts"
        ) from None


def _merged(base: Any, own: Any) -> Any:
    """`base` with the entries of `own` added; where both have a word, the user's stands."""
    if isinstance(base, dict):
        if not isinstance(own, dict):
            raise TypeError(f"expected an object, got {own!r:.60}")
        return {**base, **{key: _merged(base[key], value) if key in base else value for key, value in own.items()}}
    if isinstance(base, list):
        if not isinstance(own, list) or not all(isinstance(word, str) for word in own):
            raise TypeError(f"expected a list of phrases, got {own!r:.60}")
        return base + own
    return own


def _build(data: dict[str, Any]) -> Vocabulary:
    english: dict[tuple[str, ...], Meaning] = {}

    def add(phrase: str, category: ConceptCategory, **more: Any) -> None:
        key = terms(phrase)
        known = english.get(key, Meaning(phrase, category))
        content = tuple(dict.fromkeys((*known.content, *more.get("content", ()))))
        english[key] = replace(
            known,
            styles=(*known.styles, *more.get("styles", ())),
            content=content,
            quality=more.get("quality") or known.quality,
        )

    for level, phrases in data["quality"].items():
        for phrase in phrases:
            add(phrase, ConceptCategory.QUALITY, quality=QualityLevel(level))
    for kind, phrases in data["content"].items():
        content = ContentType(kind)
        for phrase in phrases:
            add(phrase, _CONTENT_CATEGORY.get(content, ConceptCategory.CONTENT), content=(content,))
    for category, phrases in data["concepts"].items():
        for phrase in phrases:
            add(phrase, ConceptCategory(category))
    for name, lists in data["styles"].items():
        style = ArtisticStyle(name)
        for phrase in lists.get("words", ()):
            add(phrase, ConceptCategory.STYLE, styles=((style, 1.0),))
        for phrase in lists.get("hints", ()):
            add(phrase, ConceptCategory.STYLE, styles=((style, HINT),))
    english.pop((), None)
    plain = Vocabulary(english, {}, longest=max(map(len, english)))
    spanish = {terms(phrase): _translated(plain, meaning) for phrase, meaning in data["spanish"].items()}
    spanish.pop((), None)
    return Vocabulary(
        english,
        spanish,
        {family: {terms(tag): float(w) for tag, w in tags.items()} for family, tags in data["families"].items()},
        {language: frozenset(map(fold, words)) for language, words in data["function_words"].items()},
        frozenset(data["adjunct_words"]),
        frozenset(data["negating_words"]),
        frozenset(data["joining_words"]),
        max(map(len, (*english, *spanish))),
    )


def _translated(vocabulary: Vocabulary, phrase: str) -> Meaning:
    """What an English phrase means: the phrase itself, or the last one that it contains."""
    found = vocabulary.find(terms(phrase))
    return replace(found[-1].meaning, phrase=phrase) if found else Meaning(phrase, ConceptCategory.CONTENT)
