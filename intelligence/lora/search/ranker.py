"""From evidence to an order and a probability: the trained part of the choice.

Three passes, each over fewer LoRAs: a weighted sum over all, a linear model over the first 256, a small network (one
hidden layer of ReLU) over the first 100; then a calibrator says of each of the first how probable it is that a person
would call it right. Numbers of prompts written as tags and as sentences are mixed by `PromptAnalysis.tag_style`. The
numbers lie in ranker.json; README.md beside it says what they were trained on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .building import Background, build
from .documents import Listed, ReadModels
from .features import FEATURES, context_features, distinct, features
from .index import Floats, Index, Postings

INDEX_VERSION = 3
"""Counts up when what an index holds changes, so that kept ones are made anew."""
STAGES = ("first", "scale", "linear", "second", "calibrator", "sentences", "dense")
FIRST = 256
SECOND = 100
"""LoRAs that the passes keep."""
MAX_GAP = 20.0
COMPARED = ("creator_coverage", "covered", "set_mass", "name_mass", "title_mass", "best_hook", "likelihood")
"""Features whose distance to the best other LoRA is looked at."""
_COMPARED = [FEATURES.index(name) for name in COMPARED]


class Ranked(NamedTuple):
    """LoRAs of an index, best first."""

    loras: NDArray[np.int64]
    probabilities: Floats
    """That the LoRA is right, 0 … 1; never rising."""
    scores: Floats


class Known(NamedTuple):
    """What else is known of some LoRAs and of the prompt."""

    creators: NDArray[np.uint64]
    distinct: Floats
    beside: Floats
    examples: NDArray[np.uint8]
    tag_style: float
    words: int
    """Of the prompt, those that some LoRA has."""
    size: int
    """How many LoRAs may be chosen."""


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
    data = json.loads(_text())
    return as_arrays({name: data[name] for name in STAGES})


def as_arrays(data: Any) -> Any:
    """Lists and numbers in nested dictionaries as arrays."""
    if isinstance(data, dict):
        return {name: as_arrays(value) for name, value in data.items()}
    return np.array(data, np.float32)


@cache
def background() -> dict[str, Background]:
    """What is generally known of words: those of ranker.json."""
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
    usable = scores != 0 if allowed is None else (scores != 0) & allowed
    found = np.flatnonzero(usable)
    if len(found) > count:
        found = np.sort(found[np.argpartition(-scores[found], count)[:count]])
    return found


def relative(raw: Floats, scale: Floats) -> Floats:
    """Raw features (LoRAs, n) over their scale, and over the query's maximum: (LoRAs, 2 n)."""
    most = raw.max(axis=0, initial=0.0)
    return np.concatenate((raw / scale, raw / np.maximum(most, 1e-6)), axis=1)


def compared(raw: Floats, scores: Floats, known: Known) -> Floats:
    """Each LoRA beside the others, shape (LoRAs, …). LoRAs best first; `raw`: their features."""
    count = len(scores)
    gap = np.clip(scores - scores[:1], -MAX_GAP, 0)
    if count:
        gap[0] = min(float(scores[0] - scores[1]), MAX_GAP) if count > 1 else MAX_GAP
    ahead = np.clip(scores - np.append(scores[1:], scores[-1:] - MAX_GAP), 0, MAX_GAP)
    same = (known.creators[:, None] == known.creators[None, :]) & (known.creators[:, None] != 0)
    np.fill_diagonal(same, False)
    rival = np.where(same, scores[None, :], -np.inf).max(axis=1, initial=-np.inf)
    has_rival = np.isfinite(rival)
    rival_gap = np.where(has_rival, np.clip(scores - np.where(has_rival, rival, 0), -MAX_GAP, MAX_GAP), 0)
    values = raw[:, _COMPARED]
    top = np.sort(values, axis=0)[-2:]
    others = np.where(values >= top[-1:], top[:1] if count > 1 else 0, top[-1:])
    distance = (values - others) / np.maximum(top[-1:], 1e-6)
    odds = np.exp(np.clip(scores - scores.max(initial=-np.inf), -MAX_GAP, 0))
    one = np.ones(count, np.float32)
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
            known.distinct,
            known.beside,
            np.log1p(known.examples) / 3,
            known.tag_style * one,
            np.log1p(known.words) / 4 * one,
            np.log1p(known.size) / 10 * one,
        )
    ).astype(np.float32)


def network(inputs: Floats, weights: dict[str, Floats]) -> Floats:
    """A linear part and a hidden layer of ReLU: (n, inputs) → (n,)."""
    hidden = np.maximum(0, inputs @ weights["hidden"] + weights["bias"])
    out: Floats = inputs @ weights["direct"] + hidden @ weights["output"] + weights["constant"]
    return out


def logistic(values: Floats) -> Floats:
    return (1 / (1 + np.exp(-np.clip(values, -15, 15)))).astype(np.float32)


class Stage(NamedTuple):
    """LoRAs, best first, with what the next pass looks at."""

    loras: NDArray[np.int64]
    raw: Floats
    inputs: Floats
    scores: Floats
    known: Known

    def by(self, scores: Floats, count: int) -> Stage:
        """The best `count` by other scores."""
        order = np.argsort(-scores, kind="stable")[:count]
        known = self.known
        kept = known._replace(
            creators=known.creators[order],
            distinct=known.distinct[order],
            beside=known.beside[order],
            examples=known.examples[order],
        )
        return Stage(self.loras[order], self.raw[order], self.inputs[order], scores[order], kept)


def rough(postings: Postings, tag_style: float, similarity: Floats | None = None) -> Floats:
    """The first pass: a score of every LoRA."""
    scores = postings.rough_scores(tag_style)
    return scores if similarity is None else scores + (1 - tag_style) * (similarity @ numbers()["dense"]["first"])


def linear_stage(
    index: Index,
    postings: Postings,
    tag_style: float,
    allowed: NDArray[np.bool_] | None,
    n: Numbers,
    scored: Floats,
    count: int = FIRST,
    similarity: Floats | None = None,
) -> Stage:
    """The second pass: the linear model over the `count` LoRAs that are `scored` best."""
    found = candidates(scored, allowed, count)
    rows = postings.of(found)
    raw = features(index, postings, rows, found)
    inputs = relative(raw, n["scale"])
    if similarity is None:
        scores = inputs @ mixed(n["linear"], tag_style)
    else:
        meant = relative(similarity[found], np.ones(similarity.shape[1], np.float32))
        alike = inputs @ n["dense"]["linear"] + meant @ n["dense"]["similarity"]
        scores = tag_style * (inputs @ n["linear"][0]) + (1 - tag_style) * alike
    order = np.argsort(-scores, kind="stable")[:SECOND]
    found, scores = found[order], scores[order]
    words = int(np.count_nonzero(postings.is_word))
    size = index.size if allowed is None else int(np.count_nonzero(allowed))
    rows = rows.of(order)
    distinctness, rest = (
        distinct(index, postings, rows, scores),
        context_features(index, postings, rows, found, allowed),
    )
    known = Known(index.loras.creator[found], distinctness, rest, postings.examples[found], tag_style, words, size)
    return Stage(found, raw[order], inputs[order], scores, known)


def rank(
    index: Index,
    postings: Postings,
    tag_style: float,
    allowed: NDArray[np.bool_] | None = None,
    count: int = FIRST,
    scored: Floats | None = None,
    similarity: Floats | None = None,
) -> Ranked:
    """The LoRAs that the prompt speaks for at all, best first, each with the probability that it is right.

    Args:
        tag_style: `PromptAnalysis.tag_style`.
        allowed: which LoRAs may be chosen, shape (LoRAs,); None: all.
        count: how many to look at closely.
        scored: what `rough` gave.
        similarity: `DenseText.similarities`, without NaN; None: not known.
    """
    n = numbers()
    scored = rough(postings, tag_style, similarity) if scored is None else scored
    stage = linear_stage(index, postings, tag_style, allowed, n, scored, count, similarity)
    if not len(stage.loras):
        return Ranked(stage.loras, stage.scores, stage.scores)
    inputs = np.concatenate((stage.inputs, compared(stage.raw, stage.scores, stage.known)), axis=1)
    stage = stage.by(stage.scores + tag_style * network(inputs, n["second"]), SECOND)
    others = compared(stage.raw, stage.scores, stage.known)
    of_tags = logistic(network(np.concatenate((stage.inputs, others), axis=1), n["calibrator"]))
    if similarity is None:
        of_sentences = logistic(network(others, n["sentences"]))
    else:
        alike = np.concatenate((others, similarity[stage.loras]), axis=1)
        of_sentences = logistic(network(alike, n["dense"]["calibrator"]))
    probabilities = tag_style * of_tags + (1 - tag_style) * of_sentences
    return Ranked(stage.loras, np.minimum.accumulate(probabilities).astype(np.float32), stage.scores)
