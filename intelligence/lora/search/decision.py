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


@dataclass(frozen=True)
class Trees:
    """Binary trees, their nodes one after the other. Leaves lead to themselves, so that all can be walked together."""

    roots: NDArray[np.int64]
    feature: NDArray[np.int64]
    """Column that a node asks."""
    threshold: Floats
    """A row goes left where its value is at most this."""
    children: NDArray[np.int64]
    """Of each node the left and the right one, one after the other."""
    value: Floats
    """Of leaves; 0 of other nodes."""
    depth: int

    def __call__(self, inputs: Floats) -> Floats:
        """Sum of the leaves that each row reaches: (rows, columns) → (rows,)."""
        count, columns = inputs.shape
        values = np.ascontiguousarray(inputs).ravel()
        row = np.repeat(np.arange(count) * columns, len(self.roots))
        node = np.tile(self.roots, count)
        for _ in range(self.depth):
            is_right = values.take(row + self.feature.take(node)) > self.threshold.take(node)
            node = self.children.take(2 * node + is_right)
        total: Floats = self.value.take(node).reshape(count, -1).sum(axis=1)
        return total


def trees_from(trees: list[list[list[float]]]) -> Trees:
    """Return trees written as nodes `[feature, threshold, left, right]`, and leaves `[value]`; the root is first."""
    roots = np.cumsum([0, *map(len, trees[:-1])])
    nodes: list[tuple[int, float, int, int, float]] = []
    deepest = 0
    for root, rows in zip(roots.tolist(), trees, strict=True):
        level = [0] * len(rows)
        for number, row in enumerate(rows):
            if len(row) == 1:
                nodes.append((0, 0.0, root + number, root + number, row[0]))
                continue
            left, right = int(row[2]), int(row[3])
            level[left] = level[right] = level[number] + 1
            nodes.append((int(row[0]), row[1], root + left, root + right, 0.0))
        deepest = max(deepest, *level)
    feature, threshold, left_, right_, value = zip(*nodes, strict=True)
    children = np.column_stack((left_, right_)).astype(np.int64).ravel()
    floats = [np.array(column, np.float32) for column in (threshold, value)]
    return Trees(roots.astype(np.int64), np.array(feature, np.int64), floats[0], children, floats[1], deepest)


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
