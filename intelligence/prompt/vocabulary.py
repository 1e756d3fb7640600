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
class WordLists:
    """Words with a part in grammar, folded; each list is a file in `lists/`."""

    adjunct_words: frozenset[str] = frozenset()
    """A thing after one of them only accompanies others: `in`, `with`."""
    of_words: frozenset[str] = frozenset()
    """`of`, `de`, `del`."""
    negating_words: frozenset[str] = frozenset()
    joining_words: frozenset[str] = frozenset()
    company_words: frozenset[str] = frozenset()
    """A person after one of them is there as a second person: `beside`."""
    inside_words: frozenset[str] = frozenset()
    """Things after one of them are seen from inside."""
    cooking_words: frozenset[str] = frozenset()
    """An animal after one of them is food."""
    describing_words: frozenset[str] = frozenset()
    """Phrases before one of them only describe: `heart shaped`."""
    containers: frozenset[str] = frozenset()
    """They give way to what they hold: `bowl of fruit`."""
    picture_words: frozenset[str] = frozenset()
    """Phrases before one of them are shown on it: `cosmonaut poster`."""
    beast_handlers: frozenset[str] = frozenset()
    """Trades of people whose names begin with an animal: `dragon hunter`."""
    person_words: frozenset[str] = frozenset()
    """`he`, `her`."""
    person_endings: frozenset[str] = frozenset()
    """Unknown words with one of these endings are people."""
    person_acts: frozenset[str] = frozenset()
    """Unknown words before one of these are people."""
    person_views: frozenset[str] = frozenset()
    """They hint at a person: `upper body`."""
    solo_words: frozenset[str] = frozenset()
    """They say that there is one person and no other."""
    close_ups: frozenset[str] = frozenset()
    """A person seen in one of these views is a portrait …"""
    full_figures: frozenset[str] = frozenset()
    """… unless one of these is named too."""
    faces: frozenset[str] = frozenset()
    spelled_right: frozenset[str] = frozenset()
    """Words that are no slip of the pen, near as they are to one of the vocabulary."""


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
    lists: WordLists = field(default_factory=WordLists)

    def find(self, terms: Sequence[str], language: str = "en", *, misspelt: bool = True) -> dict[int, Match]:
        """Return the phrases in `terms` by the position where they begin: the longest there, none overlapping another.

        Spanish phrases are known in Spanish (`es`) only; English words may be `misspelt`.
        """
        books = (self.spanish, self.english, self.names) if language == "es" else (self.english, self.names)
        found: dict[int, Match] = {}
        position = 0
        while position < len(terms):
            match = self._at(terms, position, books) or self._guess(
                terms[position], position, misspelt and language == "en"
            )
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

    def _guess(self, word: str, position: int, misspelt: bool) -> Match | None:
        """A word that stands in no list, by its ending, or as the word that it is misspelt for."""
        if word.endswith(self._endings) and any(
            word.endswith(ending) and len(word) > len(ending) + 3 for ending in self._endings
        ):
            return Match(position, position + 1, unknown_person(word))
        right = self._spelling.meant(word) if misspelt and word not in self.lists.spelled_right else None
        return Match(position, position + 1, self.english[right,]) if right else None

    @cached_property
    def _endings(self) -> tuple[str, ...]:
        return tuple(self.lists.person_endings)

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
