"""What speaks for each LoRA of an index: the numbers that the ranker weighs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .building import RARE_IDF
from .documents import DESCRIPTION, EXAMPLES, NAME, TELLING, TITLE, TRIGGER
from .index import Floats, Index, ranges
from .tokens import Query

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
BESIDE = ("left", "rarest_left", "called", "piece", "piece_at", "piece_share", "own")
PART = 0.95
"""What a phrase whose words all stand apart in the prompt counts of a whole one."""


@dataclass(frozen=True)
class Met:
    """The postings of a prompt's keys."""

    keys: NDArray[np.int64]
    """Numbers of the prompt's keys that some LoRA has."""
    is_word: NDArray[np.bool_]
    """Per key."""
    key: NDArray[np.int64]
    """Per posting, its place in `keys`."""
    lora: NDArray[np.int32]
    impact: NDArray[np.float16]
    row: NDArray[np.int64]
    """Per posting, its place in `columns`."""
    columns: NDArray[np.uint8]
    own: Floats
    """Per LoRA of the index: the sum of share² · rarity over all of its keys."""
    examples: NDArray[np.uint8]
    """Per LoRA of the index: how many example prompts it has."""
    said: NDArray[np.int64]
    """The prompt's words as they follow each other: places in `keys`, −1 for a word that no LoRA has.

    A word that stands for nothing but in a phrase, as `nice nature` where LoRAs write `nicenature`, has the phrase's.
    """
    piece_starts: NDArray[np.int64]
    """Where in `said` the prompt's comma pieces start."""

    def rough(self, tag_style: float) -> Floats:
        """The first pass: a score of every LoRA, shape (LoRAs,)."""
        mix = np.array((tag_style, 1 - tag_style), np.float32)
        return np.bincount(self.lora, self.impact.astype(np.float32) @ mix, len(self.own)).astype(np.float32)

    def only(self, loras: NDArray[np.int64]) -> Rows:
        """The postings of some LoRAs."""
        place = np.full(len(self.own), -1, np.int32)
        place[loras] = np.arange(len(loras), dtype=np.int32)
        at = place[self.lora]
        rows = np.flatnonzero(at >= 0)
        return Rows(
            at[rows], self.key[rows], np.multiply(self.columns[self.row[rows]], 1 / 255, dtype=np.float32), len(loras)
        )


class Rows(NamedTuple):
    """Postings of some LoRAs."""

    at: NDArray[np.int32]
    """Per posting: which of the LoRAs."""
    key: NDArray[np.int64]
    columns: Floats
    """0 … 1."""
    size: int
    """How many LoRAs there are."""

    def among(self, chosen: NDArray[np.int64]) -> Rows:
        """The postings of some of these LoRAs, in another order."""
        place = np.full(self.size, -1, np.int32)
        place[chosen] = np.arange(len(chosen), dtype=np.int32)
        at = place[self.at]
        rows = at >= 0
        return Rows(at[rows], self.key[rows], self.columns[rows], len(chosen))


def meet(index: Index, asked: Query) -> Met:
    """All postings of the prompt's words and phrases."""
    texts = asked.keys
    found = index.find(list(texts))
    known = found >= 0
    keys = found[known]
    is_word = np.array(list(texts.values()), bool)[known]
    starts, counts = index.starts[keys], index.starts[keys + 1] - index.starts[keys]
    row = ranges(starts, counts)
    key = np.repeat(np.arange(len(keys)), counts)
    places = dict(zip(texts, np.where(known, np.cumsum(known) - 1, -1).tolist(), strict=True))
    unknown = {word: -1 for word in asked.tokens if places[word] < 0}
    for phrase in asked.phrases if unknown else ():
        place = places["".join(phrase)]
        unknown.update((word, max(place, unknown[word])) for word in phrase if word in unknown)
    places |= unknown
    return Met(
        keys,
        is_word,
        key,
        index.loras[row],
        index.impact[row],
        row,
        index.columns,
        index.own,
        index.examples,
        said=np.array([places[word] for piece in asked.pieces for word in piece], np.int64),
        piece_starts=np.cumsum([0, *(len(piece) for piece in asked.pieces[:-1])]),
    )


def features(index: Index, met: Met, rows: Rows, candidates: NDArray[np.int64]) -> Floats:
    """The raw features of some LoRAs, shape (candidates, len(FEATURES)). Args: rows: their postings."""
    at, key, columns, count = rows
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
    out = np.zeros((count, len(FEATURES)), np.float32)
    for number, values in enumerate(sums):
        out[:, number] = np.bincount(at, values, count)
    for number, values in enumerate((idf * whole, covering * telling, share * rarity), len(SUMS)):
        np.maximum.at(out[:, number], at, values.astype(np.float32))
    out[:, len(SUMS) + len(MAXIMA) : -2] = _groups(index, met, candidates)
    out[:, -2] = np.bincount(at, covering, count) / (met.own[candidates] + 1)
    out[:, -1] = np.bincount(at, word, count)
    return out


def distinct(index: Index, met: Met, rows: Rows, scores: Floats) -> Floats:
    """What the prompt has of each LoRA and hardly of the others, shape (LoRAs, 2): by example prompts, by names.

    A key counts by its rarity among these LoRAs, each as probable as its score says, instead of that among all.
    """
    at, key, columns, count = rows
    odds = np.exp(scores - scores.max(initial=0.0))
    probable = (odds / max(odds.sum(), 1e-6))[at]
    out = np.zeros((count, 2), np.float32)
    called = (columns[:, [NAME, TITLE, TRIGGER]].max(axis=1) > 0).astype(np.float32)
    for number, (strong, general) in enumerate(((columns[:, EXAMPLES], index.rarity), (called, index.idf))):
        of_all = np.bincount(key, strong * probable, len(met.keys))[key]
        others = np.maximum(0, of_all - strong * probable) / np.maximum(1 - probable, 1e-3)
        rare = -np.log(np.minimum(1, others + np.exp(-general[met.keys])[key]))
        out[:, number] = np.bincount(at, strong**2 * rare, count) / 10
    return out


def beside(index: Index, met: Met, rows: Rows, loras: NDArray[np.int64], allowed: NDArray[np.bool_] | None) -> Floats:
    """What the prompt says beside each of some LoRAs, shape (LoRAs, len(BESIDE)).

    Of the information of the words that any allowed LoRA has: the share that it lacks, the rarest word that it lacks,
    and the share that stands in its name, title or trigger words. Of the comma piece that calls it most so: how much
    of the piece these words are, which piece it is, and how far into the prompt. And how much its example prompts hold.

    Args:
        rows: the postings of `loras`.
        allowed: which LoRAs of the index may be chosen; None: all.
    """
    there = np.zeros(len(met.keys) + 1, bool)
    there[met.key if allowed is None else met.key[allowed[met.lora]]] = True
    word = np.zeros(len(there), bool)
    word[met.said] = True
    told = np.where(there & word, np.append(index.idf[met.keys], 0), 0).astype(np.float32)
    total = max(float(told.sum()), 1e-6)
    lacks = np.ones((rows.size, len(told)), np.float32)
    lacks[rows.at, rows.key] = 0
    called = np.zeros_like(lacks)
    called[rows.at, rows.key] = rows.columns[:, [NAME, TITLE, TRIGGER]].max(axis=1) > 0
    piece, at = np.ones(rows.size), np.full(rows.size, len(met.piece_starts))
    if len(met.said):
        of_pieces = np.add.reduceat(told[met.said], met.piece_starts)
        calling = np.add.reduceat(called[:, met.said] * told[met.said], met.piece_starts, axis=1)
        best = calling.argmax(axis=1)
        most = calling[np.arange(rows.size), best]
        named = most > 0
        piece[named], at[named] = (most / np.maximum(of_pieces[best], 1e-6))[named], best[named]
    return np.column_stack(
        (
            lacks @ told / total,
            (lacks * told).max(axis=1) / 10,
            called @ told / total,
            piece,
            np.log1p(at) / 3,
            at / len(met.piece_starts),
            np.log1p(met.own[loras]) / 3,
        )
    ).astype(np.float32)


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
