"""Sort the noun phrases of a prompt into categories; in English where the prompt is Spanish."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from .analysis import ConceptCategory
from .clauses import Clause
from .phrases import Phrases
from .vocabulary import Match
from .words import singular

_MAX_CONCEPT_WORDS = 5
_LETTER = re.compile(r"[^\W\d]")
_ALONE = (ConceptCategory.QUALITY, ConceptCategory.STYLE, ConceptCategory.TECHNICAL)
"""Phrases of these categories take no unknown words into themselves: in `magical anime girl` the girl is magical."""
_THINGS = (ConceptCategory.CHARACTER, ConceptCategory.CONTENT, ConceptCategory.SETTING)
_Word = tuple[str, ConceptCategory | None]


def read_concepts(phrases: Phrases) -> dict[ConceptCategory, tuple[str, ...]]:
    """Return the prompt's concepts per category, each once, in the order of the prompt."""
    found: dict[ConceptCategory, dict[str, None]] = {category: {} for category in ConceptCategory}
    for clause in phrases.clauses:
        for run in _runs(clause, phrases):
            for category, phrase in _by_category(run):
                found[category][phrase] = None
    return {category: tuple(concepts) for category, concepts in found.items() if concepts}


def _runs(clause: Clause, phrases: Phrases) -> Iterator[list[_Word]]:
    """The words between function words, without those that are negated."""
    words, terms, matches = clause.words, clause.terms, clause.phrases
    vocabulary, spanish = phrases.vocabulary, phrases.language == "es"
    function_words = vocabulary.function_words[phrases.language]
    run: list[_Word] = []
    noun = 0  # where the last noun of a Spanish run begins, with all that was put before it
    position, unwanted = 0, clause.unwanted
    while position < len(words):
        match, word = matches.get(position), words[position]
        adjective = vocabulary.spanish_adjectives.get(terms[position]) if spanish else None
        if position in unwanted:
            yield run
            run, noun = [], 0
            position = max(position + 1, match.end if match else 0)
        elif match is not None and not (adjective and match.end == position + 1 and _qualifies(match, run)):
            run.append((_as_written(match, words), match.meaning.category))
            noun = len(run) - 1
            position = match.end
        elif adjective:
            run.insert(noun if run else 0, (adjective, None))
            position += 1
        elif spanish and word == "de" and _joins(run, matches.get(position + 1)):
            run.insert(noun, (_as_written(matches[position + 1], words), None))
            position = matches[position + 1].end
        elif word in function_words:
            yield run
            run, noun = [], 0
            position += 1
        else:
            run.append((word, None))
            noun = len(run) - 1
            position += 1
    yield run


def _as_written(match: Match, piece: Sequence[str]) -> str:
    """The phrase as it is written (plurals kept); in English where it is Spanish; tags with their underscores."""
    written = " ".join(piece[match.start : match.end])
    known = match.meaning.folded
    return written if known == written or singular(written) == singular(known) else known


def _qualifies(match: Match, run: Sequence[_Word]) -> bool:
    """Return whether a Spanish word that could also stand alone describes the noun before it: `robot gigante`."""
    return bool(run) and run[-1][1] is not None and match.meaning.category not in _ALONE


def _joins(run: Sequence[_Word], match: Match | None) -> bool:
    """Return whether Spanish `de` makes one thing of two: `reina de hielo` is an ice queen."""
    return bool(run) and run[-1][1] in _THINGS and match is not None and match.meaning.category in _THINGS


def _by_category(run: Sequence[_Word]) -> Iterator[tuple[ConceptCategory, str]]:
    phrases: list[tuple[ConceptCategory, str]] = []
    pending: list[str] = []
    open_phrase = False  # whether the next word may still join the last phrase
    for text, category in run:
        if category is None:
            pending.append(text)
        elif category in _ALONE:
            phrases.append((category, text))
            open_phrase = False
        elif open_phrase and not pending and phrases[-1][0] is category and _short(phrases[-1][1], text):
            phrases[-1] = (category, f"{phrases[-1][1]} {text}")
        else:
            phrases.append((category, " ".join((*pending[-_MAX_CONCEPT_WORDS + 1 :], text))))
            pending, open_phrase = [], True
    if _LETTER.search("".join(pending)):
        tail = " ".join(pending[:_MAX_CONCEPT_WORDS])
        if phrases and phrases[-1][0] not in _ALONE and _short(phrases[-1][1], tail):
            phrases[-1] = (phrases[-1][0], f"{phrases[-1][1]} {tail}")
        else:
            phrases.append((ConceptCategory.CONTENT, tail))
    yield from (phrase for phrase in phrases if _LETTER.search(phrase[1]))


def _short(*texts: str) -> bool:
    return sum(text.count(" ") + 1 for text in texts) <= _MAX_CONCEPT_WORDS
