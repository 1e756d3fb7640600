"""Effects of a picture's look on its stars, as covariances: linear in what looks measure.

The choice of LoRAs and settings knows no looks, since no picture is there yet; what they do to the look is part of what
they are liked for. Looks tell pictures apart that differ by their seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..pictures.look import Look
from .observations import UNKNOWN, PromptTraits

Floats = NDArray[np.float64]
Looked = Sequence[tuple[PromptTraits, Look | None]]
"""Prompts and looks of pictures; None: not known."""

LOOK_SD = 0.6
"""Standard deviation, in stars, of what the whole look does to a picture that is unlike the usual one by `SPREAD`."""
SAME_STYLE_SHARE = 0.4
"""Share of the variance that holds for prompts of one style alone."""

USUAL = Look(110, 55, 45, 10, -3, 12, 0, 15)
SPREAD = Look(40, 18, 25, 25, 12, 6, 25, 35)
"""A usual picture and how far pictures lie from it, in 255ths: orders of magnitude, so that the numbers of a look are
alike in weight."""


def look_covariance(one: Looked, other: Looked) -> Floats:
    """Return the covariance of the effects of looks in two lists of pictures; 0 where one is not known."""
    first, second = (np.array([_scaled(look) for _, look in each]).reshape(-1, len(USUAL)) for each in (one, other))
    styles = [[prompt.style for prompt, _ in each] for each in (one, other)]
    same = np.array([[here == there != UNKNOWN for there in styles[1]] for here in styles[0]], np.float64)
    shared = 1 - SAME_STYLE_SHARE + SAME_STYLE_SHARE * same.reshape(len(one), len(other))
    found: Floats = LOOK_SD**2 / len(USUAL) * (first @ second.T) * shared
    return found


def _scaled(look: Look | None) -> Sequence[float]:
    if look is None:
        return [0.0] * len(USUAL)
    return [(value - usual) / spread for value, usual, spread in zip(look, USUAL, SPREAD, strict=True)]
