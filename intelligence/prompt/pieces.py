"""Split a prompt into pieces: the words between its commas, full stops and brackets."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from .analysis import Segment
from .prompt_syntax import split_embeddings
from .words import fold, singular

MAX_WORDS = 2_000
"""Words of a prompt that are read for their meaning; no text encoder sees as many."""

_TOKEN = re.compile(
    r"(?P<word>[^\W_]+)(?:(?P<hyphen>-(?=\w))|(?P<possessive>['’]s\b))?"
    r"|(?P<stop>[,;!?\n|()\[\]{}\"“”—]+|\.(?!\w)|[:/](?!\d))"
)
_NO_WORDS = re.compile(r"(?:^|(?<=\s))--[a-z]+(?:[ =]+[\d.:]+)?|<[^<>]*>")
"""Midjourney's parameters, tags."""
_SEPARATORS = frozenset(("AND", "BREAK"))


@dataclass
class Piece:
    """The words between two separators, one entry a word in each list."""

    words: list[str] = field(default_factory=list)
    """Folded, plurals kept."""
    terms: list[str] = field(default_factory=list)
    """Folded, in the singular."""
    weights: list[float] = field(default_factory=list)
    """Attention weights."""
    hyphens: list[bool] = field(default_factory=list)
    """A hyphen joins the word to the next one."""
    possessives: list[bool] = field(default_factory=list)
    """The word is written with 's."""


def read_pieces(segments: Sequence[Segment]) -> tuple[list[Piece], bool]:
    """Return the pieces that hold words, up to MAX_WORDS words in all, and whether some were left out."""
    pieces = [Piece()]
    count = 0
    for segment in segments:
        plain = ",".join(text for _, text in split_embeddings(unicodedata.normalize("NFC", segment.text)))
        for match in _TOKEN.finditer(_NO_WORDS.sub(",", plain)):
            word, piece = match.group("word"), pieces[-1]
            if word is None or word in _SEPARATORS:
                if piece.words:
                    pieces.append(Piece())
                continue
            if count == MAX_WORDS:
                return (pieces if piece.words else pieces[:-1]), True
            folded = fold(word)
            piece.words.append(folded)
            piece.terms.append(singular(folded))
            piece.weights.append(segment.weight)
            piece.hyphens.append(match.group("hyphen") is not None)
            piece.possessives.append(match.group("possessive") is not None)
            count += 1
    return (pieces if pieces[-1].words else pieces[:-1]), False
