"""Slips of the pen in names: `hatsume miku` still finds a LoRA of Hatsune Miku."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np

from ...prompt.clip_words import is_dictionary_word
from .index import Index, is_among
from .tokens import Query, digest

MIN_LETTERS, MAX_LETTERS = 6, 20
MAX_CORRECTED = 8
"""Words of one prompt that are looked at."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def corrected(query: Query, index: Index) -> Query:
    """Return the query where a word that neither a dictionary nor a LoRA has is the name word that is one slip away.

    A slip is two letters swapped, one left out, one too many, or another one; the first letter stays.
    """
    unknown = [token for token in dict.fromkeys(t for piece in query.pieces for t in piece) if _is_unknown(token)]
    if not unknown:
        return query
    there = index.find(digest(unknown)) >= 0
    meant: dict[str, str] = {}
    for token in [token for token, known in zip(unknown, there, strict=True) if not known][:MAX_CORRECTED]:
        near = list(dict.fromkeys(_one_slip_away(token)))
        found = np.flatnonzero(is_among(digest(near), index.name_words))
        if len(found):
            meant[token] = near[found[0]]
    if not meant:
        return query
    pieces = tuple(tuple(meant.get(token, token) for token in piece) for piece in query.pieces)
    written = {meant.get(token, token): word for token, word in query.written.items()}
    return replace(
        query,
        tokens=frozenset(written),
        written=written,
        pieces=pieces,
        telling=frozenset(meant.get(token, token) for token in query.telling),
        corrected=frozenset(meant.values()),
    )


@lru_cache(maxsize=20_000)
def _is_unknown(token: str) -> bool:
    if not MIN_LETTERS <= len(token) <= MAX_LETTERS or not (token.isascii() and token.isalpha()):
        return False
    return not is_dictionary_word(token)


def _one_slip_away(word: str) -> Iterator[str]:
    for at in range(1, len(word)):
        rest = word[at + 1 :]
        if rest:
            yield word[:at] + rest[0] + word[at] + rest[1:]
        yield word[:at] + rest
    for at in range(1, len(word) + 1):
        before, here, rest = word[:at], word[at:], word[at + 1 :]
        for letter in _LETTERS:
            yield before + letter + here
            if here:
                yield before + letter + rest
