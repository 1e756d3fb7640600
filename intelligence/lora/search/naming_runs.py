"""Runs of a prompt's words that name LoRAs of a library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ...prompt import ArtisticStyle
from .building import UNKNOWN_SHARE, Background
from .index import Index, starts_of
from .knowledge import Knowledge
from .tokens import Query, digest, root

MAX_NAMED = 12
"""LoRAs that are judged because the prompt names them in full."""
MAX_OWNERS, MAX_LOOSE_OWNERS = 60, 6
"""LoRAs that one phrase may name and still bring them forward by itself: as the name, and in another way."""


class Run(NamedTuple):
    """A run of a prompt's words that names some LoRA."""

    start: int
    end: int
    piece: int


@dataclass(frozen=True)
class Runs:
    """Runs of a prompt's words that name LoRAs of an index."""

    query: Query
    index: Index
    fitting: NDArray[np.bool_]
    known: Knowledge
    requested: ArtisticStyle = ArtisticStyle.UNSPECIFIED
    """The style that the prompt asks for."""

    def among(self, fitting: NDArray[np.bool_]) -> Self:
        """Return the same of other LoRAs of the index. Args: fitting: which."""
        other = replace(self, fitting=fitting)
        for name in ("_hashes", "_piece_of", "_starts", "_word_hashes", "_callers", "surprisals"):
            other.__dict__[name] = getattr(self, name)
        return other

    @property
    def tokens(self) -> tuple[str, ...]:
        return self.query.sequence

    def runs(self, key: str) -> list[Run]:
        """Return where a key stands."""
        return [Run(*place) for place in self.query.places[key]]

    @cached_property
    def _hashes(self) -> tuple[list[str], NDArray[np.uint64], NDArray[np.int64]]:
        """Keys, their digests sorted, and the place of each digest among the keys."""
        order = np.argsort(self.query.hashes, kind="stable")
        return list(self.query.keys), self.query.hashes[order], order

    @cached_property
    def callers(self) -> dict[str, tuple[NDArray[np.int32], NDArray[np.bool_]]]:
        """Key → the fitting LoRAs that it names, and which of them by a strong source."""
        if not self._callers:
            return {}
        fits = self.fitting[np.concatenate([loras for loras, _ in self._callers.values()])]
        starts = starts_of(np.array([len(loras) for loras, _ in self._callers.values()], np.int64))
        fitting = np.add.reduceat(fits, starts[:-1], dtype=np.int64).tolist()
        found = {}
        for (key, (loras, strong)), start, count in zip(
            self._callers.items(), starts[:-1].tolist(), fitting, strict=True
        ):
            these = fits[start : start + len(loras)]
            if count:
                found[key] = (loras, strong) if count == len(loras) else (loras[these], strong[these])
        return found

    @cached_property
    def _callers(self) -> dict[str, tuple[NDArray[np.int32], NDArray[np.bool_]]]:
        """Key → all LoRAs that it names, and which of them by a strong source."""
        keys, hashes, order = self._hashes
        named, owner, strong = self.index.named
        starts, ends = np.searchsorted(named, hashes, "left"), np.searchsorted(named, hashes, "right")
        found = {}
        for number in np.flatnonzero(ends > starts).tolist():
            part = slice(starts[number], ends[number])
            found[keys[order[number]]] = owner[part], strong[part]
        return found

    @cached_property
    def owners(self) -> dict[str, NDArray[np.int32]]:
        """Key → the fitting LoRAs that it names by a strong source."""
        return {key: loras[strong] for key, (loras, strong) in self.callers.items() if strong.any()}

    @cached_property
    def _naming_runs(self) -> list[Run]:
        """Runs of two words and more that name some LoRA."""
        return [run for key in self.owners for run in self.runs(key) if run.end - run.start > 1]

    @cached_property
    def told_by_names(self) -> list[float]:
        """Per word: the information of the most telling run around it that names a LoRA, 0 where none does."""
        told = [0.0] * len(self.tokens)
        for key in self.owners:
            for run in self.runs(key):
                information = self.information(run)
                for place in range(run.start, run.end):
                    told[place] = max(told[place], information)
        return told

    def is_covered(self, key: str) -> bool:
        """Return whether a key stands nowhere but inside a longer run that names a LoRA."""
        runs = self.runs(key)
        spoken = [run for run in runs if run.piece < self.query.spoken] or runs
        return all(any(_inside(run, longer) for longer in self._naming_runs) for run in spoken)

    @cached_property
    def named(self) -> NDArray[np.int64]:
        """Up to `MAX_NAMED` LoRAs that the prompt names in full, those with the most telling names first."""
        calling: list[tuple[bool, float, int, str]] = []
        for key, (loras, strong) in self.callers.items():
            mine = int(strong.sum())
            information = self.information(self.runs(key)[0])
            if 0 < mine <= MAX_OWNERS:
                calling.append((True, information, mine, key))
            elif not mine and len(loras) <= MAX_LOOSE_OWNERS:
                calling.append((False, information, len(loras), key))
        calling.sort(key=lambda call: (not call[0], -call[1] + np.log(call[2]), call[3]))
        places = dict.fromkeys(
            place for own, *_, key in calling for place in (self.owners if own else self._all)[key].tolist()
        )
        return np.array(list(places)[:MAX_NAMED], np.int64)

    @property
    def names_few(self) -> bool:
        """True where a phrase of the prompt names a fitting LoRA and, fitting or not, few others."""
        strong = {key: int(strong.sum()) for key, (_, strong) in self.callers.items()}
        return any(
            mine <= MAX_OWNERS if mine else len(self._callers[key][0]) <= MAX_LOOSE_OWNERS
            for key, mine in strong.items()
        )

    @cached_property
    def _all(self) -> dict[str, NDArray[np.int32]]:
        return {key: loras for key, (loras, _) in self.callers.items()}

    @cached_property
    def _word_hashes(self) -> NDArray[np.uint64]:
        """Digests of the roots of its words, and of two words written as one, sorted; those of series left out."""
        of_series = {
            token
            for key in filter(self.known.series.__contains__, self.query.places)
            for run in self.runs(key)
            for token in self.tokens[run.start : run.end]
        }
        words = {root(token) for token in self.query.tokens - of_series}
        joined = {root(one + other) for piece in self.query.pieces for one, other in pairwise(piece)}
        return np.sort(digest(words | joined))

    @cached_property
    def surprisals(self) -> list[float]:
        """Per word, how little probable it is in any prompt, in nats."""
        known = {token: _surprisal(self.known.words, token) for token in self.query.tokens}
        return [known[token] for token in self.tokens]

    def information(self, run: Run) -> float:
        """Return how little probable its words are in any prompt, in nats."""
        return sum(self.surprisals[run.start : run.end])

    @cached_property
    def _starts(self) -> list[int]:
        return np.cumsum([0, *(len(piece) for piece in self.query.pieces)]).tolist()

    def _same_piece(self, place: int, run: Run) -> bool:
        return bool(self._piece_of[place] == run.piece)

    @cached_property
    def _piece_of(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(len(self.query.pieces)), [len(piece) for piece in self.query.pieces])


def _inside(run: Run, other: Run) -> bool:
    return other.start <= run.start and run.end <= other.end and other.end - other.start > run.end - run.start


def _surprisal(known: Mapping[str, Background], token: str) -> float:
    background = known.get(token)
    return surprisal(max(background.prompts, UNKNOWN_SHARE) if background else UNKNOWN_SHARE)


@lru_cache(maxsize=20_000)
def surprisal(probability: float) -> float:
    """Return the information of something so probable, in nats."""
    return -float(np.log(probability))
