"""Effects of sampling settings on stars, as covariances: of values that are alike, with one family of models."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .observations import UNKNOWN, PromptTraits, Settings

Floats = NDArray[np.float64]
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


def effects_covariance(seen: Seen) -> Floats:
    """Return the covariance of the summed effects of all settings of pictures."""
    if all(settings is None for _, settings in seen):
        return np.zeros((len(seen), len(seen)))
    numbers: dict[tuple[str, Settings | None], int] = {}
    places = [numbers.setdefault((prompt.style, settings), len(numbers)) for prompt, settings in seen]
    distinct = [(PromptTraits(None, style), settings) for style, settings in numbers]
    found: Floats = np.sum([effect_covariance(name, distinct, distinct) for name in SETTINGS], axis=0)
    return found[np.ix_(places, places)]


def effect_covariance(name: str, one: Seen, other: Seen) -> Floats:
    """Return the covariance of the effects of one setting in two lists of pictures; 0 where it is not known."""
    kind = SETTINGS[name]
    first, second = ([_value(name, settings) for _, settings in seen] for seen in (one, other))
    if kind.length:
        left, right = (np.array(values, np.float64).reshape(len(values), -1) for values in (first, second))
        apart = ((left[:, None] - right[None]) / kind.length) ** 2
        alike = np.nan_to_num(np.exp(-apart.sum(axis=2) / 2))
    else:
        alike = _same(first, second)
    families, styles = (
        _same([read(each) for each in one], [read(each) for each in other])
        for read in (lambda each: each[1].family if each[1] else None, lambda each: each[0].style or None)
    )
    found: Floats = kind.sd**2 * alike * families * (1 - SAME_STYLE_SHARE + SAME_STYLE_SHARE * styles)
    return found


def _value(name: str, settings: Settings | None) -> Any:
    value = None if settings is None else getattr(settings, name)
    if name == "size":
        width, height = value or (np.nan, np.nan)
        return [log(width / height), log(width * height) / 2] if value else [np.nan, np.nan]
    if name == "steps" and value is not None:
        return log(value)
    return np.nan if value is None and SETTINGS[name].length else value


def _same(one: Sequence[Any], other: Sequence[Any]) -> Floats:
    first, second = (
        np.array([UNKNOWN if value is None else value for value in values], str) for values in (one, other)
    )
    found: Floats = ((first[:, None] == second) & (second != UNKNOWN)).astype(np.float64)
    return found
