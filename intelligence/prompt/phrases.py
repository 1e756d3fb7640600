"""Read a prompt's clauses in its language: the vocabulary's phrases in each, and what it does not want."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .analysis import Negation, Segment
from .clauses import Clause, split_clauses
from .negation import find_negations
from .vocabulary import Meaning, Vocabulary


@dataclass(frozen=True)
class Phrases:
    """A whole prompt, in order."""

    clauses: list[Clause]
    is_cut: bool
    """Words after the first MAX_WORDS were left out."""
    language: str
    """`en` or `es`."""
    vocabulary: Vocabulary
    word_count: int
    function_word_count: int
    negated: tuple[Negation, ...] = ()

    @property
    def meanings(self) -> tuple[Meaning, ...]:
        """Meanings of all phrases, wanted or not."""
        return tuple(match.meaning for clause in self.clauses for match in clause.phrases.values())

    @property
    def negated_meanings(self) -> tuple[Meaning, ...]:
        """Meanings of the phrases that are not wanted."""
        found = ((clause, start, match) for clause in self.clauses for start, match in clause.phrases.items())
        return tuple(match.meaning for clause, start, match in found if start in clause.negated)


def find_phrases(prompt: str, segments: Sequence[Segment], vocabulary: Vocabulary) -> Phrases:
    """Return the phrases of a prompt, read in its language.

    Args:
        segments: those of `prompt`.
    """
    clauses, is_cut = split_clauses(prompt, segments)
    language = _language(clauses, vocabulary)
    for clause in clauses:
        clause.phrases = vocabulary.find(clause.terms, language)
    negated = find_negations(prompt, clauses, language, vocabulary)
    words = [word for clause in clauses for word in clause.words]
    separating = sum(map(vocabulary.function_words[language].__contains__, words))
    return Phrases(clauses, is_cut, language, vocabulary, len(words), separating, negated)


def _language(clauses: Sequence[Clause], vocabulary: Vocabulary) -> str:
    """Return `es` where Spanish words outnumber English ones, counting only words that belong to one of the two."""
    spanish = english = 0
    es, en = vocabulary.function_words["es"], vocabulary.function_words["en"]
    for clause in clauses:
        for word, term in zip(clause.words, clause.terms, strict=True):
            is_spanish = word in es or (term,) in vocabulary.spanish or term in vocabulary.spanish_adjectives
            is_english = word in en or (term,) in vocabulary.english
            spanish += is_spanish and not is_english
            english += is_english and not is_spanish
    return "es" if spanish > english else "en"
