"""Find the word that a misspelt one was meant to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_MIN_LETTERS, _MAX_LETTERS = 6, 14
_MIN_LETTERS_FOR_VOWELS = 8
_VOWELS = frozenset("aeiouy")


class Spelling:
    """Spelling of the `known` words."""

    def __init__(self, known: Iterable[str]) -> None:
        self._known = frozenset(known)
        self._lacking: dict[str, list[str]] = {}
        """The known words by what is left of them without one letter."""
        for word in sorted(self._known):
            if len(word) <= _MAX_LETTERS + 1:
                for short in _without_a_letter(word):
                    self._lacking.setdefault(short, []).append(word)

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
