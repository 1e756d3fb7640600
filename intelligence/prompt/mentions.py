"""Read what the picture shows: the known phrases of a prompt, each with its part in its piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from .phrases import Clause, Phrases
from .sentence_rules import (
    GIVES_WAY,
    MODIFIES,
    MODIFIES_SPANISH,
    PEOPLE,
    SEEN_AS,
    Place,
    decide,
    is_act,
    is_unknown_person,
    read_word,
)
from .vocabulary import Meaning, unknown_person


@dataclass(frozen=True)
class Mention:
    """A phrase of the vocabulary as the prompt uses it."""

    meaning: Meaning
    clause: int
    """Index of its piece."""
    weight: float
    """Attention weight."""
    adjunct: bool
    """It only accompanies another thing: `in a forest`, `… background`."""
    modifier: bool = False
    """It only says more about the thing named right after it: the coffee of `coffee cup`."""
    plural: bool = False
    joined: bool = False
    """`and` stands between it and an earlier phrase of its piece."""
    company: bool = False
    """A person does something to it or is with it: the child of `nurse carrying a child`."""


def read_mentions(phrases: Phrases) -> tuple[Mention, ...]:
    """Return the phrases that the prompt wants to see, in order."""
    mentions: list[Mention] = []
    for clause in phrases.clauses:
        mentions.extend(_read_clause(clause, phrases))
    return tuple(mentions)


def _read_clause(clause: Clause, phrases: Phrases) -> Iterator[Mention]:
    at = Place(clause, phrases.vocabulary, phrases.vocabulary.lists)
    modifies = MODIFIES_SPANISH if phrases.language == "es" else MODIFIES
    while at.position < len(clause.piece.words):
        phrase = clause.phrases.get(at.position)
        if phrase is None or is_act(phrase, at.shown):
            if not at.is_part:
                if is_unknown_person(at):
                    yield _person_before(at)
                    at.adjunct = at.person = True
                read_word(at)
            at.position += 1
            continue
        at.phrase, content = phrase, phrase.meaning.content
        if not at.negated and (not content or not decide(GIVES_WAY, at, False)):
            mention = _mention(at, decide(modifies, at, False))
            yield mention
            if content:
                at.person = at.person or not (at.adjunct or mention.modifier or PEOPLE.isdisjoint(content))
                at.shown, at.leading, at.inside = phrase, False, False
            elif phrase.meaning.styles:
                at.shown = None
        at.position = phrase.end


def _person_before(at: Place) -> Mention:
    piece, position = at.clause.piece, at.position - 1
    meaning = unknown_person(piece.words[position])
    return Mention(meaning, at.clause.index, piece.weights[position], at.leading, joined=at.joined)


def _mention(at: Place, modifier: bool) -> Mention:
    piece, match, meaning = at.clause.piece, at.phrase, at.meaning
    seen_as = decide(SEEN_AS, at, None)
    last = piece.words[match.end - 1]
    return Mention(
        meaning=replace(meaning, content=(seen_as,)) if seen_as else meaning,
        clause=at.clause.index,
        weight=max(piece.weights[match.start : match.end]),
        adjunct=at.adjunct or at.leading,
        modifier=modifier,
        plural=piece.terms[match.end - 1] != last and not meaning.phrase.endswith(last),  # not the queen of hearts
        joined=at.joined,
        company=at.company,
    )
