"""Split a prompt at its commas, full stops and brackets, and find the vocabulary's phrases in each part."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .analysis import Segment
from .prompt_syntax import split_embeddings
from .vocabulary import Match, Vocabulary
from .words import fold, singular

MAX_WORDS = 2_000
"""Words of a prompt that are read for their meaning; no text encoder sees as many."""

_TOKEN = re.compile(
    r"(?P<word>[^\W_]+)(?P<suffix>-(?=\w)|['’]s\b)?"
    r"|(?P<stop>[,;!?\n|()\[\]{}\"“”—]+|\.(?!\w)|[:/](?!\d))"
)
_NO_WORDS = re.compile(r"(?:^|(?<=\s))--[a-z]+(?:[ =]+[\d.:]+)?|<[^<>]*>")
"""Midjourney's parameters, tags."""
_SEPARATORS = (None, "AND", "BREAK")


@dataclass
class Clause:
    """The words between two separators, one entry a word in each list."""

    index: int
    words: list[str] = field(default_factory=list)
    """Folded, plurals kept."""
    terms: list[str] = field(default_factory=list)
    """Folded, in the singular."""
    weights: list[float] = field(default_factory=list)
    """Attention weights."""
    suffixes: list[str] = field(default_factory=list)
    """`-` joins the word to the next one; `'s`; else empty."""
    phrases: dict[int, Match] = field(default_factory=dict)
    """Position of the first word → the phrase that begins there; none overlaps another."""


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


def find_phrases(segments: Sequence[Segment], vocabulary: Vocabulary) -> Phrases:
    """Return the phrases in the segments of a prompt, read in its language."""
    clauses, is_cut = _split(segments)
    language = _language(clauses, vocabulary)
    for clause in clauses:
        clause.phrases = vocabulary.find(clause.terms, language)
    words = [word for clause in clauses for word in clause.words]
    separating = sum(map(vocabulary.function_words[language].__contains__, words))
    return Phrases(clauses, is_cut, language, vocabulary, len(words), separating)


def _split(segments: Sequence[Segment]) -> tuple[list[Clause], bool]:
    """The clauses that hold words, up to MAX_WORDS words in all, and whether some were left out."""
    clauses: list[Clause] = []
    count, is_open = 0, False
    for token, weight in _tokens(segments):
        if token["word"] in _SEPARATORS:
            is_open = False
            continue
        if count == MAX_WORDS:
            return clauses, True
        if not is_open:
            clauses.append(Clause(len(clauses)))
        clause, word = clauses[-1], fold(token["word"])
        clause.words.append(word)
        clause.terms.append(singular(word))
        clause.weights.append(weight)
        clause.suffixes.append((token["suffix"] or "").replace("’", "'"))
        count, is_open = count + 1, True
    return clauses, False


def _tokens(segments: Sequence[Segment]) -> Iterator[tuple[re.Match[str], float]]:
    for segment in segments:
        plain = ",".join(text for _, text in split_embeddings(unicodedata.normalize("NFC", segment.text)))
        for token in _TOKEN.finditer(_NO_WORDS.sub(",", plain)):
            yield token, segment.weight


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
