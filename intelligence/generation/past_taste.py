"""Pictures that the user made before as observations of taste: weaker than stars, and older than any of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..history import PastPicture
from ..learning.observation_arrays import LEVEL
from ..learning.observations import Applied, Evidence, Observation, Picture, PromptTraits

MAX_PAST = 96
"""Newest pictures that count."""
STARS, NOISE = 1.4, 2.0
"""Stars above or below the usual level that the strongest sign stands for, and their standard deviation."""
USED_CONFIDENCE = 0.9
"""Confidence that a LoRA was right for a prompt on which the user applied it by hand."""


def past_observations(
    pictures: Iterable[PastPicture], resets: Mapping[str, int] | None = None
) -> tuple[Observation, ...]:
    """Return what became of pictures as observations, oldest first; pictures of which nothing tells are none.

    Args:
        resets: see `LearningEngine.past_resets`.
    """
    told = [picture for picture in pictures if picture.signal and _counts(picture, resets or {})][-MAX_PAST:]
    return tuple(
        Observation(
            LEVEL + STARS * picture.signal,
            Picture(
                PromptTraits(("past", picture.prompt_key or picture.path)),
                tuple(
                    Applied.judged(used.name, USED_CONFIDENCE)
                    for used in {one.name: one for one in picture.loras}.values()
                ),
            ),
            noise=NOISE,
            evidence=Evidence.PAST,
        )
        for picture in told
    )


def _counts(picture: PastPicture, resets: Mapping[str, int]) -> bool:
    return all(picture.made_at * 1000 > resets.get(name, -1) for name in ("", *(used.name for used in picture.loras)))
