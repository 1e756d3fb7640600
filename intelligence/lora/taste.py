"""Ratings' say in the choice of LoRAs for one prompt, and the reasons that tell it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..learning import Preferences
from ..learning.observation_arrays import LEVEL
from ..learning.observations import STARS_RIGHT, Applied, Evidence, Observation, Picture, expected_stars
from ..learning.preferences import traits_of
from ..learning.value_model import Floats, ValueModel
from ..prompt import PromptAnalysis
from ..records import Reason, Source
from .lora_library import Library
from .lora_messages import LoRAMessage
from .recommendation import LoRARecommendation

PROOF = 1.15
"""Standard deviations by which a LoRA must be worse than what is worth applying before ratings drop it: dropping is
final where nothing is tried, applying is not."""
BELOW = 0.01
"""Confidence under the threshold at which a LoRA stands that ratings keep out."""
MIN_SHIFT = 0.05
"""Stars from which ratings are a reason."""
STRENGTH_REACH = 0.25
"""Farthest from strengths that were tried that a strength is moved by ratings."""
COST_BELOW, COST_ABOVE = 0.004, 0.008
"""Stars that a strength is worth less which lies so far below the usual one, or above it: too much spoils more."""
MIN_STRENGTH_GAIN, BAD_STRENGTH = 0.05, 0.2
"""Stars that a strength must gain to be taken, or that the usual one must lose to be left."""
MIN_WORDS_GAIN, BAD_WORDS = 0.1, 0.25
"""Stars that a set of trigger words must gain over the usual one to be taken, or that the usual one must lose."""
MAX_GROUPS = 3
"""Kinds of prompts whose stars are named, each with …"""
MAX_STARS = 8
"""… so many of the newest."""
MAX_ALIKE = 2
"""LoRAs that are named as being like this one."""


class Opinion(NamedTuple):
    """A LoRA for a prompt, as ratings see it."""

    score: float
    """Confidence with the ratings' stars in it; may lie outside of 0 … 1."""
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Taste:
    """Ratings, as far as they speak of a library's LoRAs for one prompt."""

    preferences: Preferences | None
    library: Library
    analysis: PromptAnalysis

    def opinions(self, judged: Sequence[tuple[int, float, float]], minimum: float | None) -> list[Opinion]:
        """Return LoRAs as ratings see them: without any, as the choice does.

        One that the choice applies stays until ratings prove it worse than nothing, and than the threshold asks for;
        any other is taken where it is likely to be better than both.

        Args:
            judged: place in the library, confidence and standing (see `Applied.judged`) of each. Confidence 0: the
                prompt rules the LoRA out, and ratings change nothing.
            minimum: confidence from which a LoRA is applied; None: nothing is applied.
        """
        if not self.preferences or not judged:
            return [Opinion(confidence) for _, confidence, _ in judged]
        model = self._model
        ids = [self.library.models[place].model_id for place, *_ in judged]
        asked = [
            Applied.judged(lora, confidence, model.last_strengths.get(lora), standing=standing)
            for lora, (_, confidence, standing) in zip(ids, judged, strict=True)
        ]
        found = model.utilities(traits_of(self.analysis), asked)
        opinions = []
        for number, (one, (_, confidence, _)) in enumerate(zip(asked, judged, strict=True)):
            shift, sd = float(found.shift[number]), float(found.sd[number])
            if not confidence or not shift:
                opinions.append(Opinion(confidence))
                continue
            score = confidence + shift / STARS_RIGHT
            if minimum is not None:
                over = one.expected + shift - worth_applying(minimum)
                taken = over > (-PROOF * sd if confidence >= minimum else 0.0)
                score = max(score, minimum) if taken else min(score, minimum - BELOW)
            opinions.append(Opinion(score, self._reasons(one.lora, shift, model.observations, found.parts[number])))
        return opinions

    def promise(self, loras: Sequence[LoRARecommendation]) -> Floats:
        """Return the stars that each LoRA adds by itself if it turns out a standard deviation better than likely."""
        model, asked = self._model, []
        for one in loras:
            lora = one.lora_metadata.model_id
            strength = model.last_strengths.get(lora)
            asked.append(Applied.judged(lora, one.relevance or 0.0, strength, standing=one.standing))
        found = model.utilities(traits_of(self.analysis), asked)
        likely: Floats = np.array([one.expected for one in asked]) + found.shift
        return likely + found.sd

    def strength(self, model_id: str, usual: float) -> tuple[float, Reason] | None:
        """Return a better strength than the usual one, with its reason; None: nothing better is known.

        Only strengths near those that were tried are looked at. Stars pull towards a strength; where they prove the
        usual one bad, they push away from it.
        """
        if not self.preferences:
            return None
        model = self._model
        tried = [
            (used.strength, one.stars if one.is_rating else None)
            for one in model.observations
            if one.is_rating or one.evidence is Evidence.REWEIGHTED
            for used in one.picture.loras
            if used.lora == model_id and used.strength is not None
        ]
        if not tried:
            return None
        known = [usual, *(strength for strength, _ in tried)]
        low, high = max(0.05, min(known) - STRENGTH_REACH), max(known) + STRENGTH_REACH
        values = [usual, *np.arange(round(low / 0.05), round(high / 0.05) + 1) * 0.05]
        gain = model.strengths(model_id, values)
        apart = (np.array(values) - usual) / STRENGTH_REACH
        best = int(np.argmax(gain - np.where(apart > 0, COST_ABOVE, COST_BELOW) * apart**2))
        if not best or (gain[best] < MIN_STRENGTH_GAIN and gain[0] > -BAD_STRENGTH):
            return None
        value = round(float(values[best]), 2)
        message, near = LoRAMessage.LIKED_STRENGTH, value
        if gain[best] < MIN_STRENGTH_GAIN:
            message, near = LoRAMessage.DISLIKED_STRENGTH, usual
        rated = [one for strength, one in tried if one is not None and abs(strength - near) <= STRENGTH_REACH]
        stars = _stars(rated)
        if not rated:
            message = LoRAMessage.SET_STRENGTH
        reason = Reason.of(
            "strength",
            Source.LEARNED,
            message,
            value=value,
            otherwise=f"{usual:.2f}",
            stars=stars,
            strength=value,
            before=usual,
        )
        return value, reason

    def trigger_set(self, model_id: str, names: Sequence[str], usual: str) -> str:
        """Return the set of trigger words that ratings speak for, by its name: the usual one where none does.

        A set that was never used is taken only where the usual one was proven bad.
        """
        if not self.preferences:
            return usual
        gain = dict(zip(names, self._model.trigger_sets(model_id, names), strict=True))
        best = max(names, key=lambda name: (gain[name], name == usual))
        bar = MIN_WORDS_GAIN if gain[best] > 0 else BAD_WORDS
        return best if gain[best] - gain.get(usual, 0.0) >= bar else usual

    def words_reasons(self, model_id: str, used: str, usual: str) -> tuple[Reason, ...]:
        """Return why a set of trigger words took the place of the usual one; nothing where it is that."""
        if used == usual or not self.preferences:
            return ()
        for name, message in ((used, LoRAMessage.LIKED_WORDS), (usual, LoRAMessage.DISLIKED_WORDS)):
            stars = [
                one.stars
                for one in self._model.observations
                if name and one.is_rating
                for lora in one.picture.loras
                if (lora.lora, lora.trigger_set) == (model_id, name)
            ]
            if stars:
                return (Reason.of("trigger words", Source.LEARNED, message, words=name, stars=_stars(stars)),)
        return ()

    @cached_property
    def _model(self) -> ValueModel:
        return (self.preferences or Preferences()).model(self.library.taste_traits, self.library)

    def _reasons(
        self, lora: str, shift: float, observations: Sequence[Observation], parts: Floats
    ) -> tuple[Reason, ...]:
        """The stars of the user's pictures with the LoRA, or of those that moved it most."""
        if abs(shift) < MIN_SHIFT:
            return ()
        rated = [place for place, one in enumerate(observations) if one.is_rating]
        own = [place for place in rated if any(used.lora == lora for used in observations[place].picture.loras)]
        if own:
            return _own_reasons([observations[place] for place in own], shift)
        if told := _acts(observations, lora, shift):
            return told
        names = {model.model_id: model.name for model in self.library.models}
        share: defaultdict[str, float] = defaultdict(float)
        for place in rated:
            loras = observations[place].picture.loras
            for used in loras:
                share[used.lora] += float(parts[place]) / len(loras)
        alike = sorted((other for other in share if other in names), key=lambda other: -share[other] * np.sign(shift))
        alike = [other for other in alike[:MAX_ALIKE] if share[other] * shift > 0]
        if not alike:
            return ()
        stars = [
            observations[place].stars
            for place in rated
            if any(used.lora in alike for used in observations[place].picture.loras)
        ]
        listed = ", ".join(names[other] for other in alike)
        return (_reason(LoRAMessage.RATED_ALIKE, shift, stars=_stars(stars), loras=listed),)


def worth_applying(minimum: float) -> float:
    """Return the stars from which on a LoRA is worth applying: none that takes stars away, however low the threshold.

    Args:
        minimum: confidence from which the choice applies a LoRA before ratings.
    """
    return max(0.0, expected_stars(minimum))


def _acts(observations: Sequence[Observation], lora: str, shift: float) -> tuple[Reason, ...]:
    """Tell what the user did with pictures of a LoRA without a star, here and in the pictures made before."""
    told = []
    for message, is_past in ((LoRAMessage.NOTICED, False), (LoRAMessage.PAST, True)):
        acts = [one for one in observations if not one.is_rating and (one.evidence is Evidence.PAST) is is_past]
        signs = [_sign(one, lora) for one in acts]
        if any(signs):
            told.append(_reason(message, shift, liked=signs.count(1), disliked=signs.count(-1)))
    return tuple(told)


def _sign(one: Observation, lora: str) -> int:
    """Return 1 where an act speaks for a LoRA, −1 where it speaks against it, 0 where it tells nothing of it."""
    here, there = (_has(picture, lora) for picture in (one.picture, one.other))
    if not here or one.other is not None:
        return here - there
    expected = 0.0 if one.evidence is Evidence.PAST else sum(used.expected for used in one.picture.loras)
    return 1 if one.stars > LEVEL + expected else -1


def _has(picture: Picture | None, lora: str) -> bool:
    return picture is not None and any(used.lora == lora for used in picture.loras)


def _own_reasons(rated: Sequence[Observation], shift: float) -> tuple[Reason, ...]:
    by_style: defaultdict[str, list[float]] = defaultdict(list)
    for one in rated:
        by_style[one.picture.prompt.style].append(one.stars)
    groups = sorted(by_style.items(), key=lambda group: -len(group[1]))[:MAX_GROUPS]
    return tuple(
        _reason(LoRAMessage.RATED_STYLE, shift, stars=_stars(stars), style=style)
        if style and len(by_style) > 1
        else _reason(LoRAMessage.RATED, shift, stars=_stars(stars))
        for style, stars in groups
    )


def _stars(stars: Sequence[float]) -> str:
    return ", ".join(f"{one:g}" for one in stars[-MAX_STARS:])


def _reason(message: LoRAMessage, shift: float, **arguments: Any) -> Reason:
    weight = round(min(1.0, abs(shift)), 3)
    return Reason.of("ratings", Source.LEARNED, message, value=round(shift, 2), weight=weight, **arguments)
