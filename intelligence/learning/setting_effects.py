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

Numbers = dict[tuple[str, Settings | None], tuple[tuple[int, ...], dict[str, list[float]]]]
"""Style and settings → what is compared, and values."""

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


class SeenSettings:
    """Settings of pictures as numbers, the same ones once. Args: known: `numbers` of others, which serve again."""

    def __init__(self, seen: Seen, known: Numbers | None = None) -> None:
        places: dict[tuple[str, Settings | None], int] = {}
        self.places = np.array(
            [places.setdefault((prompt.style, settings), len(places)) for prompt, settings in seen], np.int64
        )
        """Of each picture in the rows of …"""
        self.unknown = all(settings is None for _, settings in places)
        self.numbers: Numbers = {key: (known or {}).get(key) or _numbers(*key) for key in places}
        rows = list(self.numbers.values())
        self.codes: dict[str, Codes] = {
            name: np.array([row[0][place] for row in rows], np.int64)
            for place, name in enumerate(("family", "style", "sampler", "scheduler"))
        }
        self.values: dict[str, Floats] = {
            name: np.array([row[1][name] for row in rows], np.float64).reshape(len(rows), columns)
            for name, columns in (("cfg", 1), ("steps", 1), ("size", 2))
        }
        """nan: not known."""


def effects_covariance(one: SeenSettings, other: SeenSettings) -> Floats:
    """Return the covariance of the summed effects of all settings of pictures."""
    if one.unknown or other.unknown:
        return np.zeros((len(one.places), len(other.places)))
    alike: Floats = np.sum([_alike(name, one, other) for name in SETTINGS], axis=0)
    found: Floats = (alike * _shared(one, other))[one.places[:, None], other.places]
    return found


def effect_covariance(name: str, one: SeenSettings, other: SeenSettings) -> Floats:
    """Return the covariance of the effects of one setting in two lists of pictures; 0 where it is not known."""
    found: Floats = (_alike(name, one, other) * _shared(one, other))[one.places[:, None], other.places]
    return found


def _alike(name: str, one: SeenSettings, other: SeenSettings) -> Floats:
    """Covariance by the values alone."""
    kind = SETTINGS[name]
    if not kind.length:
        return kind.sd**2 * _same(one.codes[name], other.codes[name])
    apart: Floats = np.zeros(())
    for mine, others in zip(one.values[name].T, other.values[name].T, strict=True):
        apart = apart + ((mine[:, None] - others) / kind.length) ** 2
    return kind.sd**2 * np.nan_to_num(np.exp(-apart / 2))


def _shared(one: SeenSettings, other: SeenSettings) -> Floats:
    """Share by families and styles."""
    styles = SAME_STYLE_SHARE * _same(one.codes["style"], other.codes["style"])
    return _same(one.codes["family"], other.codes["family"]) * (1 - SAME_STYLE_SHARE + styles)


def _same(one: Codes, other: Codes) -> Floats:
    found: Floats = ((one[:, None] == other) & (other != 0)).astype(np.float64)
    return found


def _numbers(style: str, settings: Settings | None) -> tuple[tuple[int, ...], dict[str, list[float]]]:
    if settings is None:
        return (0, code(style), 0, 0), {"cfg": [np.nan], "steps": [np.nan], "size": [np.nan] * 2}
    width, height = settings.size or (np.nan, np.nan)
    values = {
        "cfg": [np.nan if settings.cfg is None else settings.cfg],
        "steps": [np.nan if settings.steps is None else log(settings.steps)],
        "size": [log(width / height), log(width * height) / 2],
    }
    return (code(settings.family), code(style), code(settings.sampler), code(settings.scheduler)), values
