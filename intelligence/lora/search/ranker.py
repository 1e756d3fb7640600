"""From evidence to an order and a probability: the trained part of the choice.

Three passes, each over fewer LoRAs: a weighted sum over all, a linear model over the first 256, a small network (one
hidden layer of ReLU) over the first 100; then a calibrator says of each of the first how probable it is that a person
would call it right. Numbers of prompts written as tags and as sentences are mixed by `PromptAnalysis.tag_style`. The
numbers lie in ranker.json; README.md beside it says what they were trained on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .building import Background, build
from .documents import Listed, ReadModels
from .features import FEATURES, LoRAPostings, context_features, distinct, features, postings_of, relative
from .index import Columns, Floats, Index, Postings

INDEX_VERSION = 6
"""Counts up when what an index holds changes, so that kept ones are made anew."""
STAGES = ("first", "scale", "linear", "second", "calibrator", "sentences")
FIRST_PASS, SECOND_PASS = 256, 100
"""LoRAs that the passes keep."""
MAX_GAP = 20.0
STANDING = ("probability", "lead", "rank")
"""Standing in the ranking: the probability, the score beside the best other LoRA's, the place."""
NO_LORA = 5.3
"""Score that parts prompts of a LoRA of the library from prompts of none: of 1,400 prompts of records without names,
the LoRA that is right and first stands at 8.0 in the median, the first where the right one is missing at 4.3."""
UNKNOWN_STANDING = np.array((-1, 0, -1), np.float32)
COMPARED = ("creator_coverage", "covered", "set_mass", "name_mass", "title_mass", "best_hook", "likelihood")
"""Features whose distance to the best other LoRA is looked at."""


@dataclass(frozen=True)
class Ranked:
    """LoRAs of an index, best first."""

    loras: NDArray[np.int64]
    probabilities: Floats
    """That the LoRA is right, 0 … 1; never rising."""
    scores: Floats
    looked_at: NDArray[np.int64]
    """LoRAs of the second pass, rising: the ranked ones and others."""
    features: Floats
    """`FEATURES` of each of these."""

    def features_of(self, loras: NDArray[np.int64], postings: Postings) -> Floats:
        """Return `FEATURES` of some LoRAs, whether or not they are looked at."""
        out = np.zeros((len(loras), len(FEATURES)), np.float32)
        place = np.searchsorted(self.looked_at, loras)
        there = np.append(self.looked_at, -1)[place] == loras
        out[there] = self.features[place[there]]
        if not there.all():
            out[~there] = features(postings_of(postings, loras[~there]))
        return out

    def _places(self, loras: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which of some LoRAs are ranked, and where."""
        if not len(self.loras):
            return np.zeros(len(loras), bool), np.zeros(len(loras), np.int64)
        order = np.argsort(self.loras)
        place = order[np.minimum(np.searchsorted(self.loras, loras, sorter=order), len(self.loras) - 1)]
        return self.loras[place] == loras, place

    def standing(self, loras: NDArray[np.int64]) -> Floats:
        """Return `STANDING` of some LoRAs, shape (LoRAs, …); one that is not ranked stands behind all."""
        out = np.tile(np.array((0, -MAX_GAP, np.log1p(SECOND_PASS)), np.float32), (len(loras), 1))
        count = len(self.loras)
        if count:
            best_other = np.full(count, self.scores.max())
            first = int(self.scores.argmax())
            best_other[first] = np.delete(self.scores, first).max(initial=self.scores[first] - MAX_GAP)
            lead = np.clip(self.scores - best_other, -MAX_GAP, MAX_GAP)
            columns = np.column_stack((self.probabilities, lead, np.log1p(np.arange(count))))
            there, place = self._places(loras)
            out[there] = columns[place[there]]
        return out

    def weights(self, loras: NDArray[np.int64]) -> Floats:
        """Return how probable it is that each LoRA, rather than another or none, belongs to the prompt: 0 … 1.

        It tells which LoRA is nearest, where the decision tells whether anybody asked for it. A softmax of the scores.
        """
        known = dict(zip(self.loras.tolist(), np.exp(self.scores - NO_LORA).tolist(), strict=True))
        weights = [known.get(lora, 0.0) / (1 + sum(known.values())) for lora in loras.tolist()]
        return np.array(weights, np.float32)


NOTHING = Ranked(
    np.empty(0, np.int64),
    np.empty(0, np.float32),
    np.empty(0, np.float32),
    np.empty(0, np.int64),
    np.empty((0, len(FEATURES)), np.float32),
)


class LookedAt(NamedTuple):
    """LoRAs that are looked at closely."""

    rows: LoRAPostings
    """Their numbers rise."""
    features: Floats


def look_at(postings: Postings, loras: NDArray[np.int64]) -> LookedAt:
    """Look at some LoRAs. Args: loras: rising."""
    rows = postings_of(postings, loras)
    return LookedAt(rows, features(rows))


@dataclass(frozen=True)
class Shortlist(Columns):
    """LoRAs that are still in the race, best first."""

    lora: NDArray[np.int64]
    features: Floats
    inputs: Floats
    """`relative` features."""
    score: Floats
    creator: NDArray[np.uint64]
    distinct: Floats
    context: Floats
    """`features.CONTEXT_FEATURES`."""
    examples: NDArray[np.uint8]
    prompt: Floats
    """The same for all: `tag_style`, words of the prompt that some LoRA has, LoRAs that may be chosen."""

    def best(self, scores: Floats, count: int) -> Shortlist:
        """Return the best `count` by other scores."""
        order = np.argsort(-scores, kind="stable")[:count]
        return replace(self.take(order), score=scores[order])


Numbers = dict[str, Any]


@cache
def _text() -> str:
    return Path(__file__).with_name("ranker.json").read_text(encoding="utf-8")


@cache
def mark() -> str:
    """Changes with the numbers and with what an index holds."""
    return f"{INDEX_VERSION} {blake2b(_text().encode(), digest_size=8).hexdigest()}"


@cache
def numbers() -> Numbers:
    """The trained numbers, as arrays."""
    return as_arrays({name: value for name, value in json.loads(_text()).items() if name in STAGES})


def as_arrays(data: Any) -> Any:
    """Lists and numbers in nested dictionaries as arrays."""
    if isinstance(data, dict):
        return {name: as_arrays(value) for name, value in data.items()}
    return np.array(data, np.float32)


@cache
def background() -> dict[str, Background]:
    """General knowledge of words, from ranker.json."""
    return {word: Background(*shares) for word, shares in json.loads(_text())["background"].items()}


def build_index(models: Sequence[Listed], known: Index | None = None, read: ReadModels = iter) -> Index:
    """Return the index of `models` for these numbers.

    Args:
        known: one of an earlier library, for the same numbers.
        read: gives the whole records of some of `models`.
    """
    return build(models, background(), numbers()["first"], known, read)


def mixed(weights: Floats, tag_style: float) -> Floats:
    """Weights of shape (2, …) for tags and for sentences, as the prompt's style asks."""
    mix: Floats = tag_style * weights[0] + (1 - tag_style) * weights[1]
    return mix


def candidates(scores: Floats, allowed: NDArray[np.bool_] | None, count: int) -> NDArray[np.int64]:
    """The best `count` of the allowed LoRAs that have anything to do with the prompt, ordered by number."""
    found = np.flatnonzero(scores != 0 if allowed is None else (scores != 0) & allowed)
    if len(found) > count:
        found = np.sort(found[np.argpartition(-scores[found], count)[:count]])
    return found


def compared(shortlist: Shortlist) -> Floats:
    """Return each LoRA beside the others, shape (LoRAs, …)."""
    scores, creator, count = shortlist.score, shortlist.creator, len(shortlist.lora)
    gap = np.clip(scores - scores[:1], -MAX_GAP, 0)
    if count:
        gap[0] = min(float(scores[0] - scores[1]), MAX_GAP) if count > 1 else MAX_GAP
    ahead = np.clip(scores - np.append(scores[1:], scores[-1:] - MAX_GAP), 0, MAX_GAP)
    same = (creator[:, None] == creator[None, :]) & (creator[:, None] != 0)
    np.fill_diagonal(same, False)
    rival = np.where(same, scores[None, :], -np.inf).max(axis=1, initial=-np.inf)
    has_rival = np.isfinite(rival)
    rival_gap = np.where(has_rival, np.clip(scores - np.where(has_rival, rival, 0), -MAX_GAP, MAX_GAP), 0)
    values = shortlist.features[:, [FEATURES.index(name) for name in COMPARED]]
    top = np.sort(values, axis=0)[-2:]
    others = np.where(values >= top[-1:], top[:1] if count > 1 else 0, top[-1:])
    distance = (values - others) / np.maximum(top[-1:], 1e-6)
    odds = np.exp(np.clip(scores - scores.max(initial=-np.inf), -MAX_GAP, 0))
    return np.column_stack(
        (
            distance,
            scores / 10,
            gap / 5,
            ahead / 5,
            rival_gap / 5,
            has_rival,
            odds / max(float(odds.sum()), 1e-6),
            np.log1p(np.arange(count)) / 3,
            shortlist.distinct,
            shortlist.context,
            np.log1p(shortlist.examples) / 3,
            shortlist.prompt,
        )
    ).astype(np.float32)


def network(inputs: Floats, weights: dict[str, Floats]) -> Floats:
    """A linear part and a hidden layer of ReLU: (n, inputs) → (n,)."""
    hidden = np.maximum(0, inputs @ weights["hidden"] + weights["bias"])
    out: Floats = inputs @ weights["direct"] + hidden @ weights["output"] + weights["constant"]
    return out


def logistic(values: Floats) -> Floats:
    return (1 / (1 + np.exp(-np.clip(values, -15, 15)))).astype(np.float32)


def rough_scores(postings: Postings, tag_style: float) -> Floats:
    """The first pass: a score of every LoRA, shape (LoRAs,)."""
    bits, known = postings.impact.view(np.uint16), _halves()
    if tag_style in (0, 1):
        impact = known.take(bits[:, int(1 - tag_style)])
    else:
        impact = known.take(bits) @ np.array((tag_style, 1 - tag_style), np.float32)
    return np.bincount(postings.lora, impact, len(postings.coverage)).astype(np.float32)


@cache
def _halves() -> Floats:
    """Every 16-bit number by its bits: to look it up is faster than to convert it."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)


def shortlisted(
    looked_at: LookedAt, found: NDArray[np.int64], tag_style: float, allowed: NDArray[np.bool_] | None, n: Numbers
) -> Shortlist:
    """The second pass: the linear model over the LoRAs that the first one found. Args: found: they, rising."""
    every, postings = looked_at.rows, looked_at.rows.postings
    places = np.searchsorted(every.loras, found)
    raw = looked_at.features[places]
    inputs = relative(raw, n["scale"])
    scores = inputs @ mixed(n["linear"], tag_style)
    order = np.argsort(-scores, kind="stable")[:SECOND_PASS]
    found, scores, rows = found[order], scores[order], every.among(places[order])
    words = np.count_nonzero(postings.is_word)
    size = len(postings.coverage) if allowed is None else np.count_nonzero(allowed)
    prompt = np.array((tag_style, np.log1p(words) / 4, np.log1p(size) / 10), np.float32)
    return Shortlist(
        found,
        raw[order],
        inputs[order],
        scores,
        postings.index.loras.creator[found],
        distinct(rows, scores),
        context_features(rows, allowed),
        postings.examples[found],
        np.tile(prompt, (len(found), 1)),
    )


def rank(
    postings: Postings,
    tag_style: float,
    allowed: NDArray[np.bool_] | None = None,
    *,
    count: int = FIRST_PASS,
    rough: Floats | None = None,
    looked_at: LookedAt | None = None,
) -> Ranked:
    """Return the LoRAs that the prompt speaks for at all, best first, each with the probability that it is right.

    Args:
        tag_style: `PromptAnalysis.tag_style`.
        allowed: which LoRAs may be chosen, shape (LoRAs,); None: all.
        count: how many to look at closely.
        rough: `rough_scores`, where they are known.
        looked_at: LoRAs that are looked at, these `candidates` among them, where they are known.
    """
    n = numbers()
    found = candidates(rough_scores(postings, tag_style) if rough is None else rough, allowed, count)
    if not len(found):
        return NOTHING
    looked_at = looked_at or look_at(postings, found)
    best = shortlisted(looked_at, found, tag_style, allowed, n)
    others = compared(best)
    probabilities = np.zeros(len(best.lora), np.float32)
    if tag_style:
        score = best.score + tag_style * network(np.concatenate((best.inputs, others), axis=1), n["second"])
        best = best.best(score, SECOND_PASS)
        others = compared(best)
        inputs = np.concatenate((best.inputs, others), axis=1)
        probabilities += tag_style * logistic(network(inputs, n["calibrator"]))
    if tag_style < 1:
        probabilities += (1 - tag_style) * logistic(network(others, n["sentences"]))
    probabilities = np.minimum.accumulate(probabilities).astype(np.float32)
    return Ranked(best.lora, probabilities, best.score, looked_at.rows.loras, looked_at.features)
