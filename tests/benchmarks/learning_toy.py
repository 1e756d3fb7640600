"""The toy world of learning from stars: 40 LoRAs with hidden effects, of which eight are offered for each prompt.

A policy picks one of the eight, the user gives it stars, and so on for 200 rounds; regret is what the best of the eight
would have added, in true stars. `Learner` is the value model with the rule of a free ranking: it leaves what the prior
puts first only for what is better by some standard deviations, which fade with the first ratings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from intelligence.learning.observations import Applied, LoRATraits, Observation, Picture, PromptTraits
from intelligence.learning.value_model import Floats, Utilities, ValueModel

LORAS, OFFERED, ROUNDS = 40, 8, 200
STYLES, KINDS, CREATORS, PROMPT_STYLES, CONTENTS = 5, 3, 8, 5, 4
GUARD, GUARD_RATINGS = 2.0, 40
"""Standard deviations by which a free choice must be better than what was expected to be best, before any rating, and
ratings after which it need only be better."""


class World:
    """A user, 200 prompts and the LoRAs that are offered for each.

    Args:
        useless: the prior says nothing.
        drift: half of the taste is new at the middle.
        random_share: share of ratings that are drawn from 1 to 5.
    """

    def __init__(self, seed: int, useless: bool = False, drift: bool = False, random_share: float = 0.0) -> None:
        rng = np.random.default_rng(seed)
        self.random_share, self.drift = random_share, drift
        self.style, self.kind, self.creator = (rng.integers(0, n, LORAS) for n in (STYLES, KINDS, CREATORS))
        self.taste = _taste(rng)
        self.prompt_style = rng.integers(0, PROMPT_STYLES, ROUNDS)
        self.content = rng.integers(0, CONTENTS, ROUNDS)
        self.offered = np.stack([rng.choice(LORAS, OFFERED, False) for _ in range(ROUNDS)])
        self.relevance = rng.normal(0, 0.30, (ROUNDS, OFFERED))
        self.popularity = rng.normal(0, 0.12, LORAS)
        self.here = rng.normal(0, 0.20, (ROUNDS, OFFERED))
        self.luck = rng.normal(0, 0.7, (ROUNDS, OFFERED))
        self.chance, self.any_stars = rng.random(ROUNDS), rng.integers(1, 6, ROUNDS)
        self.prior = self.relevance + self.popularity[self.offered]
        if useless:
            shuffled = rng.permutation(self.relevance.ravel()).reshape(ROUNDS, OFFERED)
            self.prior = shuffled + rng.permutation(self.popularity)[self.offered]

    def values(self, number: int) -> Floats:
        """True stars of the LoRAs offered in a round."""
        loras, style = self.offered[number], self.prompt_style[number]
        value = 3.22 + self.relevance[number] + self.popularity[loras] + self.here[number]
        value += self.taste.style[self.style[loras]] + self.taste.kind[self.kind[loras]]
        value += self.taste.creator[self.creator[loras]] + self.taste.style_style[self.style[loras], style]
        value += self.taste.kind_content[self.kind[loras], self.content[number]] + self.taste.lora[loras]
        return np.clip(value, 1, 5)

    def begin(self, number: int) -> None:
        """Turn the taste in the middle, where it drifts."""
        if self.drift and number == ROUNDS // 2:
            new = _taste(np.random.default_rng(10**6 + self.offered[0, 0] * 97 + self.offered[1, 0]))
            self.taste = Taste(*((old + other) / np.sqrt(2) for old, other in zip(self.taste, new, strict=True)))

    def stars(self, number: int, place: int) -> int:
        """Stars that the user gives to one of the eight."""
        if self.chance[number] < self.random_share:
            return int(self.any_stars[number])
        return int(np.clip(np.rint(self.values(number)[place] + self.luck[number, place]), 1, 5))


class Taste(NamedTuple):
    """Hidden effects in stars."""

    style: Floats
    kind: Floats
    creator: Floats
    style_style: Floats
    kind_content: Floats
    lora: Floats


def _taste(rng: np.random.Generator) -> Taste:
    return Taste(
        rng.normal(0, 0.42, STYLES),
        rng.normal(0, 0.15, KINDS),
        rng.normal(0, 0.36, CREATORS),
        rng.normal(0, 0.46, (STYLES, PROMPT_STYLES)),
        rng.normal(0, 0.20, (KINDS, CONTENTS)),
        rng.normal(0, 0.62, LORAS),
    )


class Policy(Protocol):
    """Picks one of the eight, and learns from its stars."""

    def pick(self, number: int) -> int: ...

    def learn(self, number: int, place: int, stars: int) -> None: ...


class Popularity:
    """Picks what the prior puts first."""

    def __init__(self, world: World) -> None:
        self.world = world

    def pick(self, number: int) -> int:
        return int(np.argmax(self.world.prior[number]))

    def learn(self, number: int, place: int, stars: int) -> None:
        """Learn nothing."""


class LinUCB:
    """Linear regression on indicators of the hidden effects, plus 0.3 standard deviations [Li et al., 1003.0146]."""

    def __init__(self, world: World, bonus: float = 0.3) -> None:
        self.world, self.bonus = world, bonus
        size = 2 + STYLES + KINDS + CREATORS + STYLES * PROMPT_STYLES + KINDS * CONTENTS + LORAS
        scale = [0.3, 1.0, *[0.42] * STYLES, *[0.15] * KINDS, *[0.36] * CREATORS]
        scale += [*[0.46] * (STYLES * PROMPT_STYLES), *[0.2] * (KINDS * CONTENTS), *[0.62] * LORAS]
        self.precision = np.diag(0.7**2 / np.array(scale) ** 2)
        self.sum = np.zeros(size)

    def _features(self, number: int) -> Floats:
        world, loras = self.world, self.world.offered[number]
        columns = [np.ones((OFFERED, 1)), world.prior[number][:, None]]
        pairs = world.style[loras] * PROMPT_STYLES + world.prompt_style[number]
        contents = world.kind[loras] * CONTENTS + world.content[number]
        sizes = (STYLES, KINDS, CREATORS, STYLES * PROMPT_STYLES, KINDS * CONTENTS, LORAS)
        codes = (world.style[loras], world.kind[loras], world.creator[loras], pairs, contents, loras)
        return np.hstack([*columns, *(np.eye(size)[code] for size, code in zip(sizes, codes, strict=True))])

    def pick(self, number: int) -> int:
        features = self._features(number)
        inverse = np.linalg.inv(self.precision)
        mean = 3.22 + self.world.prior[number] + features @ (inverse @ self.sum)
        sd = 0.7 * np.sqrt(np.einsum("ij,jk,ik->i", features, inverse, features))
        return int(np.argmax(mean + self.bonus * sd))

    def learn(self, number: int, place: int, stars: int) -> None:
        row = self._features(number)[place]
        self.precision += np.outer(row, row)
        self.sum += row * (stars - 3.22 - self.world.prior[number][place])


class Learner:
    """The value model."""

    def __init__(self, world: World) -> None:
        self.world, self.seen = world, list[Observation]()

    def _prompt(self, number: int) -> PromptTraits:
        return PromptTraits(number, f"{self.world.prompt_style[number]}", f"{self.world.content[number]}")

    def _offered(self, number: int) -> list[Applied]:
        loras = zip(self.world.offered[number].tolist(), self.world.prior[number].tolist(), strict=True)
        return [Applied(str(lora), expected) for lora, expected in loras]

    def _traits(self, lora: str) -> LoRATraits:
        creator, kind, style = (
            int(each[int(lora)]) for each in (self.world.creator, self.world.kind, self.world.style)
        )
        return LoRATraits(creator, kind, style)

    def pick(self, number: int) -> int:
        model = ValueModel(self.seen, self._traits)
        offered = self._offered(number)
        found = model.utilities(self._prompt(number), offered)
        return free_choice([one.expected for one in offered], found, len(self.seen))

    def learn(self, number: int, place: int, stars: int) -> None:
        self.seen.append(Observation(stars, Picture(self._prompt(number), (self._offered(number)[place],))))


def free_choice(expected: Sequence[float], found: Utilities, ratings: int) -> int:
    """Return the place of the best of several LoRAs, one of which is taken in any case.

    The one that was expected to be best before ratings is left only for one that is proven better [guards: 1602.04064];
    the proof asked for fades with the number of ratings.
    """
    mean, first = found.shift + np.array(expected), int(np.argmax(expected))
    covariance = found.covariance
    variance = covariance.diagonal() + covariance[first, first] - 2 * covariance[first]
    guard = GUARD * max(0.0, 1 - ratings / GUARD_RATINGS)
    proven = mean - mean[first] >= guard * np.sqrt(np.maximum(variance, 0.0))
    return int(np.argmax(np.where(proven, mean, -np.inf)))


class Played(NamedTuple):
    """Of one user: true stars."""

    regret: float
    first_lead: float
    """Of the first 20 rounds, over those of popularity."""


def play(make: Callable[[World], Policy], seed: int, **world: bool | float) -> Played:
    """Play the rounds of one user."""
    here = World(seed, **world)  # type: ignore[arg-type]
    policy = make(here)
    regret = lead = 0.0
    for number in range(ROUNDS):
        here.begin(number)
        values, place = here.values(number), policy.pick(number)
        regret += float(values.max() - values[place])
        if number < 20:
            lead += float(values[place] - values[np.argmax(here.prior[number])])
        policy.learn(number, place, here.stars(number, place))
    return Played(regret, lead)
