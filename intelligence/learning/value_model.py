"""This user's taste: the stars of a picture as a sum over what it is made of, learned from ratings.

    stars = level of the user + effect of the prompt + effect of the settings + utility of every LoRA applied + noise

All terms are jointly Gaussian: a Bayesian linear model over traits of LoRAs and prompts, written by its covariances.
Pictures without LoRAs are observations too, so that a bad prompt or a grumpy user is not blamed on LoRAs. Noise is
heavy-tailed: a rating that all others contradict counts less. The posterior is computed from the ratings that there
are, so that one taken back leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .inverses import Inverted, block, inverse, inverted
from .observation_arrays import (
    TRIGGER_SET_SD,
    ObservationArrays,
    ReadTraits,
    look_covariances,
    star_covariances,
    strength_covariance,
    utility_covariance,
)
from .observations import Applied, Observation, Picture, PromptTraits, Settings
from .setting_effects import SettingColumns, code, effect_covariance

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

NOISE_PRIOR, NOISE_RANGE = 12.0, (0.4, 1.7)
"""Ratings that the usual noise counts as, beside what a user's own tell of it, and bounds of the ratio of variances."""
OUTLIERS = 0.08
"""Share of ratings that may be anything from 1 to 5 stars."""
MIN_TRUST = 1e-6
"""Keeps the noise of a hopeless outlier finite."""
FORGETTING = 0.999
"""Correlation of a utility with itself one observation later: half of it is left after about 700."""
LOOKS_PROVEN = 2.0
"""Bayes factor for effects of looks from which they count. By 16, 32 and 64 ratings 0, 1 and 3 % of simulated users
without a taste in looks get there, and 9, 33 and 63 % of those with one [tests/benchmarks/best_of]."""
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
        before: the model of other observations, else the same: what both have in common is not reckoned again.
    """

    def __init__(
        self,
        observations: Sequence[Observation],
        traits: ReadTraits,
        forgetting: float = FORGETTING,
        before: ValueModel | None = None,
    ) -> None:
        self.observations = tuple(observations[-MAX_OBSERVATIONS:])
        self._traits, self._forgetting = traits, forgetting
        self._arrays: ObservationArrays
        self._covariances: tuple[Floats, Floats]
        self._arrays, self._covariances, known = self._made(before)
        self._known: tuple[Inverted | None, Codes] = known
        """The matrix of `_first` of the model before, and the places that observations have there; −1: none."""

    def utilities(self, prompt: PromptTraits, loras: Sequence[Applied]) -> Utilities:
        """Return the utilities of `loras`, each applied by itself, for a prompt."""
        asked = ObservationArrays.of(
            [Observation(0.0, Picture(prompt, (one,))) for one in loras], self._traits, self._arrays
        )
        own = utility_covariance(asked, asked)
        if not self.observations:
            return Utilities(np.zeros(len(loras)), own, np.zeros((len(loras), 0)))
        cross = self._arrays.members.sums(utility_covariance(asked, self._arrays)) * self._age
        known = cross @ self._posterior.inverse
        parts = known * self._posterior.surprise
        return Utilities(parts.sum(axis=1), own - known @ cross.T, parts)

    def strengths(self, lora: str, strengths: Sequence[float]) -> Floats:
        """Return the stars that each strength of a LoRA adds to it, as far as observations tell; 0: nothing known."""
        asked = np.array(strengths, np.float64)[:, None]
        return self._told_of(lora, strength_covariance(asked, self._arrays.strength))

    def trigger_sets(self, lora: str, names: Sequence[str]) -> Floats:
        """Return the stars that sets of trigger words add to a LoRA, as far as observations tell; 0: nothing known."""
        asked = np.array([[code(name)] for name in names], np.int64).reshape(-1, 1)
        return self._told_of(lora, TRIGGER_SET_SD**2 * ((asked == self._arrays.trigger_set) & (asked != 0)))

    def _told_of(self, lora: str, covariance: Floats) -> Floats:
        """Return the stars of effects on one LoRA, by their covariance with those in the members of observations."""
        mine = self._arrays.lora == code(lora)
        if not mine.any():
            return np.zeros(len(covariance))
        cross = self._arrays.members.sums(covariance * (self._arrays.fit * mine)) * self._age
        found: Floats = cross @ self._posterior.inverse @ self._posterior.surprise
        return found

    def setting_effects(
        self, name: str, values: Sequence[Any], family: str, prompt: PromptTraits
    ) -> tuple[Floats, Floats]:
        """Return the stars that values of a setting add, and their covariance in stars².

        Args:
            name: field of `Settings`.
            family: of the model.
        """
        asked = SettingColumns.of([(prompt, Settings(family, **{name: value})) for value in values])
        own = effect_covariance(name, asked, asked)
        if not self.observations:
            return np.zeros(len(values)), own
        cross = self._arrays.pictures.sums(effect_covariance(name, asked, self._arrays.settings))
        known = cross @ self._posterior.inverse
        return known @ self._posterior.surprise, own - known @ cross.T

    def expected_stars(self, pictures: Sequence[Picture]) -> tuple[Floats, Floats]:
        """Return the stars by which observations move pictures from what was expected, and the stars' covariance.

        By level, prompt, settings, LoRAs and, where `looks_count`, look together, which the same observations tell
        apart.
        """
        asked = ObservationArrays.of([Observation(0.0, one) for one in pictures], self._traits, self._arrays)
        own: Floats = np.add(*star_covariances(asked, asked))
        if not self.observations:
            return np.zeros(len(pictures)), own
        of_loras, shared = star_covariances(asked, self._arrays)
        cross, known = of_loras * self._age + shared, self._posterior.inverse
        if self.looks_count:
            own = own + look_covariances(asked, asked)
            cross = cross + look_covariances(asked, self._arrays)
            known = inverse(self._with_looks)
        known = cross @ known
        return known @ self._posterior.surprise, own - known @ cross.T

    @cached_property
    def looks_count(self) -> bool:
        """True where observations prove that looks move this user's stars: see `LOOKS_PROVEN`."""
        if not self.observations:
            return False
        surprise, plain = self._posterior.surprise, _plus(self._aged, self.noise**2 / self.trust)
        (with_looks, log_with), (without, log_without) = (
            (surprise @ np.linalg.solve(each, surprise), np.linalg.slogdet(each)[1])
            for each in (self._with_looks, plain)
        )
        return bool((without - with_looks + log_without - log_with) / 2 > np.log(LOOKS_PROVEN))

    @cached_property
    def _with_looks(self) -> Floats:
        """Covariance of the stars, noise and effects of looks included."""
        return _plus(self._aged, self.noise**2 / self.trust) + look_covariances(self._arrays, self._arrays)

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

    def _made(
        self, before: ValueModel | None
    ) -> tuple[ObservationArrays, tuple[Floats, Floats], tuple[Inverted | None, Codes]]:
        """Return the observations as arrays, what `star_covariances` does of all, and what `_known` is."""
        seen = {id(one): place for place, one in enumerate(before.observations if before else ())}
        places = np.array([seen.pop(id(one), -1) for one in self.observations], np.int64)
        (kept,), (new,) = np.nonzero(places >= 0), np.nonzero(places < 0)
        added = [self.observations[place] for place in new.tolist()]
        arrays = ObservationArrays.of(added, self._traits, before._arrays if before else None)
        if before is None or len(new) > len(kept):
            if len(kept):
                arrays = ObservationArrays.of(self.observations, self._traits, arrays)
            return arrays, star_covariances(arrays, arrays), (None, places)
        whole = before._arrays.joined(arrays, places)
        here, there = block(kept), block(places[kept])
        found = []
        for known, fresh in zip(before._covariances, star_covariances(arrays, whole), strict=True):
            covariance = np.empty((len(places), len(places)))
            covariance[here] = known[there]
            covariance[new], covariance[:, new] = fresh, fresh.T
            found.append(covariance)
        same_ages = (np.diff(kept) == np.diff(places[kept])).all()
        return whole, (found[0], found[1]), (before.__dict__.get("_first") if same_ages else None, places)

    @cached_property
    def _aged(self) -> Floats:
        """Covariance of the stars, noise apart, by when they were given."""
        count, (of_loras, shared) = len(self.observations), self._covariances
        return of_loras * _ages(self._forgetting)[:count, :count] + shared

    @cached_property
    def _first(self) -> Inverted:
        """Covariance of the stars, with their usual noise, and its inverse."""
        found = inverted(_plus(self._aged, self._arrays.noise**2), *self._known)
        self._known = None, self._known[1]
        return found

    @cached_property
    def _posterior(self) -> _Posterior:
        """By two passes: trust and this user's noise come from the leave-one-out predictions of the first.

        Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, eq. 5.12.
        """
        surprise = self._arrays.stars - self._arrays.stars_before()
        noise, known = self._arrays.noise**2, self._first.inverse
        variance = 1 / known.diagonal()
        missed = (known @ surprise) * variance
        likely = (1 - OUTLIERS) * np.exp(-(missed**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
        trust = np.maximum(likely / (likely + OUTLIERS / 5), MIN_TRUST)
        told = trust * (1 - self._arrays.of_looks)
        found = told @ (1 + (missed**2 - variance) / noise)
        noise = noise * np.clip((NOISE_PRIOR + found) / (NOISE_PRIOR + told.sum()), *NOISE_RANGE)
        return _Posterior(inverse(_plus(self._aged, noise / trust)), surprise, trust, noise**0.5)


class _Posterior(NamedTuple):
    inverse: Floats
    """Of the covariance of the stars."""
    surprise: Floats
    """Stars above what was expected."""
    trust: Floats
    noise: Floats
    """Standard deviations in stars."""


@cache
def _ages(forgetting: float) -> Floats:
    """Return the correlation of the utilities at two observations, by their places."""
    places = np.arange(MAX_OBSERVATIONS)
    return np.asarray(forgetting ** np.abs(places[:, None] - places), np.float64)


def _plus(matrix: Floats, diagonal: Floats) -> Floats:
    found = matrix.copy()
    found.flat[:: len(found) + 1] += diagonal
    return found
