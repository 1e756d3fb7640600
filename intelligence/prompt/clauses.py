"""Split a prompt at its commas, full stops and brackets into clauses of words, each with its place in the prompt."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .analysis import Segment
from .lora_tags import blank_tags
from .prompt_syntax import blank_embeddings
from .vocabulary import Match
from .words import fold, singular

MAX_WORDS = 2_000
"""Words of a prompt that are read for their meaning; no text encoder sees as many."""

_TOKEN = re.compile(
    r"(?P<word>[^\W_]+)(?P<suffix>-(?=\w)|['’]s\b)?"
    r"|(?P<stop>[,;!?\n|()\[\]{}\"“”—]+|\.(?!\w)|[:/](?!\d))"
)
_NO_WORDS = re.compile(r"(?:^|(?<=\s))--[a-z]+(?:[ =]+[\d.:]+)?|<[^<>]*>")
"""Midjourney's parameters, tags."""
_SEPARATORS = (None, "AND", "BREAK")


@dataclass
class Clause:
    """The words between two separators, one entry a word in each list."""

    index: int
    before: str = ""
    """Separators between it and the clause before."""
    words: list[str] = field(default_factory=list)
    """Folded, plurals kept."""
    terms: list[str] = field(default_factory=list)
    """Folded, in the singular."""
    weights: list[float] = field(default_factory=list)
    """Attention weights."""
    suffixes: list[str] = field(default_factory=list)
    """`-` joins the word to the next one; `'s`; else empty."""
    spans: list[tuple[int, int]] = field(default_factory=list)
    """Start and end in the prompt, in characters."""
    phrases: dict[int, Match] = field(default_factory=dict)
    """Position of the first word → the phrase that begins there; none overlaps another."""
    negated: set[int] = field(default_factory=set)
    """Positions of the words that the prompt does not want …"""
    negating: set[int] = field(default_factory=set)
    """… and of those that say so."""

    @property
    def unwanted(self) -> set[int]:
        """Positions of the words that show nothing, as they negate or are negated."""
        return self.negated | self.negating


def split_clauses(prompt: str, segments: Sequence[Segment]) -> tuple[list[Clause], bool]:
    """Return the clauses that hold words, up to MAX_WORDS words in all, and whether some were left out.

    Args:
        segments: those of `prompt`.
    """
    clauses: list[Clause] = []
    before: list[str] = []
    count, is_open = 0, False
    for token, span, weight in _tokens(prompt, segments):
        if token["word"] in _SEPARATORS:
            before.append(token[0])
            is_open = False
            continue
        if count == MAX_WORDS:
            return clauses, True
        if not is_open:
            clauses.append(Clause(len(clauses), "".join(before)))
            before = []
        clause, word = clauses[-1], fold(token["word"])
        clause.words.append(word)
        clause.terms.append(singular(word))
        clause.weights.append(weight)
        clause.suffixes.append((token["suffix"] or "").replace("’", "'"))
        clause.spans.append(span)
        count, is_open = count + 1, True
    return clauses, False


def _tokens(prompt: str, segments: Sequence[Segment]) -> Iterator[tuple[re.Match[str], tuple[int, int], float]]:
    """Words and separators, with their places in the prompt and their weights."""
    plain = blank_tags(prompt)
    for segment in segments:
        start, end = segment.span
        text, places = _composed(plain[start:end])
        text = _NO_WORDS.sub(lambda found: ",".ljust(len(found[0])), blank_embeddings(text))
        for token in _TOKEN.finditer(text):
            last = token.end("word" if token["word"] else 0)
            yield token, (start + places[token.start()], start + places[last]), segment.weight


def _composed(text: str) -> tuple[str, Sequence[int]]:
    """`text` in NFC, and for each of its characters, and its end, the place in `text`."""
    if unicodedata.is_normalized("NFC", text):
        return text, range(len(text) + 1)
    starts = [place for place, letter in enumerate(text) if not unicodedata.combining(letter)] or [0]
    parts = [unicodedata.normalize("NFC", text[a:b]) for a, b in zip(starts, (*starts[1:], len(text)), strict=True)]
    places = [place for place, part in zip(starts, parts, strict=True) for _ in part]
    return "".join(parts), (*places, len(text))
