"""Best of several: candidates are sampled for a quarter of the steps, and the one that the user will like best is
finished."""

from __future__ import annotations

from collections.abc import Sequence
from math import erf, floor
from typing import Any, NamedTuple

import numpy as np

from ..learning.observations import Picture
from ..learning.preferences import picture_rating
from ..learning.value_model import ValueModel
from ..parameters import OptimizedParameters
from ..pictures.look import Look, look_of
from ..records import Reason, Source
from ..units import format_duration
from .generation_messages import GenerationMessage
from .run_timer import decoding_items
from .scouting import Ranking, Scouting, steps_to_scout
from .stages import BEST_OF, BestOf, GenerationPlan

SURE = 0.75
"""Probability that the first by taste is liked more than its rival from which taste decides; below, the order of
trying does."""

MIN_SHIFT = 1e-6
"""Stars from which ratings tell candidates apart."""


class Candidate(NamedTuple):
    """A picture that was tried."""

    plan: GenerationPlan
    seed: int
    look: Look | None
    """Of its preview; None: not known."""


def ranked(candidates: Sequence[Candidate], taste: ValueModel | None) -> Ranking:
    """Return the candidates' ranking by what ratings tell of LoRAs, settings and looks; else the order of trying.

    Pictures of one prompt that differ by their seed differ for taste by their look alone, see `Look`.
    """
    places = tuple(range(len(candidates)))
    pictures = [_picture(one) for one in candidates]
    if taste is not None and taste.observations and len(places) > 1:
        shift, covariance = taste.expected_stars(pictures)
        stars = shift + [sum(lora.expected for lora in each.loras) for each in pictures]
        order = tuple(sorted(places, key=lambda place: (-stars[place], place)))
        best, rival = order[0], 0 if order[0] else order[1]
        variance = covariance[best, best] + covariance[rival, rival] - 2 * covariance[best, rival]
        gain = float(stars[best] - stars[rival])
        chance = (1 + erf(gain / (2 * max(float(variance), 1e-12)) ** 0.5)) / 2
        if chance >= SURE and float(np.ptp(shift)) > MIN_SHIFT:
            reason = Reason.of(
                BEST_OF,
                Source.LEARNED,
                GenerationMessage.BEST_BY_TASTE if best else GenerationMessage.FIRST_BY_TASTE,
                value=best + 1,
                otherwise="1" if best else None,
                weight=round(chance, 2),
                number=best + 1,
                tried=len(places),
                stars=round(gain, 1),
                percent=round(100 * chance),
            )
            return Ranking(order, tuple(round(float(each - stars[0]), 2) for each in stars), reason)
    reason = Reason.of(BEST_OF, Source.DEFAULT, GenerationMessage.BEST_UNKNOWN, value=1, tried=len(places))
    return Ranking(places, (), reason)


def _picture(candidate: Candidate) -> Picture:
    """Return a candidate as the value model reads stored pictures."""
    plan = candidate.plan
    data = {"plan": plan.to_dict()}
    loras = [lora.lora_metadata.model_id for lora in plan.loras]
    strengths = [lora.suggested_alpha for lora in plan.loras]
    concepts = plan.recommendations.prompt_analysis.shown_concepts
    return picture_rating(data, loras, concepts, strengths, 0).picture({})._replace(look=candidate.look)


def look_of_image(image: Any) -> Look:
    """Return the look of a PIL image."""
    return look_of(np.asarray(image.convert("RGB")))


def affordable(count: int, parameters: OptimizedParameters) -> int:
    """Return how many of `count` candidates the time limit leaves room for, by prediction; 1 where for none beside the
    one that is finished."""
    limit, whole = parameters.max_time_seconds, parameters.estimated_time_seconds
    if not limit or not whole or not parameters.forward_items:
        return count
    items, decoding = parameters.forward_items, decoding_items(parameters)
    tried = items * steps_to_scout(parameters.num_steps) / parameters.num_steps
    room = limit / whole * (items + decoding) - (items - tried) - decoding
    return max(1, min(count, floor(room / (tried + decoding))))


class Tried(NamedTuple):
    """Candidates as they were sampled."""

    seeds: tuple[int, ...]
    steps: int
    items: tuple[int, ...]
    """Forward items that each took."""
    seconds: float

    @classmethod
    def of(cls, scoutings: Sequence[Scouting]) -> Tried:
        """Return what scoutings tried, one after the other."""
        return cls(
            tuple(seed for each in scoutings for seed in each.seeds),
            max(each.steps for each in scoutings),
            tuple(recording.items for each in scoutings for recording in each.recordings),
            sum(each.seconds for each in scoutings),
        )

    def best(self, ranking: Ranking, asked: int, limit: float | None = None) -> BestOf:
        """Return the record of finishing the first of `ranking`.

        Args:
            asked: candidates that the user wanted to be tried.
            limit: on the time of the run, in seconds.
        """
        tried, finished = len(self.seeds), ranking.order[0]
        cost = Reason.of(
            BEST_OF,
            Source.DEFAULT,
            GenerationMessage.COST_OF_TRYING,
            tried=tried,
            steps=self.steps,
            spent=sum(self.items),
            kept=self.items[finished],
            took=format_duration(self.seconds),
        )
        reasons: tuple[Reason, ...] = (ranking.reason, cost)
        if tried < asked and limit:
            message = GenerationMessage.FEWER_TRIED
            told = Reason.of(BEST_OF, Source.BUDGET, message, value=tried, tried=tried, asked=asked, limit=limit)
            reasons = (*reasons, told)
        items, kept = sum(self.items), self.items[finished]
        return BestOf(self.seeds, finished, ranking.stars, self.steps, items, kept, round(self.seconds, 3), reasons)


def candidates_of(scoutings: Sequence[Scouting]) -> list[tuple[Scouting, int]]:
    """Return each seed of scoutings: its scouting, and its place there."""
    return [(scouting, pick) for scouting in scoutings for pick in range(len(scouting.seeds))]


def ranked_previews(scoutings: Sequence[Scouting], taste: ValueModel | None) -> Ranking:
    """Return the ranking of all seeds of scoutings, see `ranked`."""
    looked = [
        Candidate(each.plan, each.seeds[pick], look_of_image(each.previews[pick]))
        for each, pick in candidates_of(scoutings)
    ]
    return ranked(looked, taste)
