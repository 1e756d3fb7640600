"""Fold words for comparison: case, accents, underscores and plural endings do not matter."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path

_WORD = re.compile(r"[^\W_]+")
_POSSESSIVE = re.compile(r"['’]s\b")
_LATIN_ACCENTS = re.compile("[\u0300-\u036f]")
_MAX_WORD_LETTERS = 50


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


def terms(text: str) -> tuple[str, ...]:
    """Return the folded words of `text` in the singular: the form in which two texts are compared."""
    return tuple(map(singular, words(text)))
