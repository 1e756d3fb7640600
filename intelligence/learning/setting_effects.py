"""Effects of sampling settings on stars, as covariances: of values that are alike, with one family of models."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .observations import UNKNOWN, PromptTraits, Settings

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Seen = Sequence[tuple[PromptTraits, Settings | None]]
"""Prompts and settings of pictures; None: not known."""

SAME_STYLE_SHARE = 0.4
"""Share of the variance that holds for prompts of one style alone."""


class SettingKind(NamedTuple):
    """Prior of a setting's effect."""

    sd: float
    """Standard deviation in stars."""
    length: float = 0.0
    """Distance over which values are alike; 0: each value is a thing of its own."""


SETTINGS = {
    "cfg": SettingKind(0.8, 2.0),
    "steps": SettingKind(0.3, 0.35),
    "sampler": SettingKind(0.3),
    "scheduler": SettingKind(0.3),
    "size": SettingKind(0.4, 0.25),
}
"""Fields of `Settings`; distances of steps and sizes are those of logarithms."""


def code(value: Hashable) -> int:
    """Return a number that is the same for equal values; 0 for what is unknown."""
    return 0 if value is None or value == UNKNOWN else hash((value,))


class SettingColumns(NamedTuple):
    """Settings of pictures as numbers."""

    codes: Codes
    """(4, pictures): family, style of the prompt, sampler, scheduler; 0: not known."""
    values: Floats
    """(4, pictures): cfg, logarithms of steps, of width / height and of the mean side; nan: not known."""

    @classmethod
    def of(cls, seen: Seen) -> SettingColumns:
        rows = [_numbers(prompt.style, settings) for prompt, settings in seen]
        codes, values = ([row[place] for row in rows] for place in (0, 1))
        return cls(
            np.array(codes, np.int64).reshape(-1, 4).T.copy(), np.array(values, np.float64).reshape(-1, 4).T.copy()
        )


CODES = {"sampler": 2, "scheduler": 3}
VALUES = {"cfg": slice(0, 1), "steps": slice(1, 2), "size": slice(2, 4)}
"""Setting → rows of `SettingColumns`."""


def effects_covariance(one: SettingColumns, other: SettingColumns) -> Floats:
    """Return the covariance of the summed effects of all settings of pictures."""
    if not (one.codes[0].any() and other.codes[0].any()):
        return np.zeros((one.codes.shape[1], other.codes.shape[1]))
    alike: Floats = np.sum([_alike(name, one, other) for name in SETTINGS], axis=0)
    return alike * _shared(one, other)


def effect_covariance(name: str, one: SettingColumns, other: SettingColumns) -> Floats:
    """Return the covariance of the effects of one setting in two lists of pictures; 0 where it is not known."""
    return _alike(name, one, other) * _shared(one, other)


def _alike(name: str, one: SettingColumns, other: SettingColumns) -> Floats:
    """Covariance by the values alone."""
    kind = SETTINGS[name]
    if name in CODES:
        return kind.sd**2 * _same(one.codes[CODES[name]], other.codes[CODES[name]])
    apart: Floats = np.zeros(())
    for mine, others in zip(one.values[VALUES[name]], other.values[VALUES[name]], strict=True):
        apart = apart + ((mine[:, None] - others) / kind.length) ** 2
    return kind.sd**2 * np.nan_to_num(np.exp(-apart / 2))


def _shared(one: SettingColumns, other: SettingColumns) -> Floats:
    """Share by families and styles."""
    families, styles = (_same(one.codes[place], other.codes[place]) for place in (0, 1))
    return families * (1 - SAME_STYLE_SHARE + SAME_STYLE_SHARE * styles)


def _same(one: Codes, other: Codes) -> Floats:
    found: Floats = ((one[:, None] == other) & (other != 0)).astype(np.float64)
    return found


def _numbers(style: str, settings: Settings | None) -> tuple[tuple[int, ...], tuple[float, ...]]:
    if settings is None:
        return (0, code(style), 0, 0), (np.nan,) * 4
    width, height = settings.size or (np.nan, np.nan)
    cfg, steps = (np.nan if value is None else value for value in (settings.cfg, settings.steps))
    codes = code(settings.family), code(style), code(settings.sampler), code(settings.scheduler)
    return codes, (cfg, log(steps), log(width / height), log(width * height) / 2)
