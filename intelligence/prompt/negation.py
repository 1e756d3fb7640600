"""Find what a prompt names only to say that it does not want it: `no`, `without`, `instead of`, `sin`, `en vez de`.

A negating word reaches to the end of its clause at most, and ends earlier: at a contrast (`but`), at the first function
word behind the thing that it names (`without a hat | on the beach`), before a second thing with words of its own
(`without glasses | and with a hat`). Word lists hold the words; their names are explained in `vocabulary`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .analysis import ContentType, Negation
from .clauses import Clause
from .vocabulary import Vocabulary

CUE_LISTS = (
    "absence_words",
    "exceptive_words",
    "lacking_words",
    "leaving_out_words",
    "negating_words",
)
"""Word lists whose phrases may negate."""
_PEOPLE = frozenset((ContentType.CHARACTER, ContentType.GROUP))
_EITHER = frozenset(("or", "nor", "ni", "o", "u"))
_BOTH = frozenset(("and", "y", "e"))
_OF = frozenset(("of", "de", "del"))
_POLITE = frozenset(("please", "and", "but", "just", "also", "y", "favor", "pero", "no", "se", "to"))
"""Words that may stand before an order to leave something out."""
_PRONOUNS = frozenset(("nothing", "nada", "nobody", "no", "none", "nadie"))
"""First words of the `none_words` that may negate."""
_MAX_BACK = 12
"""Words before `except` in which it is looked for what it takes something out of."""
_UNABLE = frozenset(("can", "cannot", "cant", "couldn", "couldnt"))
_MAX_UNIVERSAL = 3
"""Words from `everything` to the `but` of what it does not hold."""
_MAX_LIST = 40
"""Clauses that are read as one list of what is not wanted."""
_MAX_LIST_WORDS = 3
"""Words of an item in a list of what is not wanted."""
_MIN_SENTENCE_WORDS = 3.0
"""Mean words of a clause from which a prompt is sentences, in which `or` ends a list that commas began."""
_ROMAJI = re.compile(r"(?:(?:[bghkmnprsz]y|sh|ch|ts|[bdfghjkmnprstwyz])?[aeiou]|n(?![aeiou]))+")


class _Cue(NamedTuple):
    """A negating phrase at `words[start:end]` of a clause."""

    start: int
    end: int
    lacking: bool = False
    """It says that something is absent, so that a negation before it cancels it: `never without`."""


@dataclass
class _Reader:
    clause: Clause
    language: str
    vocabulary: Vocabulary

    def __post_init__(self) -> None:
        self.words, self.lists = self.clause.words, self.vocabulary.lists
        self.function_words = self.vocabulary.function_words[self.language]
        self.neutral = {
            position
            for start in range(len(self.words))
            for position in range(start, start + self.length("not_negating_words", start))
        }

    def length(self, name: str, position: int) -> int:
        """The number of words of the longest phrase of a word list that begins at `position`; 0: none does."""
        return self.vocabulary.phrase_length(name, self.words, position)

    def is_in(self, name: str, position: int) -> bool:
        return position < len(self.words) and self.words[position] in self.lists[name]

    def cue(self, position: int) -> _Cue | None:
        """The negating phrase that begins at `position`."""
        if position in self.neutral or not self._in_language(position):
            return None
        if length := self.length("none_words", position):
            return _Cue(position, position + length) if self._negates_as_pronoun(position, length) else None
        if length := self.length("lacking_words", position):
            return _Cue(position, position + length, lacking=True)
        if length := self.length("leaving_out_words", position):
            return _Cue(position, position + length, lacking=True) if self._is_order(position, length) else None
        if length := self.length("negating_words", position):
            return None if self._is_japanese(position) else _Cue(position, position + length)
        if length := self.length("exceptive_words", position):
            return _Cue(position, position + length, lacking=True) if self._excepts(position, length) else None
        if self.words[position] == "non":
            return _Cue(position, position + 1)
        return None

    def _in_language(self, position: int) -> bool:
        """Return whether the word is not one of the other language alone: the `sin` of `sin city`."""
        word, words = self.words[position], self.vocabulary.function_words
        return self.language == "es" or word not in words["es"] or word in words["en"]

    def _is_order(self, position: int, length: int) -> bool:
        told = length > 1 or self.words[position].startswith("forg")
        return told or position == 0 or self.words[position - 1] in _POLITE or self._follows_negation(position)

    def _follows_negation(self, position: int) -> bool:
        return position > 0 and self.words[position - 1] == "t"

    def _is_japanese(self, position: int) -> bool:
        """Return whether `no` joins two words of a Japanese title: `majo no tabitabi`."""
        if self.words[position] != "no" or not 0 < position < len(self.words) - 1:
            return False
        spanish = self.language == "es" and self._is_known(position + 1)
        return not (spanish or self._is_known(position - 1)) and _ROMAJI.fullmatch(self.words[position - 1]) is not None

    def _is_known(self, position: int) -> bool:
        """Return whether the word is English or Spanish, as far as the vocabulary knows."""
        key = (self.clause.terms[position],)
        known = self.words[position] in self.function_words
        known = known or self.is_in("carrying_words", position) or self.is_in("contrast_words", position)
        return known or key in self.vocabulary.english or key in self.vocabulary.spanish

    def _excepts(self, position: int, length: int) -> bool:
        """Return whether `but` or `except` takes something out of all there is: not out of nothing, which shows it."""
        for before in range(position - 1, max(-1, position - 1 - _MAX_BACK), -1):
            if self.length("none_words", before):
                return False
            if self.length("all_words", before) and position - before <= _MAX_UNIVERSAL:
                return True
        following = self.words[position + length : position + length + 1]
        return self.words[position] not in ("but", "menos") and following not in (["a"], ["an"], ["un"], ["una"])

    def _negates_as_pronoun(self, position: int, length: int) -> bool:
        """Return whether `nobody` is said to have a thing, or `nothing` to be one: `nobody wearing hats`."""
        word, following = self.words[position], position + length
        if following == len(self.words) or word not in _PRONOUNS:
            return False
        if word in ("nothing", "nada", "none"):
            return self.words[following] in _OF or self.words[following] not in self.function_words
        return self.is_in("carrying_words", following)

    def scope(self, cue: _Cue) -> tuple[int, bool]:
        """The end of what a cue negates, and whether a second negation cancels it there."""
        named, with_article = False, False
        is_no = self.words[cue.start] == "no" and self.language == "en"
        for position in range(cue.end, len(self.words)):
            if (other := self.cue(position)) is not None:
                return (other.end, True) if other.lacking and not cue.lacking else (position, False)
            if position in self.neutral or self.is_in("contrast_words", position):
                return position, False
            word = self.words[position]
            article = word in self.lists["determiners"]
            if article or word in self.function_words or (not named and self.is_in("carrying_words", position)):
                if named and not self._goes_on(position, with_article):
                    return position, False
                named, with_article = False, with_article or article
            else:
                named = named or is_no or not self._has_object(position)
        return len(self.words), False

    def _is_unable(self, cue: _Cue, end: int) -> bool:
        """Return whether somebody cannot do something to a thing that is there: `can't lift | the hammer`."""
        if self.words[cue.start] not in _UNABLE:
            return False
        told = self._first_told(cue.end, end)
        return told < end and self.is_in("determiners", told + 1)

    def _is_comparison(self, end: int) -> bool:
        """Return whether what seems negated is only compared: `never a nicer | than this`."""
        return self.words[end : end + 1] == ["than"]

    def _has_object(self, position: int) -> bool:
        """Return whether the word is an act done to what follows: `not riding | a dragon`."""
        return self.is_in("determiners", position + 1) or (
            self.words[position].endswith(("ing", "ando", "iendo"))
            and position + 1 < len(self.words)
            and self.words[position + 1] in self.function_words
            and self.words[position + 1] not in _BOTH | _EITHER
        )

    def _goes_on(self, position: int, with_article: bool) -> bool:
        """Return whether the function word there, behind what is negated, leads on to more of it.

        `without a hat or scarf`, `without hat and scarf`, but not `without hat and a boy`, `without a hat in the rain`.
        """
        word, following = self.words[position], position + 1
        if word in _EITHER or word in _OF:
            return True
        if word not in _BOTH or following == len(self.words) or self.cue(following) is not None:
            return False
        if self.is_in("determiners", following):
            match = self.clause.phrases.get(following + 1)
            return with_article and not (match and _PEOPLE.intersection(match.meaning.content))
        acts = self.words[following].endswith("ing") and following + 1 < len(self.words)
        return not (self.words[following] in self.function_words or self.is_in("carrying_words", following) or acts)

    def negations(self) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """Cue and scope, each from start to end."""
        position = 0
        while position < len(self.words):
            end = position + 1
            if length := self.length("absence_words", position):
                end = position + length
                yield (position, end), self._subject(position)
            elif self._is_free_of(position):
                yield (position, end), (self._compound_start(position - 1), position)
            elif (cue := self.cue(position)) is not None:
                is_compound = self.words[cue.start] == "non"
                until, cancelled = (self._compound_end(cue.end), False) if is_compound else self.scope(cue)
                until = self._whole_phrase(cue.end, until)
                if not (cancelled or self._is_comparison(until) or self._is_unable(cue, until)):
                    yield (cue.start, cue.end), (self._first_told(cue.end, until), until)
                end = max(until, cue.end)
            position = end

    def _first_told(self, start: int, end: int) -> int:
        """The first word of a scope that names something: the hat of `want any hat`; its end where none does."""
        empty = self.function_words | self.lists["carrying_words"] | self.lists["determiners"]
        return next((position for position in range(start, end) if self.words[position] not in empty), end)

    def _compound_start(self, position: int) -> int:
        while position > 0 and self.clause.suffixes[position - 1] == "-":
            position -= 1
        return position

    def _compound_end(self, position: int) -> int:
        while position < len(self.words) and self.clause.suffixes[position] == "-":
            position += 1
        return min(position + 1, len(self.words))

    def _whole_phrase(self, start: int, end: int) -> int:
        """`end`, or that of a phrase of the vocabulary that it would cut: `parche | en el ojo`."""
        phrases = self.clause.phrases
        return max((end, *(phrases[at].end for at in range(start, end) if at in phrases)))

    def _is_free_of(self, position: int) -> bool:
        return self.words[position] == "free" and position > 0 and self.clause.suffixes[position - 1] == "-"

    def _subject(self, position: int) -> tuple[int, int]:
        """The thing before the verb that ends there: the hats of `hats are | not allowed`."""
        end = position
        while end > 0 and self.words[end - 1] in self.function_words:
            end -= 1
        start = end
        while start > 0 and self.words[start - 1] not in self.function_words:
            start -= 1
        return start, end


def find_negations(
    prompt: str, clauses: Sequence[Clause], language: str, vocabulary: Vocabulary
) -> tuple[Negation, ...]:
    """Return what the prompt does not want, and mark the words in its clauses.

    Args:
        clauses: those of `prompt`, with their phrases.
        language: `en` or `es`.
    """
    found: list[Negation] = []
    is_prose = sum(len(clause.words) for clause in clauses) >= _MIN_SENTENCE_WORDS * len(clauses)
    reached = -1  # the last clause that the list of an earlier one goes on into
    telling = vocabulary.first_words(*CUE_LISTS) | _PRONOUNS | {"non", "free"}
    for clause in clauses:
        if clause.index <= reached or telling.isdisjoint(clause.words):
            continue
        reader = _Reader(clause, language, vocabulary)
        for cue, (start, end) in reader.negations():
            further = _further(clauses, clause.index, cue[1] == end, is_prose) if end == len(clause.words) else []
            words = [(clause, position) for position in range(start, end)]
            words += [(more, position) for more in further for position in range(len(more.words))]
            if words:
                for where, position in words:
                    where.negated.add(position)
                clause.negating.update(range(*cue))
                found.append(_negation(prompt, clause, cue, words))
                reached = words[-1][0].index
    return tuple(found)


def _negation(prompt: str, clause: Clause, cue: tuple[int, int], words: Sequence[tuple[Clause, int]]) -> Negation:
    cue_span = clause.spans[cue[0]][0], clause.spans[cue[1] - 1][1]
    (first, start), (last, end) = words[0], words[-1]
    text_span = first.spans[start][0], last.spans[end][1]
    span = min(cue_span[0], text_span[0]), max(cue_span[1], text_span[1])
    return Negation(prompt[slice(*text_span)], prompt[slice(*cue_span)], span)


def _further(clauses: Sequence[Clause], index: int, announced: bool, is_prose: bool) -> list[Clause]:
    """The clauses into which what is not wanted goes on from the end of one.

    Words in brackets (`no amber (genshin impact)`), a list that `or` ends (`without hats, scarves or gloves`), and all
    up to the full stop behind a colon (`avoid: text, logos`).
    """
    rest = clauses[index + 1 : index + 1 + _MAX_LIST]
    if announced and rest and ":" in rest[0].before:
        ended = next((n for n, clause in enumerate(rest) if n and re.search(r"[.\n!?]", clause.before)), len(rest))
        return [*rest[:ended]]
    if rest and not announced and rest[0].before.strip() in ("(", "\\("):
        return [rest[0]]
    if announced or not is_prose:
        return []
    listed: list[Clause] = []
    for clause in rest:
        if clause.before.strip() != "," or len(clause.words) > _MAX_LIST_WORDS + 1:
            return []
        listed.append(clause)
        if not _EITHER.isdisjoint(clause.words):
            return listed
        if len(clause.words) > _MAX_LIST_WORDS:
            return []
    return []
