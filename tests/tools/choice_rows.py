"""Evidence of made queries, for the training of the decision: each is asked of a library drawn for it."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from intelligence.lora.recommender import MAX_JUDGED
from intelligence.lora.search import ranker
from intelligence.lora.search.index import KINDS
from intelligence.lora.search.knowledge import Knowledge
from intelligence.lora.search.naming import STRONG
from intelligence.lora.search.naming_evidence import EVIDENCE, Matches, evidence
from intelligence.lora.search.spelling import corrected
from intelligence.lora.search.tokens import prompt_query
from intelligence.models import LoRAKind
from intelligence.prompt import PromptAnalyzer
from intelligence.prompt.clip_words import UNKNOWN_RANK, word_rank
from tests.benchmarks.choice_world import Made, World
from tests.benchmarks.corpus import Corpus, bare
from tests.tools.phrase_counts import CountsAtLarge, UnseenPages

ANALYZER = PromptAnalyzer()
PARTS = (1, 4, 12)
"""Into how many libraries the records are parted; a query is asked within one of them."""
SMALL = 60
"""LoRAs up to which a library seldom holds what a prompt asks for."""
ABSENT = (0.2, 0.65)
"""Share of the queries for one LoRA whose library lacks it: of larger and of small libraries."""
TRAPS = ("held", "sibling", "sibling present", "ordinary word")
"""Kinds in which a LoRA that the prompt names is not wanted."""
GALLERY = ("gallery", "gallery absent", "gallery bare")
"""Kinds in which nothing but the page's own LoRA is right."""
KIND_WEIGHT = {**dict.fromkeys(GALLERY, 3.0), "ordinary word": 2.0}
"""Weight of the rows of a kind, where it is not 1."""
UNDECIDED_WEIGHT = 1 / 6
"""Share of it for the LoRAs of gallery prompts of which nobody can say whether they are wanted; they count as wrong.
Characters that such a prompt names in full count as nothing."""
NAMESAKES = (LoRAKind.CHARACTER, LoRAKind.STYLE)
"""Kinds of LoRAs that an everyday word does not ask for where it is their name; a LoRA of the thing itself may be."""
KNOWN_SERIES = 0.5
"""Share of the series that are known as such, drawn for each query: users have LoRAs of series that no list knows."""


@dataclass
class Rows:
    """Evidence of the LoRAs that were looked at, one row each."""

    inputs: np.ndarray
    right: np.ndarray
    weight: np.ndarray
    query: np.ndarray
    kind: np.ndarray
    size: np.ndarray
    lora: np.ndarray


class Libraries:
    """Parts of the records as libraries, some of which know little of their LoRAs."""

    def __init__(self, world: World, rng: random.Random) -> None:
        loras = world.loras
        self.rng, self.parts, self.part_of = rng, [], {}
        for group in world.groups:
            corpus = Corpus([one.lora for one in group])
            self.part_of |= {one.lora.number: [corpus] for one in group}
        for count in PARTS:
            order = [*loras]
            rng.shuffle(order)
            for number in range(count):
                inside = order[number::count]
                how = rng.choice(("whole", "whole", "examples", "captions", "name")) if count == PARTS[-1] else "whole"
                models = None if how == "whole" else [bare(lora.model, how) for lora in inside]
                corpus = Corpus(inside, models, known=self.parts[0].index if self.parts else None)
                self.parts.append(corpus)
                for lora in inside:
                    self.part_of.setdefault(lora.number, []).append(corpus)
        print("libraries", flush=True)

    def drawn(self, made: Made) -> tuple[Corpus, np.ndarray, Made]:
        """A library for a query: which LoRAs of a part stand in it; and the query, which it may have nothing for."""
        corpus, allowed = self._holding(made)
        small = int(allowed.sum() <= SMALL)
        if len(made.wanted) != 1 or self.rng.random() > ABSENT[small]:
            return corpus, allowed, made
        allowed[[corpus.place[n] for n in made.wanted if n in corpus.place]] = False
        kind = "gallery absent" if made.kind == "gallery" else made.kind
        return corpus, allowed, replace(made, kind=kind, wanted=(), absent=(*made.absent, *made.wanted))

    def _holding(self, made: Made) -> tuple[Corpus, np.ndarray]:
        rng = self.rng
        asked = made.wanted or made.near[:1]
        corpora = self.part_of[asked[0]] if asked else [rng.choice(self.parts)]
        corpus = corpora[0] if len(made.wanted) > 1 else rng.choice(corpora)
        size = len(corpus.models)
        allowed = np.zeros(size, bool)
        if asked and asked[0] < 0:
            return corpus, np.ones(size, bool)
        count = min(size, int(math.exp(rng.uniform(math.log(3), math.log(size + 1)))))
        allowed[rng.sample(range(size), count)] = True
        near = [corpus.place[n] for n in made.near if n in corpus.place]
        always = made.kind in TRAPS
        allowed[[place for place in near if always or rng.random() < 0.6][:12]] = True
        allowed[[corpus.place[n] for n in made.wanted if n in corpus.place]] = True
        allowed[[corpus.place[n] for n in made.absent if n in corpus.place]] = False
        return corpus, allowed


def rows_of(made: Sequence[Made], libraries: Libraries, world: World, at_large: CountsAtLarge) -> Rows:
    """Return the evidence of the LoRAs that are looked at for each query."""
    inputs, right, weight, query, kind, size, record = [], [], [], [], [], [], []
    for number, one in enumerate(made):
        if number % 2000 == 0:
            print(number, flush=True)
        corpus, allowed, one = libraries.drawn(one)
        analysis = ANALYZER.analyze(one.text)
        asked = corrected(prompt_query(analysis), corpus.index)
        postings = corpus.match_without(asked, one.known_as or one.text, one.wanted if one.known_as else ())
        found = ranker.rank(postings, analysis.tag_style, allowed)
        known = frozenset(name for name in sorted(world.series) if libraries.rng.random() < KNOWN_SERIES)
        matches = UnseenPages(
            asked,
            corpus.index,
            allowed,
            Knowledge(ranker.background(), known),
            analysis.intent.artistic_style,
            at_large,
            corpus.numbers,
        )
        loras = np.array([*dict.fromkeys([*found.loras[:MAX_JUDGED].tolist(), *matches.named.tolist()])], np.int64)
        if not len(loras):
            continue
        marks = [judged(one, corpus.numbers[place], matches, world) for place in loras.tolist()]
        inputs.append(evidence(matches, postings, found, loras, analysis.tag_style))
        right += [mark == 1 for mark in marks]
        undecided = UNDECIDED_WEIGHT * (one.kind in GALLERY) * ~_characters_in_full(inputs[-1])
        shares = [share if mark is None else 1.0 for mark, share in zip(marks, undecided.tolist(), strict=True)]
        weight += [share * one.weight * KIND_WEIGHT.get(one.kind, 1.0) for share in shares]
        query += [number] * len(loras)
        kind += [one.kind] * len(loras)
        size += [int(allowed.sum())] * len(loras)
        record += [corpus.numbers[place] for place in loras.tolist()]
    return Rows(np.concatenate(inputs), *map(np.array, (right, weight, query, kind, size, record)))


def joined(draws: Sequence[Rows]) -> Rows:
    """Return the rows of several draws as one; their queries are other ones."""
    first = np.cumsum([0, *(rows.query.max() + 1 for rows in draws[:-1])])
    apart = [replace(rows, query=rows.query + start) for rows, start in zip(draws, first, strict=True)]
    return Rows(**{name: np.concatenate([getattr(rows, name) for rows in apart]) for name in vars(apart[0])})


def _characters_in_full(rows: np.ndarray) -> np.ndarray:
    """Which rows are characters whose name of two words or more stands in the prompt, not within a longer one."""
    kind, strong, width, covered = (rows[:, EVIDENCE.index(name)] for name in ("kind", "strong", "width", "covered"))
    return (kind == KINDS.index(LoRAKind.CHARACTER)) & (strong > 0) & (width >= 2) & (covered == 0)


def judged(made: Made, number: int, matches: Matches, world: World) -> int | None:
    """Judge a record for a query: 1 for right, 0 for wrong, None where nobody can say."""
    if number in made.wanted:
        return 1
    if number in made.open or any(_share_rare_word(number, other, matches, world) for other in made.absent):
        return None
    names = world.strong_keys(number)
    standing = {key for key in names if key in matches.query.places}
    for other in (*made.wanted, *made.absent):
        theirs = world.strong_keys(other)
        if standing & theirs:
            return 1 if other in made.wanted else None
        if names & theirs:
            return None
    if standing and made.kind == "ordinary word":
        of_thing = world.by_number[number].model.lora_kind not in NAMESAKES
        if of_thing or any(world.is_sort(number, key) for key in standing):
            return None
    if not standing or made.kind in TRAPS:
        return 0
    return _standing_by_chance(made, number, max(standing, key=len), matches, world)


def _standing_by_chance(made: Made, number: int, key: str, matches: Matches, world: World) -> int | None:
    """Likewise, of a record that the words around the wanted ones name: dumps of tags and captions name much."""
    run = matches.runs(key)[0]
    words = matches.tokens[run.start : run.end]
    rare = max(word_rank(word) for word in words) > 20_000
    if world.by_number[number].model.lora_kind is LoRAKind.CHARACTER:
        return None if rare or len(words) > 1 else 0
    if made.kind.startswith(("gallery", "everyday tags", "tags")):
        return 0 if run.piece > 2 or not rare else None
    if made.kind.startswith("everyday"):
        return None if rare or run.start <= 3 or len(words) > 1 else 0
    return 0 if not rare else None


def _share_rare_word(number: int, other: int, matches: Matches, world: World) -> bool:
    """True where the names of two records share a word of the query that no dictionary has: it may be one subject."""
    mine, theirs = ({w for s, phrase in world.names[n] if s in STRONG for w in phrase} for n in (number, other))
    shared = mine & theirs & set(matches.tokens)
    return any(word_rank(word) >= UNKNOWN_RANK and word not in world.series for word in shared)
