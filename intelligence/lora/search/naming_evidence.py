"""Evidence that a prompt asks for a LoRA: which phrases that name it stand in the prompt, and how.

Little here is relative to the library: a phrase that lies inside the longer name of another LoRA, the number of LoRAs
that a phrase names, and in libraries of `MIN_RIVALS` and more the place in the ranking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...prompt import ArtisticStyle
from ...prompt.clip_words import word_rank
from .building import UNKNOWN_SHARE
from .features import FEATURES, LIKENESS
from .index import NAME_WEIGHT_STEP, STYLES, Floats, Names, Nested, Postings, is_among
from .knowledge import RARE, PhraseCounts, Shown, shown_by
from .naming import STRONG, NameSource, rank_level
from .naming_runs import Run, Runs, surprisal
from .ranker import STANDING, UNKNOWN_STANDING, Ranked
from .tokens import digest, is_common, is_meta, root

MIN_RIVALS = 60
"""LoRAs from which on the place in the ranking, and likeness to example prompts, say something: of few, the likest may
be like any prompt."""
SOURCES = tuple(NameSource)
IS_STRONG = np.array([source in STRONG for source in SOURCES])
STYLE_WORDS = frozenset(("style", "styled", "art", "aesthetic", "estilo", "look"))
LINKS = frozenset(("by", "like", "from", "as", "named", "called", "como", "de"))
ARTICLES = frozenset(("a", "an", "the", "some", "this", "un", "una", "el", "la", "los", "las"))
PREPOSITIONS = frozenset(("on", "in", "at", "with", "of", "over", "under", "near", "behind", "beside", "through", "to"))
WEARING = frozenset(("wearing", "wear", "wears", "dressed", "holding", "hold", "riding", "using"))

BEST = (
    *("width", "information", "prompt_rarity", "rarest", "commonest_rank", "rarest_rank", "piece_share", "place"),
    *("piece", "capital", "starts", "covered", "corrected", "series", "owners", "article", "style_word", "link"),
    *("preposition", "wearing", "head", "prepositions", "outdone", "shown", "modifies", "of", "mark"),
    "source",
)
PARTIAL = ("share", "mass", "missing", "words", "outdone")
"""Of the phrase of several words of which the prompt has most: its share, its weightiest absent word, its rival."""
NAMING = (
    *(f"named_{source.name.lower()}" for source in SOURCES),
    "strong",
    "named_look",
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


@dataclass(frozen=True)
class Matches(Runs):
    """Runs of a prompt's words that name LoRAs of an index, and the evidence that they are."""

    def _names(self, loras: NDArray[np.int64]) -> Nested[Names]:
        """Naming phrases of some LoRAs; those of the last are remembered."""
        if self._taken[0] is not loras:
            self._taken[:] = [loras, self.index.loras.names.take(loras)]
        found: Nested[Names] = self._taken[1]
        return found

    @cached_property
    def _taken(self) -> list[Any]:
        return [None, None]

    def partial(self, loras: NDArray[np.int64]) -> Floats:
        """`PARTS` of some LoRAs, shape (LoRAs, …)."""
        names = self._names(loras)
        words, phrases = names.rows.words, len(names.rows.key)
        weight = words.rows.weight * NAME_WEIGHT_STEP
        here = is_among(words.rows.key, self._word_hashes)
        of = np.repeat(np.arange(phrases), words.counts)
        total, mass = np.bincount(of, weight, phrases), np.bincount(of, weight * here, phrases)
        missing = np.zeros(phrases)
        np.maximum.at(missing, of, weight * ~here)
        count = np.bincount(of, here & (weight > 0), phrases)
        share = mass / np.maximum(total, 1e-6)
        several = np.bincount(of, weight > 0, phrases) > 1
        owner = np.repeat(np.arange(len(loras)), names.counts)
        strong = IS_STRONG[names.rows.source]
        told = np.array([self._told_by_root.get(key, 0.0) for key in words.rows.key[here].tolist()])
        rival = np.zeros(phrases)
        np.maximum.at(rival, of[here], told)
        out = np.zeros((len(loras), len(PARTS)), np.float32)
        told_of = np.column_stack((share, mass, missing, count, rival))
        for start, kind in ((0, strong), (len(PARTIAL), ~strong)):
            worth = np.where(several & kind, share * mass, 0)
            found = np.flatnonzero(worth > 0)
            found = found[np.argsort(worth[found], kind="stable")]
            best = dict(zip(owner[found].tolist(), found.tolist(), strict=True))
            out[[*best], start : start + len(PARTIAL)] = told_of[[*best.values()]]
        return out

    @cached_property
    def _told_by_root(self) -> dict[int, float]:
        """Digest of a word's root → `told_by_names`."""
        roots = [root(token) for token in self.tokens]
        found: dict[int, float] = {}
        for key, told in zip(digest(roots).tolist(), self.told_by_names, strict=True):
            found[key] = max(found.get(key, 0.0), told)
        return found

    def described(self, key: str, run: Run) -> list[float]:
        """`BEST` of a run, without its source."""
        words, tokens = self.tokens[run.start : run.end], self.tokens
        piece = self.query.pieces[run.piece]
        before = tokens[run.start - 1] if run.start and self._same_piece(run.start - 1, run) else ""
        earlier = tokens[run.start - 2] if run.start > 1 and self._same_piece(run.start - 2, run) else ""
        after = tokens[run.end] if run.end < len(tokens) and self._same_piece(run.end, run) else ""
        ranks = [word_rank(word) for word in words]
        surprisals = self.surprisals[run.start : run.end]
        capital = self.query.capitals[run.start : run.end]
        common = bool(after) and (is_common(after) or is_meta(after))
        return [
            len(words),
            sum(surprisals),
            surprisal(max(UNKNOWN_SHARE / 10, self.known.words[key].prompts if key in self.known.words else 0.0)),
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
            _shown(key, words),
            float(shown_by().get(after, Shown.UNKNOWN) >= Shown.GARMENT),
            float(after == "of"),
            float(not after and self.query.marks[run.piece]),
        ]

    @cached_property
    def _described(self) -> dict[str, list[float]]:
        """Key → `described` of it."""
        return {}

    def evidence_of(self, loras: NDArray[np.int64]) -> Floats:
        """`NAMING` of some LoRAs, shape (LoRAs, …)."""
        out = np.zeros((len(loras), len(NAMING)), np.float32)
        keys, hashes, order = self._hashes
        if not len(hashes):
            return out
        names = self._names(loras)
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
        best, most, look = ("", 0), -1.0, 0.0
        spans: set[tuple[int, int]] = set()
        for key, source in matched:
            run = self.runs(key)[0]
            information = self.information(run)
            by_source[source] = max(by_source[source], information)
            if SOURCES[source] in STRONG and shown_by().get(key) is Shown.LOOK:
                look = max(look, information)
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
        if key not in self._described:
            self._described[key] = self.described(key, self.runs(key)[0])
        described = self._described[key]
        return [*by_source, strong, look, len(outer), words, *described, source, *self.counts(key, lora)]


def _shown(key: str, words: Sequence[str]) -> float:
    """`Shown` of a phrase, or of the word that it ends with."""
    return float(shown_by().get(key) or shown_by().get(words[-1], Shown.UNKNOWN))


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
    by_ranker = ranked.features_of(loras, postings)
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
