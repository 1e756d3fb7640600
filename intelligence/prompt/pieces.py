"""The words of a prompt, piece by piece between its commas and full stops."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .analysis import Segment
from .grammar import split_embeddings
from .words import fold

_TOKEN = re.compile(
    r"(?P<word>[^\W_]+)(?:(?P<hyphen>-(?=\w))|(?P<possessive>['’]s\b))?"
    r"|(?P<stop>[,;!?\n|()\[\]{}\"“”—]+|\.(?!\w)|[:/](?!\d))"
)
_NO_WORDS = re.compile(r"(?:^|(?<=\s))--[a-z]+(?:[ =]+[\d.:]+)?|<[^<>]*>")
"""Midjourney's parameters, tags."""
_SEPARATORS = frozenset(("AND", "BREAK"))
MAX_WORDS = 2_000
"""How many words of a prompt are read for their meaning; no text encoder sees as many."""


@dataclass
class Piece:
    """The words between two separators, one entry a word in each list."""

    words: list[str] = field(default_factory=list)
    """Folded."""
    weights: list[float] = field(default_factory=list)
    """Attention weights."""
    hyphens: list[bool] = field(default_factory=list)
    """Whether a hyphen ties the word to the next one."""
    possessive: list[bool] = field(default_factory=list)
    """Whether it stood with 's."""

    def tied(self, position: int) -> bool:
        """Whether the word is only a part of a longer one: the `in` of `walk-in`."""
        return self.hyphens[position] or (position > 0 and self.hyphens[position - 1])


def read_pieces(segments: Sequence[Segment]) -> tuple[list[Piece], bool]:
    """The pieces that hold words, up to MAX_WORDS of them, and whether there are more."""
    pieces = [Piece()]
    count, cut = 0, False
    for match, weight in _tokens(segments):
        word = match.group("word")
        if word is None or word in _SEPARATORS:
            if pieces[-1].words:
                pieces.append(Piece())
            continue
        cut = count == MAX_WORDS
        if cut:
            break
        pieces[-1].words.append(fold(word))
        pieces[-1].weights.append(weight)
        pieces[-1].hyphens.append(match.group("hyphen") is not None)
        pieces[-1].possessive.append(match.group("possessive") is not None)
        count += 1
    return [piece for piece in pieces if piece.words], cut


def _tokens(segments: Sequence[Segment]) -> Iterator[tuple[re.Match[str], float]]:
    for segment in segments:
        plain = ",".join(text for _, text in split_embeddings(unicodedata.normalize("NFC", segment.text)))
        text = _NO_WORDS.sub(",", plain)
        for match in _TOKEN.finditer(text):
            yield match, segment.weight
