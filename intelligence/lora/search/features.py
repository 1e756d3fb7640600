"""Features of LoRAs for a prompt: the numbers that the ranker weighs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .building import MIN_RARE_IDF
from .documents import DESCRIPTION, EXAMPLES, NAME, TELLING, TITLE, TRIGGER
from .index import Floats, Postings, runs_of

SUMS = (
    *("name", "title", "trigger", "tag", "description", "examples", "likelihood"),
    *("coverage", "phrase_coverage", "creator_coverage", "phrases", "own_words", "rare_trigger"),
)
MAXIMA = ("best_hook", "best_coverage", "best_example")
GROUPS = ("set_coverage", "set_mass", "name_coverage", "name_mass", "title_coverage", "title_mass")
FEATURES = (*SUMS, *MAXIMA, *GROUPS, "covered", "words")
CONTEXT_FEATURES = ("left", "rarest_left", "called", "piece", "piece_at", "piece_share", "own")
LIKENESS = tuple(
    FEATURES.index(name)
    for name in (
        *("examples", "likelihood", "coverage", "phrase_coverage", "creator_coverage", "best_coverage"),
        *("best_example", "covered", "words"),
    )
)
"""Columns of what a LoRA's example prompts share with the prompt."""
SCATTERED_PHRASE_WEIGHT = 0.95
"""Weight of a phrase whose words all stand apart in the prompt, beside a whole one."""


@dataclass(frozen=True)
class LoRAPostings:
    """A prompt's postings of some LoRAs."""

    postings: Postings
    loras: NDArray[np.int64]
    at: NDArray[np.int64]
    """Per posting: which of the LoRAs."""
    key: NDArray[np.int64]
    """Per posting, its place in `Postings.keys`."""
    columns: Floats
    """Shape (columns, postings), 0 … 1."""

    def among(self, chosen: NDArray[np.int64]) -> LoRAPostings:
        """Return those of some of the LoRAs, in this order. Args: chosen: places in `loras`."""
        place = np.full(len(self.loras), -1, np.int64)
        place[chosen] = np.arange(len(chosen))
        at = place[self.at]
        found = np.flatnonzero(at >= 0)
        return LoRAPostings(self.postings, self.loras[chosen], at[found], self.key[found], self.columns[:, found])


def postings_of(postings: Postings, loras: NDArray[np.int64]) -> LoRAPostings:
    """Return a prompt's postings of some LoRAs."""
    place = np.full(len(postings.coverage), -1, np.int32)
    place[loras] = np.arange(len(loras), dtype=np.int32)
    found = np.flatnonzero((place >= 0).take(postings.lora))
    columns = np.multiply(np.ascontiguousarray(postings.columns[found].T), 1 / 255, dtype=np.float32)
    return LoRAPostings(postings, loras, place[postings.lora[found]].astype(np.int64), postings.key[found], columns)


def features(rows: LoRAPostings) -> Floats:
    """The raw features of some LoRAs, shape (LoRAs, len(FEATURES))."""
    postings, index, count = rows.postings, rows.postings.index, len(rows.loras)
    out = np.zeros((count, len(FEATURES)), np.float32)
    word_of, idf_of, rarity_of = postings.is_word, index.idf[postings.keys], index.rarity[postings.keys]
    called = np.flatnonzero(rows.columns[:DESCRIPTION].any(axis=0))
    at, key, columns = rows.at[called], rows.key[called], rows.columns[:, called]
    word, idf, weight = word_of[key], idf_of[key], (idf_of * word_of)[key]
    whole = columns[[NAME, TITLE, TRIGGER]].any(axis=0)
    names = [
        *(columns[:DESCRIPTION] * weight),
        ~word * idf * whole,
        weight * whole * columns[TELLING],
        columns[TRIGGER] * idf * (idf > MIN_RARE_IDF),
    ]
    out[:, [*range(DESCRIPTION), *(SUMS.index(name) for name in ("phrases", "own_words", "rare_trigger"))]] = _sums(
        names, at, count
    )
    np.maximum.at(out[:, len(SUMS)], at, idf * whole)
    at, key, columns = rows.at, rows.key, rows.columns
    word, rarity, weight, share = word_of[key], rarity_of[key], (idf_of * word_of)[key], columns[EXAMPLES]
    covering = share**2 * rarity
    telling = covering * columns[TELLING]
    examples = [
        columns[DESCRIPTION] * weight,
        weight * share / (share + 0.3),
        word * np.log1p(share * np.exp(rarity_of)[key]),
        word * covering,
        ~word * covering,
        telling,
        covering,
        word,
    ]
    sums = _sums(examples, at, count)
    out[:, DESCRIPTION : DESCRIPTION + 6] = sums[:, :6]
    for number, values in enumerate((telling, share * rarity), len(SUMS) + 1):
        np.maximum.at(out[:, number], at, values)
    out[:, len(SUMS) + len(MAXIMA) : -2] = _groups(rows)
    out[:, -2] = sums[:, 6] / (postings.coverage[rows.loras] + 1)
    out[:, -1] = sums[:, 7]
    return out


def _sums(values: Sequence[NDArray[Any]], at: NDArray[np.int64], count: int) -> NDArray[Any]:
    """Sum of some values of each posting by LoRA, shape (LoRAs, …)."""
    places = at + np.arange(len(values))[:, None] * count
    summed = np.bincount(places.ravel(), np.concatenate(values), count * len(values))
    return summed.reshape(len(values), count).T


def distinct(rows: LoRAPostings, scores: Floats) -> Floats:
    """Information that each LoRA has and the others lack, by example prompts and by names: shape (LoRAs, 2).

    A key counts by its rarity among these LoRAs, each as probable as its score says, instead of that among all.
    """
    postings, at, key, columns, count = rows.postings, rows.at, rows.key, rows.columns, len(rows.loras)
    index = postings.index
    odds = np.exp(scores - scores.max(initial=0.0))
    probable = (odds / max(odds.sum(), 1e-6))[at]
    out = np.zeros((count, 2), np.float32)
    called = columns[[NAME, TITLE, TRIGGER]].any(axis=0).astype(np.float32)
    for number, (strong, general) in enumerate(((columns[EXAMPLES], index.rarity), (called, index.idf))):
        of_all = np.bincount(key, strong * probable, len(postings.keys))[key]
        others = np.maximum(0, of_all - strong * probable) / np.maximum(1 - probable, 1e-3)
        rare = -np.log(np.minimum(1, others + np.exp(-general[postings.keys])[key]))
        out[:, number] = np.bincount(at, strong**2 * rare, count) / 10
    return out


def context_features(rows: LoRAPostings, allowed: NDArray[np.bool_] | None) -> Floats:
    """Features of the prompt's words that a LoRA lacks, shape (LoRAs, len(CONTEXT_FEATURES)).

    Of the information of the words that any allowed LoRA has: the share that it lacks, the rarest word that it lacks,
    and the share that stands in its name, title or trigger words. Of the comma piece that calls it most so: how much
    of the piece these words are, which piece it is, and how far into the prompt. And how much its example prompts hold.

    Args:
        allowed: which LoRAs of the index may be chosen; None: all.
    """
    postings, size = rows.postings, len(rows.loras)
    there = np.append(postings.has_any(allowed), False)
    word = np.zeros(len(there), bool)
    word[postings.sequence] = True
    information = np.where(there & word, np.append(postings.index.idf[postings.keys], 0), 0).astype(np.float32)
    total = max(float(information.sum()), 1e-6)
    lacks = np.ones((size, len(information)), np.float32)
    lacks[rows.at, rows.key] = 0
    called = np.zeros_like(lacks)
    called[rows.at, rows.key] = rows.columns[[NAME, TITLE, TRIGGER]].any(axis=0)
    piece, at = np.ones(size), np.full(size, len(postings.piece_starts))
    if len(postings.sequence):
        of_pieces = np.add.reduceat(information[postings.sequence], postings.piece_starts)
        calling = np.add.reduceat(
            called[:, postings.sequence] * information[postings.sequence], postings.piece_starts, axis=1
        )
        best = calling.argmax(axis=1)
        most = calling[np.arange(size), best]
        named = most > 0
        piece[named], at[named] = (most / np.maximum(of_pieces[best], 1e-6))[named], best[named]
    return np.column_stack(
        (
            lacks @ information / total,
            (lacks * information).max(axis=1) / 10,
            called @ information / total,
            piece,
            np.log1p(at) / 3,
            at / len(postings.piece_starts),
            np.log1p(postings.coverage[rows.loras]) / 3,
        )
    ).astype(np.float32)


def relative(raw: Floats, scale: Floats) -> Floats:
    """Raw features (LoRAs, n) over their scale, and over the query's maximum: (LoRAs, 2 n)."""
    most = raw.max(axis=0, initial=0.0)
    return np.concatenate((raw / scale, raw / np.maximum(most, 1e-6)), axis=1)


def _groups(rows: LoRAPostings) -> Floats:
    """Share and information of a LoRA's best trigger set, name and title that the prompt has."""
    index = rows.postings.index
    known, phrases = index.groups, index.loras.groups.rows.phrases
    out = np.zeros((len(rows.loras), len(GROUPS)), np.float32)
    called = np.zeros(len(rows.loras), bool)
    called[rows.at[rows.columns[[NAME, TITLE, TRIGGER]].any(axis=0)]] = True
    here = np.flatnonzero(called)
    loras = rows.loras[here]
    asked = np.zeros(len(index.keys) + 1, bool)
    asked[rows.postings.keys] = True
    words = runs_of(known.word_starts, loras)
    words = words[asked[phrases.rows.words.rows[words]]]
    of_words = known.phrase_of_word[words]
    whole = runs_of(known.phrase_starts, loras)
    whole = whole[asked[phrases.rows.key[whole]]]
    found = np.union1d(of_words, whole)
    have = np.bincount(np.searchsorted(found, of_words), index.idf[phrases.rows.words.rows[words]], len(found))
    total = known.information_of_phrase[found]
    part = SCATTERED_PHRASE_WEIGHT * (have / np.maximum(total, 1e-6)) ** 2
    value = np.where(asked[phrases.rows.key[found]], 1.0, part)
    groups, of_group = np.unique(known.group_of_phrase[found], return_inverse=True)
    mass = np.bincount(of_group, total * value, len(groups))
    coverage = mass / np.maximum(known.information[groups], 1e-6)
    place = np.empty(index.size, np.int64)
    place[loras] = here
    lora, kind = place[known.lora[groups]], index.loras.groups.rows.field[groups]
    for number, field in enumerate((TRIGGER, NAME, TITLE)):
        chosen = kind == field
        np.maximum.at(out[:, 2 * number], lora[chosen], coverage[chosen].astype(np.float32))
        np.maximum.at(out[:, 2 * number + 1], lora[chosen], mass[chosen].astype(np.float32))
    return out
