"""The prompt's words as noun phrases, sorted into categories."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .analysis import ConceptCategory, Segment
from .vocabulary import Match, Meaning, Vocabulary
from .words import fold, singular

_TOKEN = re.compile(r"(?P<word>[^\W_]+)|(?P<embedding>embedding:\S*)|(?P<stop>[,.;:!?\n|()\[\]{}\"“”—/]+)")
_EMBEDDING = re.compile(r"(?:^|(?<=\s))embedding:\S*")
_POSSESSIVE = re.compile(r"['’]s\b")
_SEPARATORS = frozenset(("AND", "BREAK"))
_MAX_CONCEPT_WORDS = 5
_MAX_CONCEPTS = 300
_ALONE = (ConceptCategory.QUALITY, ConceptCategory.STYLE, ConceptCategory.TECHNICAL)
"""Phrases of these categories take no unknown words into themselves: in `magical anime girl` the girl is magical."""


@dataclass(frozen=True)
class Mention:
    """One phrase of the vocabulary, as the prompt uses it."""

    meaning: Meaning
    piece: int
    weight: float
    """Attention weight."""
    adjunct: bool
    """Whether it only accompanies another thing: `in a forest`, `… background`."""
    plural: bool
    joined: bool
    """Whether `and` stands between it and an earlier phrase of its piece."""


@dataclass(frozen=True)
class Phrases:
    """What was found, in the order of the prompt."""

    language: str
    pieces: tuple[str, ...]
    """The texts between commas and full stops, in lower case."""
    mentions: tuple[Mention, ...]
    concepts: dict[ConceptCategory, tuple[str, ...]]
    word_count: int
    function_count: int


@dataclass
class _Piece:
    words: list[str] = field(default_factory=list)
    """Folded."""
    weights: list[float] = field(default_factory=list)


def read_phrases(segments: Sequence[Segment], vocabulary: Vocabulary) -> Phrases:
    """The phrases of a parsed prompt."""
    pieces = [piece for piece in _pieces(segments) if piece.words]
    language = _language(pieces, vocabulary)
    function_words = vocabulary.function_words[language]
    mentions: list[Mention] = []
    found: dict[ConceptCategory, dict[str, None]] = {}
    count = 0
    for index, piece in enumerate(pieces):
        terms = [singular(word) for word in piece.words]
        matches = {match.start: match for match in vocabulary.find(terms, language)}
        mentions += _mentions(piece, index, matches, vocabulary)
        if count < _MAX_CONCEPTS:
            for category, phrase in _concepts(piece.words, matches, function_words, vocabulary.negating_words):
                found.setdefault(category, {})[phrase] = None
                count += 1
    return Phrases(
        language=language,
        pieces=tuple(" ".join(piece.words) for piece in pieces),
        mentions=tuple(mentions),
        concepts={category: tuple(found[category]) for category in ConceptCategory if category in found},
        word_count=sum(len(piece.words) for piece in pieces),
        function_count=sum(word in function_words for piece in pieces for word in piece.words),
    )


def _pieces(segments: Sequence[Segment]) -> Iterator[_Piece]:
    piece = _Piece()
    for segment in segments:
        text = _EMBEDDING.sub(",", unicodedata.normalize("NFC", segment.text))
        for match in _TOKEN.finditer(_POSSESSIVE.sub("", text)):
            word = match.group("word")
            if word is None or word in _SEPARATORS:
                yield piece
                piece = _Piece()
            else:
                piece.words.append(fold(word))
                piece.weights.append(segment.weight)
    yield piece


def _language(pieces: Sequence[_Piece], vocabulary: Vocabulary) -> str:
    """`es` where Spanish words outnumber English ones, counting only words that tell the two apart."""
    spanish = english = 0
    es, en = vocabulary.function_words["es"], vocabulary.function_words["en"]
    for piece in pieces:
        for word in piece.words:
            term = (singular(word),)
            is_spanish = word in es or term in vocabulary.spanish
            is_english = word in en or term in vocabulary.english
            spanish += is_spanish and not is_english
            english += is_english and not is_spanish
    return "es" if spanish > english else "en"


def _mentions(piece: _Piece, index: int, matches: dict[int, Match], vocabulary: Vocabulary) -> Iterator[Mention]:
    adjunct = negated = joined = False
    background = any(match.meaning.phrase.endswith("background") for match in matches.values())
    position = 0
    while position < len(piece.words):
        match = matches.get(position)
        if match is None:
            word = piece.words[position]
            adjunct = adjunct or (word in vocabulary.adjunct_words and position > 0)
            negated = negated or word in vocabulary.negating_words
            joined = joined or word in vocabulary.joining_words
            position += 1
            continue
        if not negated:
            last = piece.words[match.end - 1]
            plural = singular(last) != last
            weight = max(piece.weights[match.start : match.end])
            yield Mention(match.meaning, index, weight, adjunct or background, plural, joined)
        position = match.end


def _concepts(
    words: Sequence[str], matches: dict[int, Match], function_words: frozenset[str], negating: frozenset[str]
) -> Iterator[tuple[ConceptCategory, str]]:
    """The noun phrases of one piece: runs between function words, split where the category changes."""
    run: list[tuple[str, ConceptCategory | None]] = []
    position, negated = 0, False
    while position < len(words):
        match = matches.get(position)
        if match is not None:
            as_written = " ".join(words[match.start : match.end])
            known = match.meaning.phrase
            same = fold(known) == as_written or singular(as_written) == singular(fold(known))
            run.append((as_written if same else fold(known).replace("_", " "), match.meaning.category))
            position = match.end
            continue
        word = words[position]
        position += 1
        if word in function_words:
            if not negated:
                yield from _noun_phrases(run)
            negated = word in negating or (negated and not run)
            run = []
        else:
            run.append((word, None))
    if not negated:
        yield from _noun_phrases(run)


def _noun_phrases(run: Sequence[tuple[str, ConceptCategory | None]]) -> Iterator[tuple[ConceptCategory, str]]:
    phrases: list[tuple[ConceptCategory, str]] = []
    pending: list[str] = []
    open_phrase = False  # whether the next word may still join the last phrase
    for text, category in run:
        if category is None:
            pending.append(text)
            continue
        if category in _ALONE:
            phrases.append((category, text))
            open_phrase = False
            continue
        if open_phrase and not pending and phrases[-1][0] is category and _short(phrases[-1][1], text):
            phrases[-1] = (category, f"{phrases[-1][1]} {text}")
        else:
            phrases.append((category, " ".join((*pending[-_MAX_CONCEPT_WORDS + 1 :], text))))
        pending = []
        open_phrase = True
    if pending:
        tail = " ".join(pending[:_MAX_CONCEPT_WORDS])
        if phrases and phrases[-1][0] not in _ALONE and _short(phrases[-1][1], tail):
            phrases[-1] = (phrases[-1][0], f"{phrases[-1][1]} {tail}")
        else:
            phrases.append((ConceptCategory.CONTENT, tail))
    yield from phrases


def _short(*texts: str) -> bool:
    return sum(text.count(" ") + 1 for text in texts) <= _MAX_CONCEPT_WORDS
