"""Evidence that a prompt asks for a LoRA: which phrases that name it stand in the prompt, and how.

Little here is relative to the library: a phrase that lies inside the longer name of another LoRA, the number of LoRAs
that a phrase names, and in libraries of `MIN_RIVALS` and more the place in the ranking.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...prompt import ArtisticStyle
from ...prompt.clip_words import word_rank
from .building import UNKNOWN_SHARE, Background
from .features import FEATURES, LIKENESS, features, postings_of
from .index import NAME_WEIGHT_STEP, STYLES, Floats, Index, Postings
from .knowledge import RARE, Knowledge, PhraseCounts
from .naming import STRONG, NameSource, rank_level
from .ranker import STANDING, UNKNOWN_STANDING, Ranked
from .tokens import MAX_PHRASE, Query, digest, is_common, is_meta, root

MAX_NAMED = 12
"""LoRAs that are judged because the prompt names them in full."""
MAX_OWNERS, MAX_LOOSE_OWNERS = 60, 6
"""LoRAs that one phrase may name and still bring them forward by itself: as the name, and in another way."""
MIN_RIVALS = 60
"""LoRAs from which on the place in the ranking, and likeness to example prompts, say something: of few, the likest may
be like any prompt."""
SOURCES = tuple(NameSource)
STYLE_WORDS = frozenset(("style", "styled", "art", "aesthetic", "estilo", "look"))
LINKS = frozenset(("by", "like", "from", "as", "named", "called", "como", "de"))
ARTICLES = frozenset(("a", "an", "the", "some", "this", "un", "una", "el", "la", "los", "las"))
PREPOSITIONS = frozenset(("on", "in", "at", "with", "of", "over", "under", "near", "behind", "beside", "through", "to"))
WEARING = frozenset(("wearing", "wear", "wears", "dressed", "holding", "hold", "riding", "using"))

BEST = (
    *("width", "information", "prompt_rarity", "rarest", "commonest_rank", "rarest_rank", "piece_share", "place"),
    *("piece", "capital", "starts", "covered", "corrected", "series", "owners", "article", "style_word", "link"),
    *("preposition", "wearing", "head", "prepositions", "outdone", "source"),
)
PARTIAL = ("share", "mass", "missing", "words", "outdone")
"""Of the phrase of several words of which the prompt has most: its share, its weightiest absent word, its rival."""
NAMING = (
    *(f"named_{source.name.lower()}" for source in SOURCES),
    "strong",
    "phrases",
    "named_words",
    *BEST,
    *PhraseCounts._fields,
)
PARTS = (*(f"strong_{name}" for name in PARTIAL), *(f"other_{name}" for name in PARTIAL))
PROMPT = ("tag_style", "words", "pieces", "size")
"""Of the prompt, and of the library: how many LoRAs may be chosen."""
LORA = ("kind", "style", "style_rivals", "examples")
EVIDENCE = (*NAMING, *PARTS, *PROMPT, *LORA, *(f"ranked_{name}" for name in FEATURES), *STANDING)
"""Columns of the decision."""


class Run(NamedTuple):
    """A run of a prompt's words that names some LoRA."""

    start: int
    end: int
    piece: int


@dataclass(frozen=True)
class Matches:
    """Runs of a prompt's words that name LoRAs of an index."""

    query: Query
    index: Index
    fitting: NDArray[np.bool_]
    known: Knowledge
    requested: ArtisticStyle = ArtisticStyle.UNSPECIFIED
    """The style that the prompt asks for."""

    def among(self, fitting: NDArray[np.bool_]) -> Matches:
        """Return the same of other LoRAs of the index. Args: fitting: which."""
        other = replace(self, fitting=fitting)
        for name in ("tokens", "runs", "_hashes", "_piece_of", "_starts", "_word_hashes", "_callers"):
            other.__dict__[name] = getattr(self, name)
        return other

    @cached_property
    def tokens(self) -> list[str]:
        return [token for piece in self.query.pieces for token in piece]

    @cached_property
    def runs(self) -> dict[str, list[Run]]:
        """Key → where it stands."""
        found: dict[str, list[Run]] = {}
        base = 0
        for number, piece in enumerate(self.query.pieces):
            for start in range(len(piece)):
                for end in range(start + 1, min(len(piece), start + MAX_PHRASE) + 1):
                    key = "".join(piece[start:end])
                    found.setdefault(key, []).append(Run(base + start, base + end, number))
            base += len(piece)
        return found

    @cached_property
    def _hashes(self) -> tuple[list[str], NDArray[np.uint64], NDArray[np.int64]]:
        """Keys, their digests sorted, and the place of each digest among the keys."""
        digests = dict(zip(self.query.keys, self.query.hashes.tolist(), strict=True))
        keys = [key for key in self.runs if key in digests]
        hashes = np.array([digests[key] for key in keys], np.uint64)
        order = np.argsort(hashes, kind="stable")
        return keys, hashes[order], order

    @cached_property
    def callers(self) -> dict[str, tuple[NDArray[np.int32], NDArray[np.bool_]]]:
        """Key → the fitting LoRAs that it names, and which of them by a strong source."""
        fitting = ((key, loras, strong, self.fitting[loras]) for key, (loras, strong) in self._callers.items())
        return {key: (loras[fits], strong[fits]) for key, loras, strong, fits in fitting if fits.any()}

    @cached_property
    def _callers(self) -> dict[str, tuple[NDArray[np.int32], NDArray[np.bool_]]]:
        """Key → all LoRAs that it names, and which of them by a strong source."""
        keys, hashes, order = self._hashes
        named, owner, strong = self.index.named
        starts, ends = np.searchsorted(named, hashes, "left"), np.searchsorted(named, hashes, "right")
        found = {}
        for number in np.flatnonzero(ends > starts).tolist():
            part = slice(starts[number], ends[number])
            loras, first = np.unique(owner[part], return_index=True)
            found[keys[order[number]]] = loras, strong[part][first]
        return found

    @cached_property
    def owners(self) -> dict[str, NDArray[np.int32]]:
        """Key → the fitting LoRAs that it names by a strong source."""
        return {key: loras[strong] for key, (loras, strong) in self.callers.items() if strong.any()}

    @cached_property
    def _naming_runs(self) -> list[Run]:
        """Runs of two words and more that name some LoRA."""
        return [run for key in self.owners for run in self.runs[key] if run.end - run.start > 1]

    @cached_property
    def told_by_names(self) -> list[float]:
        """Per word: the information of the most telling run around it that names a LoRA, 0 where none does."""
        told = [0.0] * len(self.tokens)
        for key in self.owners:
            for run in self.runs[key]:
                information = self.information(run)
                for place in range(run.start, run.end):
                    told[place] = max(told[place], information)
        return told

    def is_covered(self, key: str) -> bool:
        """Return whether a key stands nowhere but inside a longer run that names a LoRA."""
        runs = self.runs[key]
        spoken = [run for run in runs if run.piece < self.query.spoken] or runs
        return all(any(_inside(run, longer) for longer in self._naming_runs) for run in spoken)

    def named(self, most: int = MAX_NAMED) -> NDArray[np.int64]:
        """Return the LoRAs that the prompt names in full, those with the most telling names first."""
        calling: list[tuple[bool, float, int, str]] = []
        for key, (loras, strong) in self.callers.items():
            mine = int(strong.sum())
            information = self.information(self.runs[key][0])
            if 0 < mine <= MAX_OWNERS:
                calling.append((True, information, mine, key))
            elif not mine and len(loras) <= MAX_LOOSE_OWNERS:
                calling.append((False, information, len(loras), key))
        calling.sort(key=lambda call: (not call[0], -call[1] + np.log(call[2]), call[3]))
        places = dict.fromkeys(
            place for own, *_, key in calling for place in (self.owners if own else self._all)[key].tolist()
        )
        return np.array(list(places)[:most], np.int64)

    @cached_property
    def _all(self) -> dict[str, NDArray[np.int32]]:
        return {key: loras for key, (loras, _) in self.callers.items()}

    def partial(self, loras: NDArray[np.int64]) -> Floats:
        """`PARTS` of some LoRAs, shape (LoRAs, …)."""
        names = self.index.loras.names.take(loras)
        words, phrases = names.rows.words, len(names.rows.key)
        weight = words.rows.weight * NAME_WEIGHT_STEP
        here = np.isin(words.rows.key, self._word_hashes)
        of = np.repeat(np.arange(phrases), words.counts)
        total, mass = np.bincount(of, weight, phrases), np.bincount(of, weight * here, phrases)
        missing = np.zeros(phrases)
        np.maximum.at(missing, of, weight * ~here)
        count = np.bincount(of, here & (weight > 0), phrases)
        share = mass / np.maximum(total, 1e-6)
        several = np.bincount(of, weight > 0, phrases) > 1
        owner = np.repeat(np.arange(len(loras)), names.counts)
        strong = np.isin(names.rows.source, STRONG)
        told = np.array([self._told_by_root.get(key, 0.0) for key in words.rows.key[here].tolist()])
        rival = np.zeros(phrases)
        np.maximum.at(rival, of[here], told)
        out = np.zeros((len(loras), len(PARTS)), np.float32)
        for start, kind in ((0, strong), (len(PARTIAL), ~strong)):
            worth = np.where(several & kind, share * mass, 0)
            for number in np.flatnonzero(worth > 0)[np.argsort(worth[worth > 0], kind="stable")].tolist():
                out[owner[number], start : start + len(PARTIAL)] = (
                    share[number], mass[number], missing[number], count[number], rival[number],
                )  # fmt: skip
        return out

    @cached_property
    def _told_by_root(self) -> dict[int, float]:
        """Digest of a word's root → `told_by_names`."""
        roots = [root(token) for token in self.tokens]
        found: dict[int, float] = {}
        for key, told in zip(digest(roots).tolist(), self.told_by_names, strict=True):
            found[key] = max(found.get(key, 0.0), told)
        return found

    @cached_property
    def _word_hashes(self) -> NDArray[np.uint64]:
        """Digests of the roots of its words, and of two words written as one; those of series left out."""
        of_series = {
            token
            for key in self.known.series & self.runs.keys()
            for run in self.runs[key]
            for token in self.tokens[run.start : run.end]
        }
        words = {root(token) for token in self.query.tokens - of_series}
        joined = {root("".join(phrase)) for phrase in self.query.phrases if len(phrase) == 2}
        return digest(words | joined)

    def surprisal(self, token: str) -> float:
        return _surprisal(self.known.words, token)

    def information(self, run: Run) -> float:
        """Return how little probable its words are in any prompt, in nats."""
        return sum(self.surprisal(token) for token in self.tokens[run.start : run.end])

    def described(self, key: str, run: Run) -> list[float]:
        """`BEST` of a run, without its source."""
        words, tokens = self.tokens[run.start : run.end], self.tokens
        piece = self.query.pieces[run.piece]
        before = tokens[run.start - 1] if run.start and self._same_piece(run.start - 1, run) else ""
        earlier = tokens[run.start - 2] if run.start > 1 and self._same_piece(run.start - 2, run) else ""
        after = tokens[run.end] if run.end < len(tokens) and self._same_piece(run.end, run) else ""
        ranks = [word_rank(word) for word in words]
        surprisals = [self.surprisal(word) for word in words]
        capital = self.query.capitals[run.start : run.end]
        common = bool(after) and (is_common(after) or is_meta(after))
        return [
            len(words),
            sum(surprisals),
            -float(np.log(max(UNKNOWN_SHARE / 10, self.known.words[key].prompts if key in self.known.words else 0.0))),
            max(surprisals),
            rank_level(min(ranks)),
            rank_level(max(ranks)),
            len(words) / len(piece),
            run.start / max(1, len(tokens)),
            run.piece,
            sum(mark > 0 for mark in capital) / len(words),
            float(bool(capital) and capital[0] == 2),
            float(self.is_covered(key)),
            float(any(word in self.query.corrected for word in words)),
            float(key in self.known.series),
            float(np.log1p(len(self.owners.get(key, ())))),
            float(before in ARTICLES),
            float(after in STYLE_WORDS or before in STYLE_WORDS or (earlier in STYLE_WORDS and before == "of")),
            float(before in LINKS),
            float(before in PREPOSITIONS or (before in ARTICLES and earlier in PREPOSITIONS)),
            float(before in WEARING or (before in ARTICLES and earlier in WEARING)),
            float(not after or common),
            sum(token in PREPOSITIONS for token in tokens[max(0, self._starts[run.piece]) : run.start]),
            max(self.told_by_names[place] for place in range(run.start, run.end)) - sum(surprisals),
        ]

    @cached_property
    def _starts(self) -> list[int]:
        return np.cumsum([0, *(len(piece) for piece in self.query.pieces)]).tolist()

    def _same_piece(self, place: int, run: Run) -> bool:
        return bool(self._piece_of[place] == run.piece)

    @cached_property
    def _piece_of(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(len(self.query.pieces)), [len(piece) for piece in self.query.pieces])

    def evidence_of(self, loras: NDArray[np.int64]) -> Floats:
        """`NAMING` of some LoRAs, shape (LoRAs, …)."""
        out = np.zeros((len(loras), len(NAMING)), np.float32)
        keys, hashes, order = self._hashes
        if not len(hashes):
            return out
        names = self.index.loras.names.take(loras)
        places = np.minimum(np.searchsorted(hashes, names.rows.key), len(hashes) - 1)
        hit = hashes[places] == names.rows.key
        owner = np.repeat(np.arange(len(loras)), names.counts)
        found: dict[int, list[tuple[str, int]]] = {}
        for lora, place, source in zip(
            owner[hit].tolist(), order[places[hit]].tolist(), names.rows.source[hit].tolist(), strict=True
        ):
            found.setdefault(lora, []).append((keys[place], source))
        for lora, matched in found.items():
            out[lora] = self._evidence(matched, int(loras[lora]))
        return out

    def counts(self, key: str, lora: int) -> PhraseCounts:
        """Return the counts of a phrase that names a LoRA."""
        return self.known.phrases.get(key, RARE)

    def _evidence(self, matched: list[tuple[str, int]], lora: int) -> list[float]:
        by_source = [0.0] * len(SOURCES)
        best, most = ("", 0), -1.0
        spans: set[tuple[int, int]] = set()
        for key, source in matched:
            run = self.runs[key][0]
            information = self.information(run)
            by_source[source] = max(by_source[source], information)
            worth = (
                information * (1.0 if SOURCES[source] in STRONG else 0.5) * (0.3 if key in self.known.series else 1.0)
            )
            if worth > most:
                best, most = (key, source), worth
            spans.add(run[:2])
        outer = [a for a in spans if not any(b != a and b[0] <= a[0] and a[1] <= b[1] for b in spans)]
        strong = sum(by_source[source] > 0 for source in STRONG)
        words = sum(end - start for start, end in outer)
        key, source = best
        described = self.described(key, self.runs[key][0])
        return [*by_source, strong, len(outer), words, *described, source, *self.counts(key, lora)]


def _inside(run: Run, other: Run) -> bool:
    return other.start <= run.start and run.end <= other.end and other.end - other.start > run.end - run.start


def _surprisal(known: Mapping[str, Background], token: str) -> float:
    background = known.get(token)
    return -float(np.log(max(background.prompts, UNKNOWN_SHARE) if background else UNKNOWN_SHARE))


def _style_agreement(styles: NDArray[np.uint8], requested: int) -> NDArray[np.int64]:
    """1 where a LoRA has the requested style, −1 where it has another, else 0."""
    unspecified = STYLES.index(ArtisticStyle.UNSPECIFIED)
    if requested == unspecified:
        return np.zeros(len(styles), np.int64)
    return np.where(styles == unspecified, 0, np.where(styles == requested, 1, -1))


def evidence(
    matches: Matches, postings: Postings, ranked: Ranked, loras: NDArray[np.int64], tag_style: float
) -> Floats:
    """`EVIDENCE` of some LoRAs for a prompt, shape (LoRAs, len(EVIDENCE)).

    Args:
        ranked: the ranking that some of them come from.
    """
    rows = postings_of(postings, loras)
    query, index = matches.query, matches.index
    size = int(np.count_nonzero(matches.fitting))
    prompt = [tag_style, *np.log1p((len(matches.tokens), len(query.pieces), size))]
    agreement = _style_agreement(index.loras.style, STYLES.index(matches.requested))
    rivals = np.log1p(np.count_nonzero((agreement > 0) & matches.fitting))
    lora = np.column_stack(
        (
            index.loras.kind[loras],
            agreement[loras],
            np.where(agreement[loras] > 0, rivals, 0),
            np.log1p(postings.examples[loras]),
        )
    )
    by_ranker = features(rows)
    if size < MIN_RIVALS:
        by_ranker[:, LIKENESS] = 0
    return np.concatenate(
        (
            matches.evidence_of(loras),
            matches.partial(loras),
            np.tile(prompt, (len(loras), 1)),
            lora,
            by_ranker,
            ranked.standing(loras) if size >= MIN_RIVALS else np.tile(UNKNOWN_STANDING, (len(loras), 1)),
        ),
        axis=1,
    ).astype(np.float32)
