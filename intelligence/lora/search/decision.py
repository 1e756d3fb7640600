"""From evidence to a yes or no: how probable it is that a person asked for a LoRA, each judged by itself.

Boosted trees over absolute evidence, then a line that makes their sum a probability. The numbers lie in decision.json;
README.md beside it says what they were trained on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .index import Floats
from .knowledge import Knowledge, PhraseCounts
from .ranker import background

COUNT_STEP = 0.25
"""Step of the counts of phrases that decision.json holds, of which each is a letter, `a` for 0."""

MAX_LEAVES = 16
"""Leaves of a tree, each a bit of a number."""


@dataclass(frozen=True)
class Trees:
    """Binary trees, read by the leaves that their tests rule out (QuickScorer, Lucchese et al. 2015)."""

    feature: NDArray[np.int64]
    """Column that a test asks, shape (tests of a tree, trees) …"""
    threshold: Floats
    """… which a row passes where its value is at most this …"""
    ruled_out: NDArray[np.uint16]
    """… and else leaves the tests' left side, whose leaves are these bits."""
    value: Floats
    """Of the leaves from left to right, shape (trees, MAX_LEAVES)."""

    def __call__(self, inputs: Floats) -> Floats:
        """Sum of the leaves that each row reaches: (rows, columns) → (rows,)."""
        tests, trees = self.feature.shape
        failed = inputs.take(self.feature.ravel(), axis=1) > self.threshold.ravel()
        ruled_out = (failed * self.ruled_out.ravel()).reshape(len(inputs), tests, trees)
        leaf = _first_bits().take(~np.bitwise_or.reduce(ruled_out, axis=1))
        total: Floats = self.value.take(leaf + np.arange(trees) * MAX_LEAVES).sum(axis=1)
        return total


@cache
def _first_bits() -> NDArray[np.uint8]:
    """Place of the lowest bit of every 16-bit number; 0 for 0."""
    numbers = np.arange(1 << MAX_LEAVES)
    return np.log2(np.maximum(1, numbers & -numbers)).astype(np.uint8)


def trees_from(trees: list[list[list[float]]]) -> Trees:
    """Return trees written as nodes `[feature, threshold, left, right]`, and leaves `[value]`; the root is first."""
    most = max(len(rows) // 2 for rows in trees)
    feature, ruled_out = np.zeros((most, len(trees)), np.int64), np.zeros((most, len(trees)), np.uint16)
    threshold, value = np.zeros((most, len(trees)), np.float32), np.zeros((len(trees), MAX_LEAVES), np.float32)

    def read(rows: list[list[float]], tree: int, node: int, leaves: int, tests: int) -> tuple[int, int]:
        """Leaves and tests that are read, those below a node among them."""
        row = rows[node]
        if len(row) == 1:
            value[tree, leaves] = row[0]
            return leaves + 1, tests
        after, below = read(rows, tree, int(row[2]), leaves, tests + 1)
        feature[tests, tree], threshold[tests, tree] = int(row[0]), row[1]
        ruled_out[tests, tree] = (1 << after) - (1 << leaves)
        return read(rows, tree, int(row[3]), after, below)

    for tree, rows in enumerate(trees):
        read(rows, tree, 0, 0, 0)
    return Trees(feature, threshold, ruled_out, value)


@dataclass(frozen=True)
class Decision:
    """The trained numbers."""

    trees: Trees
    told: Floats
    """Sums of the trees, rising, shape (2, …): for lists of tags and for sentences …"""
    true: Floats
    """… and the share of LoRAs that are right there."""
    series: frozenset[str]
    phrases: dict[str, PhraseCounts]

    def probability(self, sums: Floats, tag_style: float) -> Floats:
        """Return how probable it is that each LoRA is asked for: sums of the trees → 0 … 1.

        Args:
            tag_style: `PromptAnalysis.tag_style`.
        """
        tags, sentences = (np.interp(sums, *points) for points in zip(self.told, self.true, strict=True))
        mixed: Floats = (tag_style * tags + (1 - tag_style) * sentences).astype(np.float32)
        return mixed


def decision_from(data: dict[str, Any]) -> Decision:
    """Return the decision that decision.json writes down."""
    told, true = (np.array(data[name], np.float32) for name in ("told", "true"))
    phrases: dict[str, PhraseCounts] = {}
    for letters, keys in data["phrases"].items():
        counts = PhraseCounts(*((ord(letter) - ord("a")) * COUNT_STEP for letter in letters))
        phrases |= dict.fromkeys(keys.split(), counts)
    return Decision(trees_from(data["trees"]), told, true, frozenset(data["series"]), phrases)


@cache
def decision() -> Decision:
    """Return the decision of decision.json."""
    text = Path(__file__).with_name("decision.json").read_text(encoding="utf-8")
    return decision_from(json.loads(text))


@cache
def knowledge() -> Knowledge:
    """Return general knowledge of words, series and names."""
    return Knowledge(background(), decision().series, decision().phrases)
