"""Names that stand in a prompt which asks for something else: what the trees of the decision give too much for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...models import LoRAKind
from .index import KINDS, Floats
from .naming import NameSource
from .naming_evidence import EVIDENCE

SENTENCE = 0.4
"""`PromptAnalysis.tag_style` below which a prompt is a sentence."""
PLAIN_RANK = 3.0
"""`naming.rank_level` below which a word is one that everybody uses."""

Marks = NDArray[np.bool_]
Column = Callable[[str], Floats]
"""Name of a column of the evidence → its values."""


def _of_kinds(column: Column, *kinds: LoRAKind) -> Marks:
    return np.isin(column("kind"), [KINDS.index(kind) for kind in kinds])


def _style_among_tags(column: Column) -> Marks:
    """A style that the prompt asks for, and that is but one of the tags of a LoRA of something else."""
    by_tag = (column("strong") == 0) & (column("source") == NameSource.TAG) & (column("style_word") > 0)
    return by_tag & _of_kinds(column, LoRAKind.CHARACTER, LoRAKind.CONCEPT, LoRAKind.EFFECT)


def _word_before_thing(column: Column) -> Marks:
    """A plain word that says of another thing what it is made of or like: the `marble` of `a marble table`."""
    alone = (column("width") == 1) & (column("named_words") == 1) & (column("strong") > 0)
    plain = (column("rarest_rank") < PLAIN_RANK) & (column("capital") == 0) & (column("style_word") == 0)
    before = (column("head") == 0) & (column("tag_style") < SENTENCE)
    return alone & plain & before & _of_kinds(column, LoRAKind.CONCEPT)


MISREADINGS: tuple[tuple[Callable[[Column], Marks], float], ...] = (
    (_style_among_tags, 0.0),
    (_word_before_thing, 0.2),
)
"""Each with the share that is right of what the trees take, in the rows that they were trained on: of 462 LoRAs with
such a style none is wanted, of 19 with such a word 4 (README.md)."""


def most_probable(evidence: Floats) -> Floats:
    """Return how probable each LoRA may be at most, shape (LoRAs,): 1 where nothing is misread.

    Args:
        evidence: shape (LoRAs, len(EVIDENCE)).
    """

    def column(name: str) -> Floats:
        values: Floats = evidence[:, EVIDENCE.index(name)]
        return values

    most = np.ones(len(evidence), np.float32)
    for holds, share in MISREADINGS:
        most[holds(column)] = share
    return most
