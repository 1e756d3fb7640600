"""Observations as arrays, and the covariances of what is in them.

A picture has a sign (−1: another beats it); a member is one of the LoRAs of a picture. Covariances of two observations
do not depend on any other, so that those of one model serve the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .look_effects import look_covariance
from .observations import STARS_WRONG, LoRATraits, Observation, PromptTraits
from .setting_effects import SeenSettings, code, effects_covariance

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
ReadTraits = Callable[[str], LoRATraits]

LEVEL, LEVEL_SD = 3.2, 0.5
"""Stars of a picture without LoRAs, over users. All standard deviations are in stars: of a user's level, …"""
PROMPT_SD = 0.4
"""… of a prompt's effect, which all its pictures share, …"""
LORA_SD, VERSION_SHARE = 0.45, 0.8
"""… of a LoRA's utility beside its strength's (versions of one LoRA share most of the variance of both), …"""
CREATOR_SD, KIND_SD, STYLE_SD = 0.35, 0.15, 0.35
"""… of what LoRAs of one creator, kind or style share, …"""
KIND_CONTENT_SD, KIND_STYLE_SD, KIND_FORM_SD, STYLE_STYLE_SD = 0.2, 0.15, 0.15, 0.4
"""… of what LoRAs of a kind (or of a style) share on prompts of one content, one style, one form, …"""
STRENGTH_SD, STRENGTH_LENGTH, USUAL_STRENGTH = 0.4, 0.25, 0.8
"""… of what the strength of a LoRA does to it, alike at strengths that lie as close as the length (one that is not
known counts as the usual one), …"""
TRIGGER_SET_SD = 0.4
"""… of what each set of trigger words does to a LoRA that has several, …"""
SLOPE_SD = 0.27
"""… of the factor, 1 before ratings, by which the choice's confidence counts: nothing of a LoRA that does not fit, …"""
NOTHING = -1
"""Equals no hash."""
NEAREST_SD = 0.5
"""… and of the factor, 0 before ratings, by which standing first counts where nobody asked for the LoRA."""


class ObservationArrays:
    """Observations in rows of numbers.

    Args:
        before: arrays of other observations with the same `traits`, whose numbers serve again.
    """

    def __init__(
        self, observations: Sequence[Observation], traits: ReadTraits, before: ObservationArrays | None = None
    ) -> None:
        pictures = [
            (row, sign, picture)
            for row, one in enumerate(observations)
            for sign, picture in ((1.0, one.picture), (-1.0, one.other))
            if picture is not None
        ]
        applied = [(row, sign, picture.prompt, lora) for row, sign, picture in pictures for lora in picture.loras]
        self.count = len(observations)
        prompts = {prompt: place for place, prompt in enumerate(dict.fromkeys(prompt for _, _, prompt, _ in applied))}
        self.concepts = [prompt.concepts for prompt in prompts]
        """Of each prompt with a LoRA."""
        self.prompt = np.array([prompts[prompt] for _, _, prompt, _ in applied], np.int64)
        """Of each member, among `concepts`."""
        of_prompts, of_loras = ({}, {}) if before is None else (before._of_prompts, before._of_loras)
        self._of_prompts: dict[PromptTraits, tuple[int, ...]] = {
            prompt: of_prompts.get(prompt) or tuple(map(code, prompt[:4])) for prompt in prompts
        }
        self._of_loras: dict[str, tuple[int, ...]] = {
            lora: of_loras.get(lora) or (code(lora), *map(code, traits(lora)))
            for lora in dict.fromkeys(one.lora for *_, one in applied)
        }
        self.lora, self.loras = _distinct([self._of_loras[one.lora] for *_, one in applied], 5)
        """Of each member its row in …, columns of codes: LoRA, creator, kind, style, origin."""
        met = [(*self._of_loras[one.lora][2:4], *self._of_prompts[prompt][1:]) for *_, prompt, one in applied]
        self.meeting, self.meetings = _distinct(met, 5)
        """The same of a kind and style of LoRA on a prompt's style, content and form."""
        self.key = np.array([self._of_prompts[prompt][0] for *_, prompt, _ in applied], np.int64)
        self.trigger_set = np.array([code(one.trigger_set) for *_, one in applied], np.int64)
        values = [(one.expected, one.nearest, one.fit, one.doubt, one.strength) for *_, one in applied]
        self.expected, self.nearest, self.fit, self.doubt, self.strength = (
            np.array(values, np.float64).reshape(-1, 5).T.copy()
        )
        """Per member, in stars, in stars, 0 … 1, in stars; strengths nan: not known."""
        self.looks = [(picture.prompt, picture.look) for _, _, picture in pictures]
        self.keys = np.array([code(picture.prompt.key) for _, _, picture in pictures], np.int64)
        self._known_settings = before.settings.numbers if before else None
        self._seen = [(picture.prompt, picture.settings) for _, _, picture in pictures]
        signs = [sign for _, sign, _ in pictures]
        self.pictures = _Groups([row for row, *_ in pictures], signs, self.count)
        self.members = _Groups([row for row, *_ in applied], [sign for _, sign, *_ in applied], self.count)

    @cached_property
    def settings(self) -> SeenSettings:
        """Of each picture."""
        return SeenSettings(self._seen, self._known_settings)

    def stars_before(self) -> Floats:
        """Return the stars of each observation that were expected before any."""
        level = np.full((1, len(self.keys)), LEVEL)
        found: Floats = self.pictures.sums(level)[0] + self.members.sums(self.expected[None])[0]
        return found


def star_covariances(one: ObservationArrays, other: ObservationArrays) -> tuple[Floats, Floats]:
    """Return the covariances of the observations' stars, noise apart: of LoRAs, which age, and of all else."""
    shared = LEVEL_SD**2 + PROMPT_SD**2 * _equal(one.keys, other.keys)
    shared = shared + effects_covariance(one.settings, other.settings)
    return (
        one.members.covariance(utility_covariance(one, other), other.members),
        one.pictures.covariance(shared, other.pictures),
    )


def look_covariances(one: ObservationArrays, other: ObservationArrays) -> Floats:
    """Return the covariance that the observations' stars have by looks, beside `star_covariances`."""
    return one.pictures.covariance(look_covariance(one.looks, other.looks), other.pictures)


def utility_covariance(one: ObservationArrays, other: ObservationArrays) -> Floats:
    """Return the covariance of the utilities of members."""
    found = _spread(CREATOR_SD**2 * _equal(one.loras[1], other.loras[1]), one.lora, other.lora)
    found += _spread(_of_meetings(one.meetings, other.meetings), one.meeting, other.meeting)
    kinship = _kinship(one.loras, other.loras)
    mine, others = kin = np.nonzero(_spread(kinship > 0, one.lora, other.lora))
    shares = kinship[one.lora[mine], other.lora[others]]
    strengths = (np.nan_to_num(each, nan=USUAL_STRENGTH) for each in (one.strength[mine], other.strength[others]))
    found[kin] += shares * (LORA_SD**2 + strength_covariance(*strengths))
    mine, others = pairs = mine[shares == 1], others[shares == 1]
    found[pairs] += TRIGGER_SET_SD**2 * _alike(one.trigger_set[mine], other.trigger_set[others])
    found *= one.fit[:, None] * other.fit
    found[pairs] += one.doubt[mine] * other.doubt[others] * _likeness(one, mine, other, others) ** 2
    found += SLOPE_SD**2 * ((one.expected - STARS_WRONG)[:, None] * (other.expected - STARS_WRONG))
    found += NEAREST_SD**2 * (one.nearest[:, None] * other.nearest)
    return found


def _spread(values: NDArray[Any], rows: Codes, columns: Codes) -> NDArray[Any]:
    """(distinct, distinct) → (rows, columns), each with the place of its value."""
    found: NDArray[Any] = values.take(rows, 0).take(columns, 1)
    return found


def _kinship(one: Codes, other: Codes) -> Floats:
    """1 for one LoRA, less for versions of one, else 0. Args: one, other: see `ObservationArrays.loras`."""
    lora, *_, origin = map(_equal, one, other)
    found: Floats = np.maximum(lora, VERSION_SHARE * origin)
    return found


def _of_meetings(one: Codes, other: Codes) -> Floats:
    """Covariance by kinds and styles on prompts. Args: one, other: see `ObservationArrays.meetings`."""
    kind, style, prompt_style, content, is_tags = map(_equal, one, other)
    by_kind = KIND_CONTENT_SD**2 * content + KIND_STYLE_SD**2 * prompt_style + KIND_FORM_SD**2 * is_tags
    found: Floats = kind * (by_kind + KIND_SD**2) + style * (STYLE_STYLE_SD**2 * prompt_style + STYLE_SD**2)
    return found


def strength_covariance(one: Floats, other: Floats) -> Floats:
    """Return the covariance of what two strengths do to one LoRA; 0 where a strength is not known."""
    found: Floats = np.nan_to_num(STRENGTH_SD**2 * np.exp(-(((one - other) / STRENGTH_LENGTH) ** 2) / 2))
    return found


def _likeness(one: ObservationArrays, mine: Codes, other: ObservationArrays, others: Codes) -> Floats:
    """Likeness of members' prompts, 0 … 1: 1 for the same one, else by the concepts, style and content they share."""
    found: Floats = 0.6 * _concepts_shared(one, other)[one.prompt[mine], other.prompt[others]]
    for row, share in ((2, 0.25), (3, 0.15)):
        found += share * _alike(one.meetings[row, one.meeting[mine]], other.meetings[row, other.meeting[others]])
    found[_alike(one.key[mine], other.key[others])] = 1.0
    return found


def _concepts_shared(one: ObservationArrays, other: ObservationArrays) -> Floats:
    """Cosine of the concepts of prompts."""
    words = _repeated(one.concepts) if one is other else frozenset().union(*one.concepts)
    number = {word: place for place, word in enumerate(words)}
    bags = []
    for concepts in (one.concepts, other.concepts):
        bag = np.zeros((len(concepts), len(number)), np.float32)
        for row, each in enumerate(concepts):
            if known := each & words:
                bag[row, [number[word] for word in known]] = 1.0
        bags.append(bag)
    mine, others = (np.array([max(1, len(each)) for each in arrays.concepts]) for arrays in (one, other))
    found: Floats = (bags[0] @ bags[1].T) / np.sqrt(mine[:, None] * others)
    return found


def _repeated(concepts: Sequence[frozenset[str]]) -> frozenset[str]:
    """Words of several prompts."""
    once, twice = set[str](), set[str]()
    for each in concepts:
        twice |= once & each
        once |= each
    return frozenset(twice)


def _equal(one: Codes, other: Codes) -> NDArray[np.bool_]:
    """Tell which of all pairs of values are known and equal."""
    return _alike(one[:, None], other)


def _alike(one: Codes, other: Codes) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = one == np.where(other == 0, NOTHING, other)
    return found


def _distinct(rows: Sequence[tuple[int, ...]], columns: int) -> tuple[Codes, Codes]:
    """Return of each row its place among the distinct ones, and these as columns."""
    numbers: dict[tuple[int, ...], int] = {}
    places = [numbers.setdefault(row, len(numbers)) for row in rows]
    return np.array(places, np.int64), np.array(list(numbers), np.int64).reshape(-1, columns).T.copy()


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

    def covariance(self, values: Floats, others: _Groups) -> Floats:
        """(values, others' values) → (observations, others' observations); the same to the last bit either way round.

        Both orders of adding are taken, and their mean.
        """
        if self._plain and others._plain:
            return values * (self._signs[:, None] * others._signs)
        one = self.sums(others.sums(values).T)
        other = one if self is others else others.sums(self.sums(values.T).T)
        found: Floats = (one.T + other) / 2
        return found
