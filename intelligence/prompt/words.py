"""Compare words: case, accents, underscores, plural endings and slips of the pen do not matter."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path

_WORD = re.compile(r"[^\W_]+")
_POSSESSIVE = re.compile(r"['’]s\b")
_LATIN_ACCENTS = re.compile("[\u0300-\u036f]")
_MAX_WORD_LETTERS = 50
_MIN_LETTERS, _MAX_LETTERS = 6, 14
_MIN_LETTERS_FOR_VOWELS = 8
_VOWELS = frozenset("aeiouy")


def fold(text: str) -> str:
    """Return `text` without case and Latin accents, in NFC."""
    if text.isascii():
        return text.lower()
    bare = _LATIN_ACCENTS.sub("", unicodedata.normalize("NFKD", text.replace("ñ", "n").replace("Ñ", "N")))
    return unicodedata.normalize("NFC", bare).casefold()


def singular(word: str) -> str:
    """Return `word` without an English plural ending; words of up to three letters, or of more than 50, stay."""
    return _singular(word) if len(word) <= _MAX_WORD_LETTERS else word


@lru_cache(maxsize=50_000)
def _singular(word: str) -> str:
    if irregular := _irregular_plurals().get(word):
        return irregular
    if word.endswith("women"):
        return f"{word[:-2]}an"
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    return word[:-1]


@cache
def _irregular_plurals() -> dict[str, str]:
    text = Path(__file__).with_name("plurals.txt").read_text(encoding="utf-8")
    return dict(line.split(" = ") for line in text.splitlines())


def words(text: str) -> list[str]:
    """Return the folded words of `text`, in order, plurals kept."""
    return _WORD.findall(_POSSESSIVE.sub("", fold(text)))


def typed_words(text: str) -> list[str]:
    """Return the words of `text` as they are typed; as many as `words` has, unless folding parts a letter in two."""
    return _WORD.findall(_POSSESSIVE.sub("", unicodedata.normalize("NFC", text)))


def terms(text: str) -> tuple[str, ...]:
    """Return the folded words of `text` in the singular: the form in which two texts are compared."""
    return tuple(map(singular, words(text)))


class Spelling:
    """Spelling of the `known` words."""

    def __init__(self, known: Iterable[str]) -> None:
        self._known = frozenset(known)
        self._lacking: dict[str, tuple[str, ...]] = {}
        """The known words by what is left of them without one letter."""
        for word in sorted(self._known):
            if len(word) <= _MAX_LETTERS + 1:
                for short in _without_a_letter(word):
                    self._lacking[short] = (*self._lacking.get(short, ()), word)

    def meant(self, word: str) -> str | None:
        """Return the known word that is one slip away: letters swapped, one left out or too many, a wrong vowel.

        Except in swaps, the first and last letter must agree: slips seldom touch them, and endings carry meaning. Short
        words have too many neighbours, above all by their vowels.
        """
        if not _MIN_LETTERS <= len(word) <= _MAX_LETTERS or not word.isascii() or not word.isalpha():
            return None
        return next(self._near(word), None)

    def _near(self, word: str) -> Iterator[str]:
        for i in range(1, len(word) - 1):
            swapped = word[:i] + word[i + 1] + word[i] + word[i + 2 :]
            if swapped in self._known:
                yield swapped
        yield from (short for short in _without_a_letter(word) if short in self._known)
        yield from self._lacking.get(word, ())
        if len(word) < _MIN_LETTERS_FOR_VOWELS:
            return
        for i, short in enumerate(_without_a_letter(word), start=1):
            for other in self._lacking.get(short, ()):
                if word[i] in _VOWELS and other[i] in _VOWELS and other[:i] + other[i + 1 :] == short:
                    yield other


def _without_a_letter(word: str) -> Iterator[str]:
    """`word` without its second letter, its third, … but never without its first or last."""
    return (word[:i] + word[i + 1 :] for i in range(1, len(word) - 1))
