"""Phrases and what they mean, ready to be looked up in a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from .analysis import ArtisticStyle, ConceptCategory, ContentType, QualityLevel
from .spelling import Spelling
from .words import fold


@dataclass(frozen=True)
class Meaning:
    """Meaning of one phrase."""

    phrase: str
    """In English."""
    category: ConceptCategory
    styles: tuple[tuple[ArtisticStyle, float], ...] = ()
    content: tuple[ContentType, ...] = ()
    weak: bool = False
    """It is mostly an accessory of the picture's content."""
    quality: QualityLevel | None = None
    garment: bool = False
    """It is worn."""

    @cached_property
    def folded(self) -> str:
        """The phrase without case and accents, as the word lists hold it."""
        return fold(self.phrase)


def unknown_person(word: str) -> Meaning:
    """Meaning of a word that must be a person."""
    return Meaning(word, ConceptCategory.CHARACTER, content=(ContentType.CHARACTER,))


@dataclass(frozen=True)
class Match:
    """A phrase found at `terms[start:end]`."""

    start: int
    end: int
    meaning: Meaning


Phrasebook = dict[tuple[str, ...], Meaning]


@dataclass(frozen=True)
class Vocabulary:
    """Phrases by their terms, with what they mean."""

    english: Phrasebook
    names: Phrasebook = field(default_factory=dict)
    """Well-known figures."""
    spanish: Phrasebook = field(default_factory=dict)
    spanish_adjectives: dict[str, str] = field(default_factory=dict)
    """Spanish adjective, singular and folded, → the English one."""
    families: dict[str, dict[tuple[str, ...], tuple[str, float]]] = field(default_factory=dict)
    """Per model family, terms → the quality tag and its weight."""
    function_words: dict[str, frozenset[str]] = field(default_factory=dict)
    """Per language (`en`, `es`), words that separate phrases."""
    lists: dict[str, frozenset[str]] = field(default_factory=dict)
    """The word lists by name, folded."""

    def find(self, terms: Sequence[str], language: str = "en") -> dict[int, Match]:
        """Return the phrases in `terms` by the position where they begin: the longest there, none overlapping another.

        Spanish phrases are known in Spanish (`es`) only, misspelt words in English (`en`) only.
        """
        books = (self.spanish, self.english, self.names) if language == "es" else (self.english, self.names)
        found: dict[int, Match] = {}
        position = 0
        while position < len(terms):
            match = self._at(terms, position, books) or self._guess(terms[position], position, language)
            if match:
                found[position] = match
            position = match.end if match else position + 1
        return found

    def _at(self, words: Sequence[str], position: int, books: Sequence[Phrasebook]) -> Match | None:
        word = words[position]
        for length in range(min(self._longest.get(word, 0), len(words) - position), 0, -1):
            key = tuple(words[position : position + length])
            for book in books:
                if key in book:
                    return Match(position, position + length, book[key])
        return None

    def _guess(self, word: str, position: int, language: str) -> Match | None:
        """A word that stands in no list, by its ending, or as the word that it is misspelt for."""
        endings = self.lists.get("person_endings", ())
        if any(word.endswith(ending) and len(word) > len(ending) + 3 for ending in endings):
            return Match(position, position + 1, unknown_person(word))
        right = self._spelling.meant(word) if language == "en" and word not in self.lists["spelled_right"] else None
        return Match(position, position + 1, self.english[right,]) if right else None

    @cached_property
    def _longest(self) -> dict[str, int]:
        """First word of phrases → number of words of the longest of them."""
        longest: dict[str, int] = {}
        for book in (self.english, self.names, self.spanish):
            for key in book:
                if len(key) > longest.get(key[0], 0):
                    longest[key[0]] = len(key)
        return longest

    @cached_property
    def _spelling(self) -> Spelling:
        """Spelling of the single words that say what a picture shows."""
        return Spelling(key[0] for key, meaning in self.english.items() if len(key) == 1 and meaning.content)
