"""Invented users of a library of records: what they like, the stars that they give, what could be reached.

The hidden taste is a sum of effects: of each LoRA (one in seven is bad), its creator, its kind, the kind on prompts
of one content, one style and one form, and six tags. A LoRA that the prompt's author used is right and adds 0.6 stars,
any other takes 0.8. A prompt and a seed have luck of their own.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from intelligence.config import LoRAPreferences
from intelligence.learning import Preferences
from intelligence.learning.preferences import PictureRating, UsedLoRA, traits_of
from intelligence.lora import LoRARecommendation
from intelligence.lora.search.index import Postings
from intelligence.lora.search.tokens import Query
from intelligence.models import ModelMetadata
from intelligence.prompt import PromptAnalysis, PromptAnalyzer
from intelligence.records import Source
from tests.benchmarks.civitai import SD1, CivitaiLoRA, PromptQuery, tag_queries, without_names
from tests.benchmarks.corpus import Asked, Chooser, Corpus

POOL = 100
"""Prompts that a user draws from."""
PROMPTS_OF_A_LORA = 6
PAIRS_AFTER = 30
"""Ratings."""
LEVEL = 3.2
LORA, BAD_SHARE, BAD = 0.45, 0.15, -1.2
CREATOR, KIND, KIND_CONTENT, KIND_LOOK, TAG, TAGS = 0.3, 0.15, 0.2, 0.2, 0.5, 6
RIGHT, WRONG = 0.6, -0.8
PROMPT_LUCK, SEED_LUCK = 0.35, 0.7


class Remembered(Asked):
    """A library that does not know the prompt it is asked for, and reads and looks it up once.

    Those of one pool are equal: they have all that taste depends on in common.
    """

    _postings: Postings | None = None
    _query: Query | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remembered) and other.index is self.index

    def __hash__(self) -> int:
        return id(self.index)

    def read_query(self, analysis: PromptAnalysis) -> Query:
        if self._query is None:
            self._query = super().read_query(analysis)
        return self._query

    def match_query(self, asked: Query) -> Postings:
        if self._postings is None:
            self._postings = super().match_query(asked)
        return self._postings


@dataclass
class Prompt:
    """A prompt of the pool."""

    analysis: PromptAnalysis
    chooser: Chooser
    right: frozenset[str]
    """Model ids of the LoRAs that its author used."""
    candidates: tuple[LoRARecommendation, ...] = ()
    """LoRAs that the choice judges, without learning."""
    applied: tuple[LoRARecommendation, ...] = ()
    """LoRAs that it applies, without learning."""


def make_pool(loras: Sequence[CivitaiLoRA], seed: int, size: int = POOL) -> list[Prompt]:
    """Return prompts of a library's LoRAs, in every other of which no LoRA is named, as the choice sees them."""
    corpus, rng, analyzer = Corpus(loras), random.Random(seed), PromptAnalyzer()
    by_number = {lora.number: lora for lora in loras}
    queries = tag_queries(loras, PROMPTS_OF_A_LORA)
    rng.shuffle(queries)
    pool: list[Prompt] = []
    for query in queries:
        if len(pool) == size:
            break
        asked: PromptQuery | None = query if len(pool) % 2 else without_names(query, by_number)
        if asked is None:
            continue
        library = Remembered(corpus, asked, True)
        chooser, analysis = Chooser(library), analyzer.analyze(asked.prompt)
        candidates = tuple(chooser.rank(analysis, SD1, 20))
        applied = tuple(chooser.choose(analysis, SD1).chosen)
        pool.append(Prompt(analysis, chooser, frozenset(library.right), candidates, applied))
    return pool


class User:
    """A user with a hidden taste. Args: random_share: share of stars that say nothing."""

    def __init__(
        self, models: Sequence[ModelMetadata], seed: int, random_share: float = 0.0, seed_luck: float = SEED_LUCK
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.random_share, self.seed_luck = random_share, seed_luck
        self.known: dict[Hashable, float] = {}
        self.tags = Counter(tag.casefold() for model in models for tag in model.tags)
        common = sorted((tag for tag, count in self.tags.items() if count > 1), key=lambda tag: (-self.tags[tag], tag))
        drawn = self.rng.permutation(common[: 4 * TAGS])[:TAGS].tolist()
        self.liked_tags = {tag: TAG * (1 if place % 2 else -1) for place, tag in enumerate(drawn)}
        for model in sorted(models, key=lambda model: model.model_id):
            self._effect(LORA, "lora", model.model_id)
            if self.rng.random() < BAD_SHARE:
                self.known["lora", model.model_id] = BAD

    def _effect(self, sd: float, *key: Hashable) -> float:
        if key not in self.known:
            self.known[key] = float(self.rng.normal(0, sd))
        return self.known[key]

    def utility(self, prompt: Prompt, model: ModelMetadata) -> float:
        """Return the stars that a LoRA adds to a picture of the prompt."""
        intent, kind = prompt.analysis.intent, model.lora_kind.value
        look = prompt.analysis.tag_style > 0.5, intent.artistic_style.value
        value = RIGHT if model.model_id in prompt.right else WRONG
        value += self._effect(LORA, "lora", model.model_id) + self._effect(CREATOR, "creator", model.creator)
        value += self._effect(KIND, "kind", kind) + self._effect(KIND_LOOK, "look", kind, *look)
        value += self._effect(KIND_CONTENT, "content", kind, intent.content_type.value)
        return value + sum(self.liked_tags.get(tag.casefold(), 0.0) for tag in model.tags)

    def value(self, prompt: Prompt, loras: Sequence[LoRARecommendation]) -> float:
        """Return the stars of a picture, luck of its seed aside."""
        luck = self._effect(PROMPT_LUCK, "prompt", prompt.analysis.prompt)
        return LEVEL + luck + sum(self.utility(prompt, one.lora_metadata) for one in loras)

    def stars(self, prompt: Prompt, loras: Sequence[LoRARecommendation]) -> int:
        """Return a rating of one picture."""
        if self.rng.random() < self.random_share:
            return int(self.rng.integers(1, 6))
        return int(np.clip(np.rint(self.value(prompt, loras) + self.rng.normal(0, self.seed_luck)), 1, 5))

    def best(self, prompt: Prompt) -> float:
        """Return the most stars that up to three of the LoRAs which the choice judges could reach."""
        gains = sorted((self.utility(prompt, one.lora_metadata) for one in prompt.candidates), reverse=True)
        return self.value(prompt, ()) + sum(gain for gain in gains[: LoRAPreferences.max_loras] if gain > 0)

    def best_without_adding(self, prompt: Prompt) -> float:
        """Return the most stars that leaving out LoRAs of the choice could reach."""
        sets = (each for size in range(len(prompt.applied) + 1) for each in combinations(prompt.applied, size))
        return max(self.value(prompt, each) for each in sets)


class History(NamedTuple):
    """Outcome of a user's rounds, in stars."""

    regret: float
    plain_regret: float
    """Of the choice without learning, on the same prompts."""
    bound_regret: float
    early_gain: float
    """Of the first 20 pictures, over the choice without learning."""
    late_gain: float
    """The same, of one picture of every prompt, after all ratings."""
    changed: float
    """Share of pictures with other LoRAs than without learning."""
    lost: int
    """LoRAs which the user likes where the choice applies them, and that ratings keep out there by the end …"""
    displaced: int
    """… or that make room for others, …"""
    liked: int
    """… of so many."""
    pairs: float
    """Share of pairs of LoRAs of a prompt that are in the user's order after 30 ratings, …"""
    plain_pairs: float
    """… and without learning."""


def rated(prompt: Prompt, loras: Sequence[LoRARecommendation], stars: int) -> PictureRating:
    """Return a picture as the learning store would."""
    used = [
        UsedLoRA(one.lora_metadata.model_id, one.suggested_alpha, one.relevance or 0.0, standing=one.standing)
        for one in loras
    ]
    return PictureRating(traits_of(prompt.analysis), tuple(used), stars)


def play(user: User, pool: Sequence[Prompt], rounds: int, seed: int, variation_every: int = 0) -> History:
    """Let a user rate `rounds` pictures, each made with what is known by then.

    `variation_every`: on one prompt in so many a second picture is made and rated, with what is worth trying in the
    place of the LoRA that was least sure, or beside the others; it does not count in the figures. 0: none.
    """
    rng, pictures, ratings = random.Random(seed), list[PictureRating](), Preferences()
    regret = plain = bound = early = changed = pairs = 0.0
    plain_pairs = ordered_pairs(user, pool)
    for number in range(rounds):
        prompt = rng.choice(pool)
        chosen = apply(prompt, ratings)
        best, value, before = user.best(prompt), user.value(prompt, chosen), user.value(prompt, prompt.applied)
        regret, plain = regret + best - value, plain + best - before
        bound += best - user.best_without_adding(prompt)
        early += (value - before) * (number < 20)
        changed += {one.lora_name for one in chosen} != {one.lora_name for one in prompt.applied}
        pictures.append(rated(prompt, chosen, user.stars(prompt, chosen)))
        ratings = Preferences(pictures, before=ratings)
        if variation_every and number % variation_every == 0:
            ids = {one.lora_metadata.model_id for one in chosen}
            prompt.chooser.preferences = ratings
            if tried := prompt.chooser.explore(prompt.analysis, SD1, ids)[:1]:
                varied = (*chosen[: LoRAPreferences.max_loras - 1], *tried)
                pictures.append(rated(prompt, varied, user.stars(prompt, varied)))
                ratings = Preferences(pictures, before=ratings)
        if not pairs and len(pictures) >= PAIRS_AFTER:
            pairs = ordered_pairs(user, pool, ratings)
    late, lost, displaced, liked = 0.0, 0, 0, 0
    for prompt in pool:
        prompt.chooser.preferences = ratings
        choice = prompt.chooser.choose(prompt.analysis, SD1)
        late += user.value(prompt, choice.chosen) - user.value(prompt, prompt.applied)
        good = {one.lora_name for one in prompt.applied if user.utility(prompt, one.lora_metadata) > 0}
        gone = good - {one.lora_name for one in choice.chosen}
        liked += len(good)
        kept_out = {one.lora_name for one in choice.rejected if one.reason.source is Source.LEARNED}
        lost += len(gone & kept_out)
        displaced += len(gone - kept_out)
    late, changed = late / len(pool), changed / rounds
    return History(regret, plain, bound, early, late, changed, lost, displaced, liked, pairs, plain_pairs)


def ordered_pairs(user: User, pool: Sequence[Prompt], ratings: Preferences | None = None) -> float:
    """Return the share of pairs of LoRAs that the choice ranks as the user would. Args: ratings: None: without any."""
    right, pairs = 0, 0
    for prompt in pool:
        ranked: Sequence[LoRARecommendation] = prompt.candidates
        if ratings is not None:
            prompt.chooser.preferences = ratings
            ranked = prompt.chooser.rank(prompt.analysis, SD1, 20)
        value = np.array([user.utility(prompt, one.lora_metadata) for one in ranked])
        later = np.triu(value[:, None] - value, 1)
        right, pairs = right + np.count_nonzero(later > 0), pairs + np.count_nonzero(later)
    return right / max(1, pairs)


def apply(prompt: Prompt, ratings: Preferences) -> tuple[LoRARecommendation, ...]:
    """Return what the choice applies by these ratings."""
    prompt.chooser.preferences = ratings
    return prompt.chooser.choose(prompt.analysis, SD1).chosen


def counts(pool: Sequence[Prompt], most: int = 8) -> list[Counted]:
    """Count, for every LoRA of a pool's prompts, the one-stars until it goes or the five-stars until it comes.

    Ratings are of pictures on the prompt itself, with what the choice applies there (and the LoRA put in by hand),
    between pictures without any LoRA, which get 3 stars.
    """
    found = []
    for prompt in pool:
        ids = {one.lora_metadata.model_id for one in prompt.applied}
        for one in prompt.applied:
            found.append(_count(prompt, one, 1, most))
        for one in prompt.candidates:
            if one.lora_metadata.model_id not in ids and (one.relevance or 0) >= 0.02:
                found.append(_count(prompt, one, 5, most))
    return found


class Counted(NamedTuple):
    """Ratings until a LoRA was dropped (stars 1) or taken (stars 5)."""

    stars: int
    relevance: float
    ratings: int
    """Never is one more than were tried."""


def _count(prompt: Prompt, lora: LoRARecommendation, stars: int, most: int) -> Counted:
    pictures: list[PictureRating] = [rated(prompt, (), 3)]
    for number in range(1, most + 1):
        pictures.append(rated(prompt, (lora,), stars))
        applied = {one.lora_name for one in apply(prompt, Preferences(pictures))}
        if (lora.lora_name in applied) == (stars == 5):
            return Counted(stars, lora.relevance or 0.0, number)
        pictures.append(rated(prompt, (), 3))
    return Counted(stars, lora.relevance or 0.0, most + 1)


def dropped_after(pool: Sequence[Prompt], stars: Sequence[int]) -> tuple[int, int]:
    """Return how many of the LoRAs that the choice applies ratings of these stars drop, and how many there are.

    As in `counts`, each is rated on the prompt itself, between pictures without any LoRA, which get 3 stars.
    """
    dropped = asked = 0
    for prompt in pool:
        for one in prompt.applied:
            pictures = [rated(prompt, (), 3)]
            for each in stars:
                pictures += [rated(prompt, (one,), each), rated(prompt, (), 3)]
            asked += 1
            dropped += one.lora_name not in {each.lora_name for each in apply(prompt, Preferences(pictures))}
    return dropped, asked


def leaks(pool: Sequence[Prompt], ratings: int = 12, sampled: int = 4) -> tuple[int, int]:
    """Return how often a LoRA liked on its own prompt is newly applied on prompts that another one is right for, and
    the number of these.

    Args:
        ratings: five-stars on its own prompt, with the LoRA in, between pictures without any, which get 3 stars.
        sampled: own prompts, the first of the pool that have a right LoRA among their candidates.
    """
    leaked = asked = 0
    owned = [(one, lora) for one in pool for lora in one.candidates[:20] if lora.lora_metadata.model_id in one.right]
    for own, lora in owned[:sampled]:
        pictures = [rated(own, loras, stars) for _ in range(ratings) for loras, stars in (((lora,), 5), ((), 3))]
        ratings_given = Preferences(pictures)
        for other in pool:
            if lora.lora_metadata.model_id in other.right:
                continue
            before = {one.lora_name for one in other.applied}
            asked += 1
            leaked += lora.lora_name in {one.lora_name for one in apply(other, ratings_given)} - before
    return leaked, asked
