"""CLIP's byte-pair merges, whose order says which words people write often beside pictures."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import cache
from pathlib import Path

UNKNOWN_RANK = 50_000
"""Rank of a word that CLIP does not hold as a whole."""
_END = "</w>"


def clip_merges() -> list[str]:
    """Return CLIP's byte-pair merges by rank."""
    data = Path(__file__).with_name("clip_merges.txt.gz").read_bytes()
    return gzip.decompress(data).decode("utf-8").splitlines()


@cache
def _ranks() -> Mapping[str, int]:
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(clip_merges()):
        if merge.endswith(_END):
            ranks.setdefault(merge.replace(" ", "").removesuffix(_END), rank)
    return ranks


def word_rank(word: str) -> int:
    """Return the rank of a word, singular or plural, among the words of CLIP: 0 for the most frequent.

    Args:
        word: folded, as `words.terms` gives it.
    """
    if len(word) == 1:
        return 0
    ranks = _ranks()
    forms = (word, f"{word}s", f"{word}es", f"{word[:-1]}ies") if word.isalpha() else (word,)
    return min(ranks.get(form, UNKNOWN_RANK) for form in forms)


def is_dictionary_word(word: str) -> bool:
    """Return whether CLIP holds the word, or the one it is an ending of, as a whole."""
    endings = ("", "ed", "ing", "er", "ly", "d", "r")
    stems = (word.removesuffix(ending) for ending in endings if word.endswith(ending))
    return any(word_rank(form) < UNKNOWN_RANK for stem in stems if len(stem) > 2 for form in (stem, f"{stem}e"))
