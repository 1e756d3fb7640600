"""Pictures, ratings and comparisons, in the terms that the value model learns from."""

from __future__ import annotations

from collections.abc import Hashable
from enum import StrEnum
from typing import NamedTuple

from ..pictures.look import Look

RATING_NOISE = 0.95
"""Standard deviation of a rating in stars: luck of the seed, mood, rounding."""
STARS_RIGHT = 1.4
"""Stars between a LoRA that is right and one that is not; see `expected_stars`."""
STARS_WRONG = -0.8
"""Stars that a LoRA adds which is not."""
UNKNOWN = ""
"""Value of a trait that is not known; it is like no other."""


class PromptTraits(NamedTuple):
    """A prompt, as far as taste depends on it."""

    key: Hashable
    """Equal for pictures of one prompt."""
    style: str = UNKNOWN
    content: str = UNKNOWN
    is_tags: bool = False
    """A list of tags rather than sentences."""
    concepts: frozenset[str] = frozenset()
    """In lower case."""


class LoRATraits(NamedTuple):
    """A LoRA, as far as taste depends on it."""

    creator: Hashable = UNKNOWN
    kind: Hashable = UNKNOWN
    style: Hashable = UNKNOWN
    origin: Hashable = UNKNOWN
    """Equal for versions of one LoRA."""


class Applied(NamedTuple):
    """A LoRA in a picture, or one that might be."""

    lora: str
    """Model id."""
    expected: float
    """Stars that it is expected to add, before any rating."""
    fit: float = 1.0
    """Share of a liking that counts here, 0 … 1."""
    doubt: float = 0.3
    """Standard deviation in stars of what this prompt makes of it, beyond its traits."""
    strength: float | None = None
    trigger_set: str = UNKNOWN
    """Name of the trigger words that were used, of several sets."""
    nearest: float = 0.0
    """Stars that it adds beyond `expected` for a user who likes the nearest LoRA even where nobody asked for it."""

    @classmethod
    def judged(
        cls,
        lora: str,
        confidence: float,
        strength: float | None = None,
        trigger_set: str = UNKNOWN,
        standing: float = 0.0,
    ) -> Applied:
        """Return a LoRA as the choice judged it, before any rating.

        A liking counts less where the LoRA hardly fits: what is liked elsewhere is no reason to apply it here. What is
        doubtful in the fit itself is learned from ratings too.

        Args:
            confidence: that somebody asked for it, 0 … 1.
            standing: that it belongs to the prompt rather than another or none, 0 … 1.
        """
        fits = max(confidence, standing)
        doubt = (0.3**2 + STARS_RIGHT**2 * fits * (1 - fits)) ** 0.5
        nearest = STARS_RIGHT * (fits - confidence)
        return cls(lora, expected_stars(confidence), 0.3 + 0.7 * fits, doubt, strength, trigger_set, nearest)


class Settings(NamedTuple):
    """Sampling settings of a picture."""

    family: str
    """Family of the model, in which alone its settings tell anything."""
    cfg: float | None = None
    """None: not known, as for all others."""
    steps: float | None = None
    sampler: str | None = None
    scheduler: str | None = None
    """ComfyUI's name, or that of an explicit schedule in its place."""
    size: tuple[int, int] | None = None
    """Width and height."""


class Picture(NamedTuple):
    """A picture that was made, or might have been."""

    prompt: PromptTraits
    loras: tuple[Applied, ...] = ()
    settings: Settings | None = None
    look: Look | None = None
    """None: not known."""


class Evidence(StrEnum):
    """Acts of the user that tell of taste."""

    STARS = "stars"
    PAST = "past"
    """Fate of a picture that was made before, see `history.past_pictures`."""
    KEPT = "kept"
    """A LoRA that was suggested, and left in the choice."""
    ADDED = "added"
    """A LoRA that was put into the choice beside those suggested."""
    REMOVED = "removed"
    """A LoRA that was taken out of the suggestions."""
    REWEIGHTED = "reweighted"
    """A LoRA whose suggested strength was changed."""
    SETTING = "setting"
    """A setting that was given another value than the one offered, and kept it for the next prompt."""
    PICKED = "picked"
    """A picture that was picked among several of one run."""
    SAVED = "saved"
    """A picture that was saved, and others of its run not."""
    SCOUTED = "scouted"
    """A scouted seed that was finished."""
    REROLLED = "rerolled"
    """A picture after which the same was tried with another seed."""


class Observation(NamedTuple):
    """Stars of a picture, or stars by which it beats another of the same prompt."""

    stars: float
    picture: Picture
    other: Picture | None = None
    """None: `stars` are a rating."""
    noise: float = RATING_NOISE
    """Standard deviation in stars."""
    evidence: Evidence = Evidence.STARS
    """Act that the stars stand for."""

    @property
    def of_looks(self) -> bool:
        """True for a comparison of pictures that differ by their looks alone, which tells of nothing else."""
        return self.other is not None and self.other._replace(look=self.picture.look) == self.picture

    @property
    def is_rating(self) -> bool:
        """True for stars that the user gave."""
        return self.evidence is Evidence.STARS


def expected_stars(confidence: float) -> float:
    """Return the stars that a LoRA adds by the choice's confidence: +0.6 where it is right, −0.8 where it is not.

    Bounded, so that ratings can argue .999 down and .05 up.
    """
    return STARS_RIGHT * confidence + STARS_WRONG
