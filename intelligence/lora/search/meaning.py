"""Closeness in meaning between a prompt written in sentences and LoRAs that it need not name.

Two things are compared: the whole prompt with a LoRA's texts, and each part of the prompt with each of its names
("bath house" and "public bath"), but for names that stand in the prompt, which its words tell more of. A small model
of trees over this, and over how probable its words alone make the LoRA, says how probable it is that a person asked for
it. It can only raise a LoRA. The numbers lie in meaning.json; README.md beside it says what they were trained on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...models import LoRAKind
from ...prompt import PromptAnalysis, load_vocabulary, wanted_text
from .building import UNKNOWN_SHARE
from .decision import Trees, trees_from
from .embeddings import Embeddings
from .index import KINDS, Floats, Index
from .naming import trimmed
from .ranker import background
from .tokens import tokens

MAX_TAG_STYLE = 0.9
"""`PromptAnalysis.tag_style` up to which meaning is compared: to lists of tags it adds nothing."""
MAX_WHOLE, MAX_READ = 300, 1200
"""Characters of a prompt that are embedded as a whole, and that are read for its parts."""
MAX_PARTS, MAX_SOUGHT = 14, 4
"""Parts of a prompt that are compared with names, and that are looked for among all LoRAs, the most telling first."""
BROUGHT = 16
"""LoRAs that each of the two ways brings."""
MAX_LOGIT = 6.0

MEANING = ("whole", "clause", "name", "told", "part_told", "name_told", "part_words", "name_words", "said")
CONTEXT = ("prompt_words", "person", "look", "by_words")
EVIDENCE = (*MEANING, *CONTEXT)
"""Columns of the model."""
RISING = ("whole", "clause", "name", "by_words")
"""Columns that never speak against a LoRA."""
PEOPLE, LOOKS = (LoRAKind.CHARACTER,), (LoRAKind.STYLE, LoRAKind.EFFECT)

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts → embeddings of length 1."""

_PIECE = re.compile(r"[,.;:!?\n|\"()\[\]“”…]+")


class Pair(NamedTuple):
    """A part of the prompt beside a LoRA's name."""

    part: str
    name: str


class Close(NamedTuple):
    """LoRAs that were compared with a prompt."""

    loras: NDArray[np.int64]
    values: Floats
    """`MEANING`, shape (loras, …)."""
    pairs: list[Pair]


def parts_of(analysis: PromptAnalysis) -> list[str]:
    """Return the runs of words between small words and marks, of what the prompt wants, the most telling first."""
    known = load_vocabulary().function_words
    small = {*known["en"], *known.get(analysis.language, ())}
    found: dict[str, None] = {}
    for piece in _PIECE.split(wanted_text(analysis)[:MAX_READ].lower()):
        run: list[str] = []
        for word in (*piece.split(), ""):
            if word and word.strip("'’*") not in small:
                run.append(word)
            elif run:
                found[" ".join(run)] = None
                run = []
    return sorted(found, key=lambda part: -told(part))[:MAX_PARTS]


def told(phrase: str) -> float:
    """Return how little probable the words of a phrase are in any prompt, in nats."""
    return sum(_told(token) for token in trimmed(tokens(phrase)))


@lru_cache(maxsize=20_000)
def _told(token: str) -> float:
    """Likewise of one word; of a Spanish one that of its translation, as the statistics are of English prompts."""
    known, vocabulary = background(), load_vocabulary()
    if token not in known:
        meaning = vocabulary.spanish.get((token,))
        if english := meaning.phrase if meaning else vocabulary.spanish_adjectives.get(token, ""):
            return sum(_told(word) for word in tokens(english) if word != token)
    return -math.log(max(known[token].prompts if token in known else 0.0, UNKNOWN_SHARE))


def compare(
    analysis: PromptAnalysis,
    encode: Encode,
    embeddings: Embeddings,
    allowed: NDArray[np.bool_],
    others: NDArray[np.int64],
) -> Close:
    """Compare a prompt with the allowed LoRAs that are closest to it, and with some `others`.

    Args:
        allowed: per LoRA, whether it may be chosen.
    """
    parts = parts_of(analysis)
    vectors = encode([wanted_text(analysis)[:MAX_WHOLE].lower(), *parts])
    sought = embeddings.text_cosines(vectors[: 1 + MAX_SOUGHT])
    sought[~allowed[embeddings.read]] = -1
    best = [np.argsort(-column, kind="stable")[:BROUGHT] for column in (sought[:, 0], sought[:, 1:].max(1, initial=-1))]
    brought = embeddings.read[np.concatenate(best)]
    readable = others[np.isin(others, embeddings.read)]
    loras = np.array([*dict.fromkeys([*readable.tolist(), *brought[allowed[brought]].tolist()])], np.int64)
    values = np.zeros((len(loras), len(MEANING)), np.float32)
    cosines = embeddings.text_cosines_of(loras, vectors)
    values[:, 0] = cosines[:, 0]
    values[:, 1] = cosines[:, 1:].max(1, initial=0)
    part_told = np.array([told(part) for part in parts])
    spoken = set(tokens(wanted_text(analysis)))
    pairs = [Pair("", "")] * len(loras)
    with_names, owner = embeddings.name_cosines(loras, vectors[1:])
    for place, lora in enumerate(loras.tolist()):
        rows, names = np.flatnonzero(owner == lora), embeddings.names[lora]
        if not len(rows) or not parts:
            continue
        said = np.array([spoken.issuperset(trimmed(tokens(name))) for name in names])
        values[place, -1] = said.any()
        if said.all():
            continue
        name_told = np.array([told(name) for name in names])
        both = np.minimum(name_told[:, None], part_told[None])
        worth = with_names[rows] * (1 - np.exp(-both / 4)) - 2 * said[:, None]
        row, column = np.unravel_index(int(worth.argmax()), worth.shape)
        name, part = names[row], parts[column]
        values[place, 2:-1] = (
            *(with_names[rows[row], column], both[row, column], part_told[column], name_told[row]),
            *(len(part.split()), len(name.split())),
        )
        pairs[place] = Pair(part, name)
    return Close(loras, values, pairs)


def meaning_evidence(close: Close, analysis: PromptAnalysis, index: Index, by_words: Floats) -> Floats:
    """Return `EVIDENCE` of compared LoRAs. Args: by_words: how probable its words make each, 0 … 1."""
    kinds = index.loras.kind[close.loras]
    people, looks = ([KINDS.index(kind) for kind in some] for some in (PEOPLE, LOOKS))
    sure = np.clip(by_words, 1e-4, 1 - 1e-4)
    words = np.log1p(len(tokens(analysis.text)))
    context = (np.full(len(kinds), words), np.isin(kinds, people), np.isin(kinds, looks), np.log(sure / (1 - sure)))
    return np.column_stack((close.values, *context)).clip(-MAX_LOGIT, None).astype(np.float32)


@dataclass(frozen=True)
class MeaningModel:
    """The trained numbers."""

    trees: Trees
    told: Floats
    """Sums of the trees, rising …"""
    true: Floats
    """… and the share of LoRAs that are right there."""

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> MeaningModel:
        """Return the model that meaning.json writes down."""
        return cls(trees_from(data["trees"]), *(np.array(data[name], np.float32) for name in ("told", "true")))

    def __call__(self, evidence: Floats) -> Floats:
        """Return how probable it is that each LoRA is asked for: (LoRAs, evidence) → (LoRAs,), 0 … 1."""
        if not len(evidence):
            return np.empty(0, np.float32)
        return np.interp(self.trees(evidence), self.told, self.true).astype(np.float32)


@cache
def meaning_model() -> MeaningModel:
    """Return the model of meaning.json."""
    return MeaningModel.from_data(json.loads(Path(__file__).with_name("meaning.json").read_text(encoding="utf-8")))
