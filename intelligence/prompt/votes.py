"""Weigh what the words of a prompt say for each of several kinds."""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_FURTHER_SHARE = 0.2
"""Share of their weight that a kind's other votes add to its strongest one."""
_MAX_FURTHER = 0.2
_UNWANTED_LOSS = 0.5
"""Score that a kind loses when the negative prompt names it."""


class Verdict(NamedTuple, Generic[T]):
    """The kind that won."""

    kind: T
    confidence: float
    """0 … 1: how strong it is, and how far ahead of the next."""
    words: list[str]
    """The phrases that voted for it."""


class Votes(Generic[T]):
    """Votes for kinds, each a weight and the phrase that casts it."""

    def __init__(self) -> None:
        self._cast: dict[T, list[tuple[float, str]]] = {}

    def add(self, kind: T, weight: float, phrase: str) -> None:
        self._cast.setdefault(kind, []).append((weight, phrase))

    def drop(self, kind: T) -> None:
        self._cast.pop(kind, None)

    def move(self, source: T, target: T) -> None:
        """Let the votes for `source` count for `target`, which has some."""
        self._cast[target] += self._cast.pop(source, [])

    def winner(self, none: T, threshold: float, unwanted: Collection[T] = ()) -> Verdict[T]:
        """Return the kind with the highest score; `none` where that is below `threshold`."""
        scores: dict[T, float] = {}
        for kind, cast in self._cast.items():
            weights = [weight for weight, _ in cast]
            strongest = max(weights)
            further = min(_FURTHER_SHARE * (sum(weights) - strongest), _MAX_FURTHER)
            scores[kind] = strongest + further - (_UNWANTED_LOSS if kind in unwanted else 0.0)
        best = max(scores, key=scores.__getitem__, default=none)
        if scores.get(best, 0.0) < threshold:
            return Verdict(none, 0.0, [])
        second = max((score for kind, score in scores.items() if kind != best), default=0.0)
        confidence = min(1.0, scores[best]) * (scores[best] / (scores[best] + max(0.0, second)))
        return Verdict(best, round(confidence, 3), [phrase for _, phrase in self._cast[best]])
