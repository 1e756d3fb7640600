"""Measures how much better liked the best of four is than the first, after so many ratings.

Users like looks by eight weights of their own (or none), and rate pictures of many prompts with the usual noise. Looks
of one prompt's seeds lie a third as far apart as those of prompts; a preview shows them smaller, and blurred.

python -m tests.benchmarks.best_of --json [--users N]
"""

from __future__ import annotations

import numpy as np

from intelligence.config import OffloadStrategy
from intelligence.generation.best_of import Candidate, ranked
from intelligence.generation.stages import GenerationPlan, Recommendations
from intelligence.learning.look_effects import SPREAD, USUAL
from intelligence.learning.observations import Evidence, LoRATraits, Observation, Picture, PromptTraits
from intelligence.learning.signals import Signal, observations
from intelligence.learning.value_model import ValueModel
from intelligence.memory import MemoryPlan
from intelligence.parameters import OptimizedParameters
from intelligence.pictures.look import Look
from intelligence.prompt import PromptAnalysis
from intelligence.records import Source
from tests.benchmarks.report import parser, report

RATED = (0, 8, 16, 32, 64)
TRIED = 4
PROMPTS = 24
"""Prompts of each user on which the best of four is taken."""
WITHIN = 1 / 3
"""Distance of the looks of seeds, beside those of prompts."""
SHRINK, BLUR = 0.7, 0.15
"""A preview's share of the difference to the prompt's usual look, and its own spread beside `WITHIN`'s unit."""
TASTE_SD = 0.6
"""Stars that looks add, as a standard deviation over pictures of all prompts."""
NOISE = 1.0
PICKED = ((0, 8), (16, 8), (32, 8))
"""Pictures that were rated, and times that one of four was picked."""
PICK_NOISE = 0.3
"""Stars by which users misjudge a preview."""

PLAN = GenerationPlan(
    Recommendations(PromptAnalysis("a lake"), [], OptimizedParameters(8, 6.0, 64, 64, "euler", "normal")),
    MemoryPlan(strategy=OffloadStrategy.FULL_GPU, device="cpu"),
)


def look(scaled: np.ndarray) -> Look:
    """Return a look from its distance to the usual one, in spreads."""
    return Look(*(round(usual + spread * one) for usual, spread, one in zip(USUAL, SPREAD, scaled, strict=True)))


def stars(random: np.random.Generator, utility: float, noise: float = NOISE) -> int:
    return int(np.clip(round(3.2 + utility + random.normal(0, noise)), 1, 5))


def previews_of(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return looks of a prompt's pictures, finished and as previews."""
    usual = random.normal(0, 1, len(USUAL))
    finals = usual + random.normal(0, WITHIN, (TRIED, len(USUAL)))
    return finals, usual + SHRINK * (finals - usual) + random.normal(0, BLUR, finals.shape)


def gains(seed: int, rated: int, sd: float, picked: int = 0) -> tuple[float, float, float]:
    """Return the mean gain of the best by taste over the first, that of an oracle, and the share ranked by taste.

    Before, so many pictures were rated, and so many times one of four previews was picked.
    """
    random = np.random.default_rng(seed)
    weights = random.normal(0, sd / len(USUAL) ** 0.5, len(USUAL))
    seen = []
    for number in range(rated):
        shown = random.normal(0, 1, len(USUAL))
        prompt, mood = PromptTraits(f"prompt {number}"), random.normal(0, 0.4)
        seen.append(Observation(stars(random, shown @ weights + mood), Picture(prompt, look=look(shown))))
    for number in range(picked):
        previews, prompt = previews_of(random)[1], PromptTraits(f"scouted {number}")
        pick = int(np.argmax(previews @ weights + random.normal(0, PICK_NOISE, TRIED)))
        act = Signal(Evidence.SCOUTED, "", {"looks": [look(each) for each in previews]}, pick)
        seen += observations(act, Picture(prompt), ())
    taste = ValueModel(seen, lambda _: LoRATraits())
    gained, best, by_taste = [], [], 0
    for _ in range(PROMPTS):
        finals, previews = previews_of(random)
        found = ranked([Candidate(PLAN, place, look(each)) for place, each in enumerate(previews)], taste)
        worth = (finals - finals[0]) @ weights
        gained.append(worth[found.order[0]])
        best.append(worth.max())
        by_taste += found.reason.source is Source.LEARNED
    return float(np.mean(gained)), float(np.mean(best)), by_taste / PROMPTS


if __name__ == "__main__":
    arguments = parser(__doc__ or "")
    arguments.add_argument("--users", type=int, default=40)
    options = arguments.parse_args()
    figures: dict[str, float] = {}
    for rated, picked in (*((rated, 0) for rated in RATED), *PICKED):
        for name, sd in (("likes_looks", TASTE_SD), ("likes_none", 0.0)):
            gained, best, by_taste = np.mean([gains(user, rated, sd, picked) for user in range(options.users)], axis=0)
            case = f"{name}_{rated}" + (f"_picked_{picked}" if picked else "")
            figures[f"{case}_by_taste"] = float(by_taste)
            if sd:
                figures[f"{case}_stars"] = float(gained)
                figures["oracle_stars"] = float(best)
    report(figures, options.json)
