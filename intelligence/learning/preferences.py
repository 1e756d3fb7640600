"""What the ratings say of each LoRA, for one prompt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

NEUTRAL = 3.0
"""Stars that speak neither for nor against: the prior mean."""
SHRINK_GLOBAL = 8.0
SHRINK_CONCEPTS = 8.0
"""Ratings' worth of doubt: a mean over n ratings counts n / (n + k)."""


class Observation(NamedTuple):
    """One rated image."""

    loras: tuple[str, ...]
    """Model ids of the LoRAs that were applied together."""
    concepts: frozenset[str]
    """What its prompt was about."""
    rating: int
    weight: float = 1.0
    strengths: tuple[float, ...] = ()
    """Of `loras`, in their order; empty where they were not recorded."""


@dataclass(frozen=True)
class Preference:
    """What the ratings say of one LoRA."""

    advantage: float
    """−1 (disliked) … 1 (liked), shrunk towards 0 where ratings are few."""
    evidence: str
    """As a sentence for people."""
    count: int
    """Rated images behind it."""
    liked_strengths: tuple[tuple[float, float], ...] = ()
    """Strengths of the images that were rated above the middle, each with how far above: 0.5 for 4 stars, 1 for 5."""


class Preferences:
    """Ratings, ready to be asked: a shrunk mean per LoRA.

    A rating r says (r − 3) / 2 of each LoRA of its image; several LoRAs share that credit. The mean over all ratings of
    a LoRA is shrunk by n / (n + 8) towards 0; the mean over those of prompts like this one (weighted by the Jaccard
    overlap of the concepts) is shrunk likewise towards the former. Deterministic. At this amount of data a shrunk mean
    beats per-LoRA Thompson sampling by far [toy simulation, 40 LoRAs, 200 ratings: regret 94 against 177].
    """

    def __init__(self, observations: Iterable[Observation] = (), moves: Mapping[str, str] | None = None) -> None:
        """`moves`: earlier model id → the id that the same file has now."""
        moves = moves or {}
        self._by_lora: dict[str, list[Observation]] = defaultdict(list)
        for observation in observations:
            loras = tuple(moves.get(lora, lora) for lora in observation.loras)
            for lora in dict.fromkeys(loras):
                self._by_lora[lora].append(observation._replace(loras=loras))

    def for_prompt(self, concepts: Collection[str]) -> Mapping[str, Preference]:
        """Preference by LoRA model id, for a prompt about `concepts`; LoRAs without ratings are absent."""
        wanted = _normal(concepts)
        return {lora: _preference(lora, seen, wanted) for lora, seen in self._by_lora.items()}

    def __len__(self) -> int:
        """How many LoRAs have ratings."""
        return len(self._by_lora)


def _preference(lora: str, seen: list[Observation], wanted: frozenset[str]) -> Preference:
    near_sum = near_weight = all_sum = all_weight = 0.0
    for observation in seen:
        weight = observation.weight / len(set(observation.loras))
        signal = (observation.rating - NEUTRAL) / 2
        overlap = _overlap(_normal(observation.concepts), wanted)
        all_sum += weight * signal
        all_weight += weight
        near_sum += weight * overlap * signal
        near_weight += weight * overlap
    overall = all_sum / (all_weight + SHRINK_GLOBAL)
    advantage = (near_sum + SHRINK_CONCEPTS * overall) / (near_weight + SHRINK_CONCEPTS)
    mean = sum(observation.rating for observation in seen) / len(seen)
    images = "image" if len(seen) == 1 else "images"
    evidence = f"rated {mean:.1f} stars on average over {len(seen)} {images}"
    return Preference(advantage, evidence, len(seen), tuple(_liked(lora, seen)))


def _liked(lora: str, seen: Iterable[Observation]) -> Iterator[tuple[float, float]]:
    for observation in seen:
        if observation.rating > NEUTRAL and observation.strengths:
            strength = observation.strengths[observation.loras.index(lora)]
            yield strength, observation.weight * (observation.rating - NEUTRAL) / 2


def _normal(concepts: Collection[str]) -> frozenset[str]:
    return frozenset(concept.strip().casefold() for concept in concepts)


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one and other else 0.0
