"""What speaks for each LoRA of an index: the numbers that the ranker weighs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .index import DESCRIPTION, EXAMPLES, NAME, TELLING, TITLE, TRIGGER, Floats, Index
from .text import Query

SUMS = (
    "name",
    "title",
    "trigger",
    "tag",
    "description",
    "examples",
    "likelihood",
    "coverage",
    "phrase_coverage",
    "creator_coverage",
    "phrases",
    "own_words",
    "rare_trigger",
)
MAXIMA = ("best_hook", "best_coverage", "best_example")
GROUPS = ("set_coverage", "set_mass", "name_coverage", "name_mass", "title_coverage", "title_mass")
FEATURES = (*SUMS, *MAXIMA, *GROUPS, "covered", "words")
PART = 0.95
"""What a phrase whose words all stand apart in the prompt counts of a whole one."""


@dataclass
class Met:
    """The postings of a prompt's keys."""

    keys: NDArray[np.int64]
    """Numbers of the prompt's keys that some LoRA has."""
    is_word: NDArray[np.bool_]
    """Per key."""
    key: NDArray[np.int64]
    """Per posting, its place in `keys`."""
    lora: NDArray[np.int32]
    columns: NDArray[np.uint8]
    own: Floats
    """Per LoRA of the index: the sum of share² · rarity over all of its keys."""
    examples: NDArray[np.uint8]
    """Per LoRA of the index: how many example prompts it has."""


def meet(index: Index, asked: Query) -> Met:
    """All postings of the prompt's words and phrases."""
    texts = asked.keys
    found = index.find(list(texts))
    known = found >= 0
    keys = found[known]
    is_word = np.array(list(texts.values()), bool)[known]
    starts, counts = index.starts[keys], index.starts[keys + 1] - index.starts[keys]
    rows = ranges(starts, counts)
    key = np.repeat(np.arange(len(keys)), counts)
    return Met(keys, is_word, key, index.loras[rows], index.columns[rows], index.own, index.examples)


def ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """start, start + 1 … for every start, as many as its count."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)


FIRST = (
    "name",
    "title",
    "trigger",
    "tag",
    "description",
    "rare_trigger",
    "example",
    "telling",
    "likelihood",
    "covered",
)
"""What the first pass over all LoRAs weighs."""
RARE_IDF = 5.0


def first_scores(index: Index, met: Met, weights: Floats) -> Floats:
    """A rough score of every LoRA, shape (LoRAs,). Args: weights: those of `FIRST`."""
    idf, rarity = index.idf[met.keys], index.rarity[met.keys]
    share = met.columns[:, EXAMPLES] * np.float32(1 / 255)
    of_rarity = rarity[met.key] * share
    telling = of_rarity * share * (met.columns[:, TELLING] * np.float32(1 / 255))
    text = met.columns[:, :EXAMPLES] @ (weights[:EXAMPLES] / 255)
    text *= idf[met.key]
    text += met.columns[:, TRIGGER] * (weights[5] / 255 * np.where(idf > RARE_IDF, idf, 0))[met.key]
    text += weights[6] * of_rarity + weights[7] * telling
    text += weights[8] * np.log1p(share * np.exp(rarity)[met.key])
    score = np.bincount(met.lora, text, index.size)
    return (score + weights[9] * np.bincount(met.lora, telling, index.size) / (met.own + 1)).astype(np.float32)


def features(index: Index, met: Met, candidates: NDArray[np.int64]) -> Floats:
    """The raw features of some LoRAs, shape (candidates, len(FEATURES))."""
    place = np.full(index.size, -1, np.int32)
    place[candidates] = np.arange(len(candidates), dtype=np.int32)
    at = place[met.lora]
    rows = at >= 0
    at, key = at[rows], met.key[rows]
    columns = met.columns[rows].astype(np.float32) / 255
    word = met.is_word[key]
    idf, rarity = index.idf[met.keys][key], index.rarity[met.keys][key]
    share, telling = columns[:, EXAMPLES], columns[:, TELLING]
    fields = columns[:, : DESCRIPTION + 1] * (idf * word)[:, None]
    whole = columns[:, [NAME, TITLE, TRIGGER]].max(axis=1) > 0
    covering = share**2 * rarity
    sums = [
        *fields.T,
        word * idf * share / (share + 0.3),
        word * np.log1p(share * np.exp(rarity)),
        word * covering,
        ~word * covering,
        covering * telling,
        ~word * idf * whole,
        word * idf * whole * telling,
        columns[:, TRIGGER] * idf * (idf > RARE_IDF),
    ]
    count = len(candidates)
    out = np.zeros((count, len(FEATURES)), np.float32)
    for number, values in enumerate(sums):
        out[:, number] = np.bincount(at, values, count)
    for number, values in enumerate((idf * whole, covering * telling, share * rarity), len(SUMS)):
        np.maximum.at(out[:, number], at, values.astype(np.float32))
    out[:, len(SUMS) + len(MAXIMA) : -2] = _groups(index, met, candidates)
    out[:, -2] = np.bincount(at, covering, count) / (met.own[candidates] + 1)
    out[:, -1] = np.bincount(at, word, count)
    return out


def distinct(index: Index, met: Met, candidates: NDArray[np.int64], scores: Floats) -> Floats:
    """What the prompt has of each LoRA and hardly of the others, shape (candidates, 2): by example prompts, by names.

    A key counts by its rarity among the candidates, each as probable as its score says, instead of that among all.
    """
    place = np.full(index.size, -1, np.int32)
    place[candidates] = np.arange(len(candidates), dtype=np.int32)
    at = place[met.lora]
    rows = at >= 0
    at, key = at[rows], met.key[rows]
    columns = met.columns[rows].astype(np.float32) / 255
    odds = np.exp(scores - scores.max(initial=0.0))
    probable = (odds / max(odds.sum(), 1e-6))[at]
    out = np.zeros((len(candidates), 2), np.float32)
    called = (columns[:, [NAME, TITLE, TRIGGER]].max(axis=1) > 0).astype(np.float32)
    for number, (strong, general) in enumerate(((columns[:, EXAMPLES], index.rarity), (called, index.idf))):
        of_all = np.bincount(key, strong * probable, len(met.keys))[key]
        others = np.maximum(0, of_all - strong * probable) / np.maximum(1 - probable, 1e-3)
        rare = -np.log(np.minimum(1, others + np.exp(-general[met.keys])[key]))
        out[:, number] = np.bincount(at, strong**2 * rare, len(candidates)) / 10
    return out


def _groups(index: Index, met: Met, candidates: NDArray[np.int64]) -> Floats:
    """How much of a LoRA's best trigger set, name and title the prompt has: share, and information."""
    asked = np.zeros(len(index.keys) + 1, bool)
    asked[met.keys] = True
    group_counts = index.group_starts[candidates + 1] - index.group_starts[candidates]
    groups = ranges(index.group_starts[candidates], group_counts)
    phrase_counts = index.phrase_starts[groups + 1] - index.phrase_starts[groups]
    phrases = ranges(index.phrase_starts[groups], phrase_counts)
    word_counts = index.word_starts[phrases + 1] - index.word_starts[phrases]
    words = index.word_key[ranges(index.word_starts[phrases], word_counts)]
    phrase_of = np.repeat(np.arange(len(phrases)), word_counts)
    information = index.idf[words]
    total = np.bincount(phrase_of, information, len(phrases))
    have = np.bincount(phrase_of, information * asked[words], len(phrases))
    part = PART * (have / np.maximum(total, 1e-6)) ** 2
    value = np.where(asked[index.phrase_key[phrases]] & (index.phrase_key[phrases] >= 0), 1.0, part)
    group_of = np.repeat(np.arange(len(groups)), phrase_counts)
    whole = np.bincount(group_of, total, len(groups))
    mass = np.bincount(group_of, total * value, len(groups))
    coverage = mass / np.maximum(whole, 1e-6)
    column = index.group_column[groups]
    lora = np.repeat(np.arange(len(candidates)), group_counts)
    out = np.zeros((len(candidates), len(GROUPS)), np.float32)
    for number, kind in enumerate((TRIGGER, NAME, TITLE)):
        chosen = column == kind
        np.maximum.at(out[:, 2 * number], lora[chosen], coverage[chosen].astype(np.float32))
        np.maximum.at(out[:, 2 * number + 1], lora[chosen], mass[chosen].astype(np.float32))
    return out
