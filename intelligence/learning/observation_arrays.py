"""Observations as arrays, and the covariances of what is in them.

A picture has a sign (−1: another beats it); a member is one of the LoRAs of a picture. Numbers and covariances of an
observation do not depend on any other, so that those of one model serve the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..pictures.look import Look
from .look_effects import look_covariance
from .observations import STARS_WRONG, LoRATraits, Observation, PromptTraits
from .setting_effects import SettingColumns, code, effects_covariance

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
TRAITS = ("creator", "kind", "style", "prompt_style", "content", "is_tags")
"""Of a LoRA, and of the prompt that it is applied on."""
SHARED = {
    ("creator",): CREATOR_SD,
    ("kind",): KIND_SD,
    ("style",): STYLE_SD,
    ("kind", "content"): KIND_CONTENT_SD,
    ("kind", "prompt_style"): KIND_STYLE_SD,
    ("kind", "is_tags"): KIND_FORM_SD,
    ("style", "prompt_style"): STYLE_STYLE_SD,
}
"""Traits that are alike → standard deviation of what those have in common that share them."""
BY_TRAITS = np.array(
    [
        sum(sd**2 for names, sd in SHARED.items() if all(alike >> TRAITS.index(name) & 1 for name in names))
        for alike in range(1 << len(TRAITS))
    ]
)
"""Covariance by the traits that are alike, one bit each."""


class ObservationArrays:
    """Observations in columns of numbers."""

    def __init__(self, made: _Made, lora_codes: dict[str, tuple[int, ...]]) -> None:
        self._made, self._lora_codes = made, lora_codes
        self.seen = made.seen
        """Of each picture."""
        self.count = made.facts.shape[1]
        self.stars, self.noise, self.of_looks = made.facts
        """Of each observation: stars, their standard deviation, 1 for a comparison of looks alone."""
        self.keys = made.pictures.codes[0]
        self.settings = SettingColumns(made.pictures.codes[1:], made.pictures.values)
        """Of each picture."""
        self.pictures, self.members = (_Groups(each, self.count) for each in (made.pictures, made.members))
        self.place, self.lora, self.origin, self.trigger_set, self.key, *self.traits = made.members.codes
        """Of each member: place of its picture in `seen`; codes of LoRA, origin, set of trigger words and prompt, and
        those of `TRAITS`."""
        self.expected, nearest, self.fit, self.doubt, self.strength = made.members.values
        """Per member, in stars, 0 … 1, in stars; strengths nan: not known."""
        self.taken_strength = np.where(np.isnan(self.strength), USUAL_STRENGTH, self.strength)
        self.factors = np.stack([SLOPE_SD * (self.expected - STARS_WRONG), NEAREST_SD * nearest])
        """Standard deviations per member, of what the two factors add."""

    @classmethod
    def of(
        cls, observations: Sequence[Observation], traits: ReadTraits, before: ObservationArrays | None = None
    ) -> ObservationArrays:
        """Return observations as arrays. Args: before: arrays with the same `traits`, which are not read again."""
        lora_codes = before._lora_codes if before else {}
        signed = [
            (row, sign, picture)
            for row, one in enumerate(observations)
            for sign, picture in ((1.0, one.picture), (-1.0, one.other))
            if picture is not None
        ]
        applied = [
            (place, row, sign, picture.prompt, lora)
            for place, (row, sign, picture) in enumerate(signed)
            for lora in picture.loras
        ]
        for *_, one in applied:
            if one.lora not in lora_codes:
                lora_codes[one.lora] = (code(one.lora), *map(code, traits(one.lora)))
        settings = SettingColumns.of([(picture.prompt, picture.settings) for *_, picture in signed])
        keys = np.array([[code(picture.prompt.key) for *_, picture in signed]], np.int64)
        pictures = _Columns(
            np.array([row for row, *_ in signed], np.int64),
            np.array([sign for _, sign, _ in signed], np.float64),
            np.concatenate([keys, settings.codes]),
            settings.values,
        )
        codes = []
        for place, _, _, prompt, one in applied:
            lora, creator, kind, style, origin = lora_codes[one.lora]
            key, *of_prompt = map(code, prompt[:4])
            codes.append((place, lora, origin, code(one.trigger_set), key, creator, kind, style, *of_prompt))
        values = [(one.expected, one.nearest, one.fit, one.doubt, one.strength) for *_, one in applied]
        members = _Columns(
            np.array([row for _, row, *_ in applied], np.int64),
            np.array([sign for _, _, sign, *_ in applied], np.float64),
            np.array(codes, np.int64).reshape(-1, 11).T.copy(),
            np.array(values, np.float64).reshape(-1, 5).T.copy(),
        )
        facts = [(one.stars, one.noise, one.of_looks) for one in observations]
        seen = [(picture.prompt, picture.look) for *_, picture in signed]
        made = _Made(np.array(facts, np.float64).reshape(-1, 3).T.copy(), seen, pictures, members)
        return cls(made, lora_codes)

    def joined(self, added: ObservationArrays, places: Codes) -> ObservationArrays:
        """Return the arrays of observations that are here already, but for those that are added.

        Args:
            places: of each observation here, each once; −1 for those that are added, in their order.
        """
        is_new, rows = places < 0, np.full(self.count, NOTHING)
        rows[places[~is_new]] = np.flatnonzero(~is_new)
        numbers = rows, np.flatnonzero(is_new)
        source = np.where(is_new, self.count + np.cumsum(is_new) - 1, places)
        pictures, order = self._made.pictures.joined(added._made.pictures, *numbers)
        members, _ = self._made.members.joined(added._made.members, *numbers)
        now = np.empty(len(self.seen) + len(added.seen), np.int64)
        now[order] = np.arange(len(order))
        of_added = np.isin(members.rows, numbers[1])
        members.codes[0] = now[members.codes[0] + of_added * len(self.seen)]
        seen, facts = self.seen + added.seen, np.concatenate([self._made.facts, added._made.facts], 1)
        made = _Made(facts[:, source], [seen[place] for place in order.tolist()], pictures, members)
        return ObservationArrays(made, self._lora_codes)

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
    return one.pictures.covariance(look_covariance(one.seen, other.seen), other.pictures)


def utility_covariance(one: ObservationArrays, other: ObservationArrays) -> Floats:
    """Return the covariance of the utilities of members."""
    alike = np.zeros((len(one.lora), len(other.lora)), np.uint8)
    for place, (mine, others) in enumerate(zip(one.traits, other.traits, strict=True)):
        alike |= _equal(mine, others).view(np.uint8) << np.uint8(place)
    found: Floats = BY_TRAITS[alike]
    same = _equal(one.lora, other.lora)
    mine, others = kin = np.nonzero(same | _equal(one.origin, other.origin))
    shares = np.where(same[kin], 1.0, VERSION_SHARE)
    found[kin] += shares * (LORA_SD**2 + strength_covariance(one.taken_strength[mine], other.taken_strength[others]))
    mine, others = pairs = np.nonzero(same)
    found[pairs] += TRIGGER_SET_SD**2 * _alike(one.trigger_set[mine], other.trigger_set[others])
    found *= one.fit[:, None]
    found *= other.fit
    found[pairs] += one.doubt[mine] * other.doubt[others] * _likeness(one, mine, other, others) ** 2
    found += one.factors.T @ other.factors
    return found


def strength_covariance(one: Floats, other: Floats) -> Floats:
    """Return the covariance of what two strengths do to one LoRA; 0 where a strength is not known."""
    found: Floats = np.nan_to_num(STRENGTH_SD**2 * np.exp(-(((one - other) / STRENGTH_LENGTH) ** 2) / 2))
    return found


def _likeness(one: ObservationArrays, mine: Codes, other: ObservationArrays, others: Codes) -> Floats:
    """Likeness of members' prompts, 0 … 1: 1 for the same one, else by the concepts, style and content they share."""
    found, apart = np.ones(len(mine)), np.flatnonzero(~_alike(one.key[mine], other.key[others]))
    mine, others = mine[apart], others[apart]
    found[apart] = 0.6 * _concepts_shared(one, one.place[mine], other, other.place[others])
    for name, share in (("prompt_style", 0.25), ("content", 0.15)):
        place = TRAITS.index(name)
        found[apart] += share * _alike(one.traits[place][mine], other.traits[place][others])
    return found


def _concepts_shared(one: ObservationArrays, mine: Codes, other: ObservationArrays, others: Codes) -> Floats:
    """Cosine of the concepts of pictures' prompts, pair by pair."""
    if not len(mine):
        return np.zeros(0)
    (pictures, place), (rivals, other_place) = (np.unique(each, return_inverse=True) for each in (mine, others))
    concepts, other_concepts = (
        [arrays.seen[each][0].concepts for each in asked.tolist()]
        for arrays, asked in ((one, pictures), (other, rivals))
    )
    number = {word: place for place, word in enumerate(frozenset().union(*concepts))}
    shared = (_bags(concepts, number) @ _bags(other_concepts, number).T)[place, other_place]
    lengths, other_lengths = (
        np.array([max(1, len(each)) for each in words], np.float64) for words in (concepts, other_concepts)
    )
    found: Floats = shared / np.sqrt(lengths[place] * other_lengths[other_place])
    return found


def _bags(concepts: Sequence[frozenset[str]], number: dict[str, int]) -> NDArray[np.float32]:
    """Return concepts as rows of 0 and 1. Args: number: column of each that counts."""
    found = np.zeros((len(concepts), len(number)), np.float32)
    known = [each & number.keys() for each in concepts]
    columns = [number[word] for each in known for word in each]
    found[np.repeat(np.arange(len(known)), [len(each) for each in known]), columns] = 1.0
    return found


def _equal(one: Codes, other: Codes) -> NDArray[np.bool_]:
    """Tell which of all pairs of values are known and equal."""
    return _alike(one[:, None], other)


def _alike(one: Codes, other: Codes) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = one == np.where(other == 0, NOTHING, other)
    return found


class _Columns(NamedTuple):
    """Pictures, or members, in columns."""

    rows: Codes
    """Observation of each, rising."""
    signs: Floats
    codes: Codes
    """(names, each)"""
    values: Floats
    """(names, each)"""

    def joined(self, other: _Columns, rows: Codes, other_rows: Codes) -> tuple[_Columns, Codes]:
        """Return both in the order of the observations, and which of both each is.

        Args:
            rows, other_rows: number that each observation has now, −1: it is left out.
        """
        numbers = np.concatenate([rows[self.rows], other_rows[other.rows]])
        order = np.argsort(numbers, kind="stable")
        order = order[np.count_nonzero(numbers < 0) :]
        joined = (np.concatenate(each, -1)[..., order] for each in zip(self[1:], other[1:], strict=True))
        return _Columns(numbers[order], *joined), order


class _Made(NamedTuple):
    facts: Floats
    """(3, observations)"""
    seen: list[tuple[PromptTraits, Look | None]]
    pictures: _Columns
    members: _Columns


class _Groups:
    """Signed sums of consecutive values: those of one observation. Args: count: observations."""

    def __init__(self, columns: _Columns, count: int) -> None:
        rows, self._signs, self._count = columns.rows, columns.signs, count
        self._starts = np.flatnonzero(np.diff(rows, prepend=NOTHING))
        self._rows = rows[self._starts]
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
        """(values, others' values) → (observations, others' observations)."""
        return self.sums(others.sums(values).T).T
