"""Find the vocabulary's phrases in the pieces of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .pieces import Piece
from .vocabulary import Match, Vocabulary


@dataclass(frozen=True)
class Clause:
    """A piece of the prompt, and the phrases that the vocabulary knows in it."""

    index: int
    piece: Piece
    phrases: dict[int, Match]
    """Position of the first word → the phrase that begins there; none overlaps another."""


@dataclass(frozen=True)
class Phrases:
    """A whole prompt, in order."""

    clauses: tuple[Clause, ...]
    language: str
    """`en` or `es`."""
    vocabulary: Vocabulary
    word_count: int
    function_word_count: int
    has_pronoun: bool
    """A person is called he or she."""


def find_phrases(pieces: Sequence[Piece], vocabulary: Vocabulary) -> Phrases:
    """Return the phrases in the pieces of a prompt, read in its language."""
    language = _language(pieces, vocabulary)
    function_words, pronouns = vocabulary.function_words[language], vocabulary.lists.person_words
    clauses: list[Clause] = []
    words = separating = 0
    has_pronoun = False
    for index, piece in enumerate(pieces):
        clauses.append(Clause(index, piece, vocabulary.find(piece.terms, language)))
        words += len(piece.words)
        separating += sum(map(function_words.__contains__, piece.words))
        has_pronoun = has_pronoun or not pronouns.isdisjoint(piece.words)
    return Phrases(tuple(clauses), language, vocabulary, words, separating, has_pronoun)


def _language(pieces: Sequence[Piece], vocabulary: Vocabulary) -> str:
    """Return `es` where Spanish words outnumber English ones, counting only words that belong to one of the two."""
    spanish = english = 0
    es, en = vocabulary.function_words["es"], vocabulary.function_words["en"]
    for piece in pieces:
        for word, term in zip(piece.words, piece.terms, strict=True):
            is_spanish = word in es or (term,) in vocabulary.spanish or term in vocabulary.spanish_adjectives
            is_english = word in en or (term,) in vocabulary.english
            spanish += is_spanish and not is_english
            english += is_english and not is_spanish
    return "es" if spanish > english else "en"
