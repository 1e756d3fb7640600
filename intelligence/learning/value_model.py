"""This user's taste: the stars of a picture as a sum over what it is made of, learned from ratings.

    stars = level of the user + effect of the prompt + effect of the settings + utility of every LoRA applied + noise

All terms are jointly Gaussian: a Bayesian linear model over traits of LoRAs and prompts, written by its covariances.
Pictures without LoRAs are observations too, so that a bad prompt or a grumpy user is not blamed on LoRAs. Noise is
heavy-tailed: a rating that all others contradict counts less. The posterior is computed from the ratings that there
are, so that one taken back leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from .observations import STARS_WRONG, UNKNOWN, Applied, LoRATraits, Observation, Picture, PromptTraits, Settings
from .setting_effects import effect_covariance, effects_covariance

T = TypeVar("T", bound=Hashable)
Floats = NDArray[np.float64]
Places = NDArray[np.int64]
ReadTraits = Callable[[str], LoRATraits]

LEVEL, LEVEL_SD = 3.2, 0.5
"""Stars of a picture without LoRAs, over users. All standard deviations are in stars: of a user's level, …"""
PROMPT_SD = 0.4
"""… of a prompt's effect, which all its pictures share, …"""
LORA_SD, VERSION_SHARE = 0.6, 0.8
"""… of a LoRA's utility (versions of one LoRA share most of the variance), …"""
CREATOR_SD, KIND_SD, STYLE_SD = 0.35, 0.15, 0.35
"""… of what LoRAs of one creator, kind or style share, …"""
KIND_CONTENT_SD, KIND_STYLE_SD, KIND_FORM_SD, STYLE_STYLE_SD = 0.2, 0.15, 0.15, 0.4
"""… of what LoRAs of a kind (or of a style) share on prompts of one content, one style, one form, …"""
STRENGTH_SD, STRENGTH_LENGTH = 0.4, 0.25
"""… of what the strength of a LoRA does to it, alike at strengths that lie as close as the length, …"""
TRIGGER_SET_SD = 0.4
"""… of what each set of trigger words does to a LoRA that has several, …"""
SLOPE_SD = 0.3
"""… of the factor, 1 before ratings, by which the choice's confidence counts: nothing of a LoRA that does not fit, …"""
NEAREST_SD = 0.5
"""… and of the factor, 0 before ratings, by which standing first counts where nobody asked for the LoRA."""
NOISE_PRIOR, NOISE_RANGE = 20.0, (0.4, 1.7)
"""Ratings that the usual noise counts as, beside what a user's own tell of it, and bounds of the ratio of variances."""
OUTLIERS = 0.08
"""Share of ratings that may be anything from 1 to 5 stars."""
MIN_TRUST = 1e-6
"""Keeps the noise of a hopeless outlier finite."""
FORGETTING = 0.999
"""Correlation of a utility with itself one observation later: half of it is left after about 700."""
MAX_OBSERVATIONS = 256
"""Newest observations that count."""


class Utilities(NamedTuple):
    """Utilities of LoRAs for one prompt."""

    shift: Floats
    """Stars by which observations move each from what was expected; 0 without any."""
    covariance: Floats
    """In stars², shape (LoRAs, LoRAs)."""
    parts: Floats
    """Share of each observation in `shift`, shape (LoRAs, observations)."""

    @property
    def sd(self) -> Floats:
        """Standard deviations in stars."""
        found: Floats = np.sqrt(np.maximum(self.covariance.diagonal(), 0.0))
        return found


class ValueModel:
    """Posterior of one user's taste.

    Args:
        observations: oldest first.
        traits: reads the traits of a LoRA by its model id.
        forgetting: see `FORGETTING`.
    """

    def __init__(self, observations: Sequence[Observation], traits: ReadTraits, forgetting: float = FORGETTING) -> None:
        self.observations = tuple(observations[-MAX_OBSERVATIONS:])
        self._traits, self._forgetting = traits, forgetting
        self._terms = _Terms(self.observations, traits)

    def utilities(self, prompt: PromptTraits, loras: Sequence[Applied]) -> Utilities:
        """Return the utilities of `loras`, each applied by itself, for a prompt."""
        asked = _Terms([Observation(0.0, Picture(prompt, (one,))) for one in loras], self._traits)
        own = _utility_covariance(asked, asked)
        if not self.observations:
            return Utilities(np.zeros(len(loras)), own, np.zeros((len(loras), 0)))
        cross = self._terms.members.sums(_utility_covariance(asked, self._terms)) * self._age
        known = cross @ self._posterior.inverse
        parts = known * self._posterior.surprise
        return Utilities(parts.sum(axis=1), own - known @ cross.T, parts)

    def strengths(self, lora: str, strengths: Sequence[float]) -> Floats:
        """Return the stars that each strength of a LoRA adds to it, as far as observations tell; 0: nothing known."""
        terms = self._terms
        if lora not in terms.loras:
            return np.zeros(len(strengths))
        return self._told_of(lora, _strength_covariance(np.array(strengths, np.float64), terms.strength))

    def trigger_sets(self, lora: str, names: Sequence[str]) -> Floats:
        """Return the stars that sets of trigger words add to a LoRA, as far as observations tell; 0: nothing known."""
        terms = self._terms
        if lora not in terms.loras or not names:
            return np.zeros(len(names))
        return self._told_of(lora, TRIGGER_SET_SD**2 * _Values(names).same(terms.trigger_set))

    def _told_of(self, lora: str, covariance: Floats) -> Floats:
        """Return the stars of effects on one LoRA, by their covariance with those in the members of observations."""
        terms = self._terms
        mine = terms.fit * (terms.lora == terms.loras.index(lora))
        found: Floats = (terms.members.sums(covariance * mine) * self._age) @ self._posterior.inverse
        return found @ self._posterior.surprise

    def setting_effects(
        self, name: str, values: Sequence[Any], family: str, prompt: PromptTraits
    ) -> tuple[Floats, Floats]:
        """Return the stars that values of a setting add, and their covariance in stars².

        Args:
            name: field of `Settings`.
            family: of the model.
        """
        asked = [(prompt, Settings(family, **{name: value})) for value in values]
        own = effect_covariance(name, asked, asked)
        if not self.observations:
            return np.zeros(len(values)), own
        cross = self._terms.pictures.sums(effect_covariance(name, asked, self._terms.settings))
        known = cross @ self._posterior.inverse
        return known @ self._posterior.surprise, own - known @ cross.T

    @cached_property
    def last_strengths(self) -> dict[str, float]:
        """The strength that each LoRA had last: its liking was learned at that."""
        used = (lora for one in self.observations for lora in one.picture.loras)
        return {lora.lora: lora.strength for lora in used if lora.strength is not None}

    @cached_property
    def _age(self) -> Floats:
        """The share of each observation's word on utilities that is left by now."""
        return np.asarray(self._forgetting ** np.arange(len(self.observations), 0, -1), np.float64)

    @property
    def trust(self) -> Floats:
        """Probability of each observation that it is no outlier."""
        return self._posterior.trust

    @property
    def noise(self) -> Floats:
        """Standard deviation of each observation in stars, by this user's own consistency."""
        return self._posterior.noise

    @cached_property
    def _posterior(self) -> _Posterior:
        """By two passes: trust and this user's noise come from the leave-one-out predictions of the first.

        Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, eq. 5.12.
        """
        covariance = self._terms.star_covariance(self._forgetting)
        surprise = np.array([one.stars for one in self.observations]) - self._terms.expected
        noise = np.array([one.noise for one in self.observations]) ** 2
        inverse = np.linalg.inv(covariance + np.diag(noise))
        variance = 1 / inverse.diagonal()
        missed = (inverse @ surprise) * variance
        likely = (1 - OUTLIERS) * np.exp(-(missed**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
        trust = np.maximum(likely / (likely + OUTLIERS / 5), MIN_TRUST)
        found = trust @ (1 + (missed**2 - variance) / noise)
        noise = noise * np.clip((NOISE_PRIOR + found) / (NOISE_PRIOR + trust.sum()), *NOISE_RANGE)
        return _Posterior(
            np.asarray(np.linalg.inv(covariance + np.diag(noise / trust)), np.float64), surprise, trust, noise**0.5
        )


class _Posterior(NamedTuple):
    inverse: Floats
    """Of the covariance of the stars."""
    surprise: Floats
    """Stars above what was expected."""
    trust: Floats
    noise: Floats
    """Standard deviations in stars."""


class _Terms:
    """Observations as arrays: a picture has a sign (−1: another beats it), a member is one of its LoRAs."""

    def __init__(self, observations: Sequence[Observation], traits: ReadTraits) -> None:
        pictures = [
            (row, sign, picture)
            for row, one in enumerate(observations)
            for sign, picture in ((1.0, one.picture), (-1.0, one.other))
            if picture is not None
        ]
        applied = [(row, sign, picture.prompt, lora) for row, sign, picture in pictures for lora in picture.loras]
        self.loras, self.lora = _distinct(one.lora for *_, one in applied)
        self.prompts, self.prompt = _distinct(prompt for _, _, prompt, _ in applied)
        known = [traits(lora) for lora in self.loras]
        self.traits = {name: _Values([getattr(one, name) for one in known]) for name in LoRATraits._fields}
        self.traits["lora"] = _Values(self.loras)
        self.of_prompts = {
            name: _Values([getattr(prompt, name) for prompt in self.prompts])
            for name in ("key", "style", "content", "is_tags")
        }
        words = sorted(frozenset().union(*(prompt.concepts for prompt in self.prompts)))
        self.concepts = {word: place for place, word in enumerate(words)}
        self.bags = _bags(self.prompts, self.concepts)
        values = [(one.expected, one.nearest, one.fit, one.doubt, one.strength) for *_, one in applied]
        self.expects, self.nearest, self.fit, self.doubt, self.strength = np.array(values, np.float64).reshape(-1, 5).T
        """Per member, in stars, in stars, 0 … 1, in stars; nan: not known."""
        self.trigger_set = _Values([one.trigger_set for *_, one in applied])
        self.settings = [(picture.prompt, picture.settings) for _, _, picture in pictures]
        self.keys = _Values([picture.prompt.key for _, _, picture in pictures])
        signs = [sign for _, sign, _ in pictures]
        self.count = len(observations)
        self.pictures = _Groups([row for row, *_ in pictures], signs, self.count)
        self.members = _Groups([row for row, *_ in applied], [sign for _, sign, *_ in applied], self.count)
        self.expected = (
            self.pictures.sums(np.full((1, len(signs)), LEVEL))[0] + self.members.sums(self.expects[None])[0]
        )

    def star_covariance(self, forgetting: float) -> Floats:
        """Return the covariance of the observations' stars, noise apart."""
        age = np.arange(self.count)
        found = self.members.covariance(_utility_covariance(self, self))
        found *= forgetting ** np.abs(age[:, None] - age)
        shared = LEVEL_SD**2 + PROMPT_SD**2 * self.keys.same(self.keys)
        found += self.pictures.covariance(shared + effects_covariance(self.settings))
        return found


def _utility_covariance(one: _Terms, other: _Terms) -> Floats:
    """Covariance of the utilities of members."""

    def same(name: str) -> Floats:
        return one.traits[name].same(other.traits[name])

    def alike(name: str) -> Floats:
        return one.of_prompts[name].same(other.of_prompts[name])

    lora, kind, style = same("lora"), same("kind"), same("style")
    alone = LORA_SD**2 * np.maximum(lora, VERSION_SHARE * same("origin")) + CREATOR_SD**2 * same("creator")
    alone += KIND_SD**2 * kind + STYLE_SD**2 * style
    by_kind = KIND_CONTENT_SD**2 * alike("content") + KIND_STYLE_SD**2 * alike("style")
    by_kind += KIND_FORM_SD**2 * alike("is_tags")
    by_style = STYLE_STYLE_SD**2 * alike("style")
    loras, prompts = np.ix_(one.lora, other.lora), np.ix_(one.prompt, other.prompt)
    found = alone[loras] + kind[loras] * by_kind[prompts] + style[loras] * by_style[prompts]
    by_words = TRIGGER_SET_SD**2 * one.trigger_set.same(other.trigger_set)
    found += lora[loras] * (_strength_covariance(one.strength, other.strength) + by_words)
    found *= np.outer(one.fit, other.fit)
    found += lora[loras] * np.outer(one.doubt, other.doubt) * (_likeness(one, other) ** 2)[prompts]
    found += SLOPE_SD**2 * np.outer(one.expects - STARS_WRONG, other.expects - STARS_WRONG)
    found += NEAREST_SD**2 * np.outer(one.nearest, other.nearest)
    return found


def _strength_covariance(one: Floats, other: Floats) -> Floats:
    """Covariance of what two strengths do to one LoRA; 0 where a strength is not known."""
    (first, mine), (second, others) = (np.unique(each, return_inverse=True) for each in (one, other))
    apart = (first[:, None] - second) / STRENGTH_LENGTH
    found: Floats = np.nan_to_num(STRENGTH_SD**2 * np.exp(-(apart**2) / 2))
    return found[np.ix_(mine, others)]


def _likeness(one: _Terms, other: _Terms) -> Floats:
    """Likeness of prompts, 0 … 1: 1 for the same one, else by the concepts, the style and the content they share."""
    found: Floats = 0.6 * (_bags(one.prompts, other.concepts) @ other.bags.T)
    found += 0.25 * one.of_prompts["style"].same(other.of_prompts["style"])
    found += 0.15 * one.of_prompts["content"].same(other.of_prompts["content"])
    return np.maximum(found, one.of_prompts["key"].same(other.of_prompts["key"]))


def _bags(prompts: Sequence[PromptTraits], number: Mapping[str, int]) -> Floats:
    """Concepts of prompts as rows of length 1, as far as they have a number."""
    found = np.zeros((len(prompts), len(number)))
    for row, prompt in enumerate(prompts):
        found[row, [number[word] for word in prompt.concepts if word in number]] = max(1, len(prompt.concepts)) ** -0.5
    return found


class _Values:
    """Values that are compared with others, as numbers."""

    def __init__(self, values: Sequence[Hashable]) -> None:
        numbers: dict[Hashable, int] = {}
        self._values, self._numbers = values, numbers
        known = [numbers.setdefault(value, len(numbers)) if value != UNKNOWN else -1 for value in values]
        self._codes = np.array(known, np.int64)

    def same(self, other: _Values) -> Floats:
        """1 where two values are known and equal, else 0."""
        numbers = other._numbers
        mine = self._codes if self is other else np.array([numbers.get(value, -2) for value in self._values], np.int64)
        found: Floats = ((mine[:, None] == other._codes) & (other._codes >= 0)).astype(np.float64)
        return found


def _distinct(values: Iterable[T]) -> tuple[list[T], Places]:
    numbers: dict[T, int] = {}
    places = [numbers.setdefault(value, len(numbers)) for value in values]
    return list(numbers), np.array(places, np.int64)


class _Groups:
    """Signed sums of consecutive values: those of one observation.

    Args:
        rows: observation of each value, rising.
        count: observations.
    """

    def __init__(self, rows: Sequence[int], signs: Sequence[float], count: int) -> None:
        self._rows, self._starts = np.unique(np.array(rows, np.int64), return_index=True)
        self._signs, self._count = np.array(signs, np.float64), count
        self._plain = len(rows) == count == len(self._rows)

    def sums(self, values: Floats) -> Floats:
        """(n, values) → (n, observations)."""
        signed = values * self._signs
        if self._plain or not len(self._signs):
            return signed if self._plain else np.zeros((len(values), self._count))
        found = np.zeros((len(values), self._count))
        found[:, self._rows] = np.add.reduceat(signed, self._starts, axis=1)
        return found

    def covariance(self, values: Floats) -> Floats:
        """(values, values) → (observations, observations)."""
        return self.sums(self.sums(values).T)
