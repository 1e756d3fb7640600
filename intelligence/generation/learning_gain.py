"""Gain of learning for this user, told only where some choices were made without it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from statistics import mean, variance
from typing import Any

from ..records import Record
from .stages import Arm

MIN_PROMPTS = 5
"""Rated prompts that each side of the comparison needs."""
QUANTILES = ((5, 2.57), (6, 2.45), (8, 2.31), (10, 2.23), (15, 2.13), (20, 2.09), (30, 2.04), (60, 2.0))
"""(degrees of freedom, 97.5 % quantile of Student's t), between which the wider one holds; 1.96 beyond."""


@dataclass(frozen=True)
class LearningGain(Record):
    """Stars that a picture gains by learning, with an interval of 95 %."""

    stars: float
    low: float
    high: float
    learned: int
    """Rated prompts with learning …"""
    plain: int
    """… and without."""

    @property
    def known(self) -> bool:
        """False while the interval holds 0."""
        return self.low > 0 or self.high < 0


def learning_gain(rated: Iterable[tuple[Mapping[str, Any], int]]) -> LearningGain | None:
    """Return the gain by randomized prompts; None where too few of them were rated on either side.

    Prompts are drawn for a side before anything is chosen, so that the difference of the means is without bias;
    pictures of one prompt count as one [Welch, Biometrika 34, 1947].

    Args:
        rated: JSON of generations with the stars of their pictures.
    """
    sides: dict[Arm, defaultdict[str, list[int]]] = {arm: defaultdict(list) for arm in Arm}
    for data, stars in rated:
        stage = data.get("plan", {}).get("recommendations", {})
        arm = stage.get("arm", Arm.NONE)
        if arm in list(Arm):
            sides[Arm(arm)][stage.get("prompt_analysis", {}).get("prompt", "")].append(stars)
    learned, plain = ([mean(stars) for stars in sides[arm].values()] for arm in (Arm.LEARNED, Arm.PLAIN))
    if min(len(learned), len(plain)) < MIN_PROMPTS:
        return None
    errors = [max(variance(each), 0.05) / len(each) for each in (learned, plain)]
    freedom = sum(errors) ** 2 / sum(
        one**2 / (len(each) - 1) for one, each in zip(errors, (learned, plain), strict=True)
    )
    known = [quantile for degrees, quantile in QUANTILES if degrees <= freedom]
    reach = (1.96 if freedom > 200 else known[-1] if known else 2.78) * sqrt(sum(errors))
    gain = mean(learned) - mean(plain)
    return LearningGain(round(gain, 3), round(gain - reach, 3), round(gain + reach, 3), len(learned), len(plain))
