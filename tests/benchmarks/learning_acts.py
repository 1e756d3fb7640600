"""Users who give no stars, and users some of whose pictures are made without learning; see `learning_simulation`."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from intelligence.config import LoRAPreferences
from intelligence.generation.choice_requests import LoRARequest
from intelligence.generation.learning_gain import LearningGain, learning_gain
from intelligence.generation.stages import Arm
from intelligence.learning import Preferences
from intelligence.learning.observations import Evidence, Observation
from intelligence.learning.signals import WORTH, Signal, observations
from intelligence.lora import LoRARecommendation
from tests.benchmarks.learning_world import LEVEL, PROMPT_LUCK, SEED_LUCK, Prompt, User, apply, rated

GAIN, GAIN_SPREAD, LEARNED_AFTER = 0.4, 0.5, 60
"""Stars that a picture gains once all is learned, their spread over prompts, and ratings that half of it takes."""


class Edited(NamedTuple):
    """Outcome of a user's edits, in stars."""

    gain: float
    """Of what was suggested, before it was edited, over suggestions without learning."""
    bound: float
    """The same of suggestions without the LoRAs that the user dislikes."""
    late_gain: float
    """Of one picture of every prompt, after all edits."""
    lost: int
    """LoRAs that the user likes where they are applied without learning, and that edits keep out there by the end, …"""
    liked: int
    """… of so many."""


def edit(user: User, pool: Sequence[Prompt], rounds: int, seed: int) -> Edited:
    """Let a user look at the suggestions for `rounds` prompts, and take out what seems worse than nothing."""
    rng, ratings = random.Random(seed), Preferences()
    removed: dict[tuple[str, str], Observation] = {}
    gain = bound = late = 0.0
    for _ in range(rounds):
        prompt = rng.choice(pool)
        suggested = apply(prompt, ratings)
        before = user.value(prompt, prompt.applied)
        gain += user.value(prompt, suggested) - before
        bound += user.best_without_adding(prompt) - before
        for slot, one in enumerate(suggested):
            if user.utility(prompt, one.lora_metadata) + user.rng.normal(0, SEED_LUCK) < 0:
                removed.setdefault((prompt.analysis.prompt, one.lora_name), _removal(prompt, one, slot))
        newest = [*removed.values()][-WORTH[Evidence.REMOVED].newest :]
        ratings = Preferences(before=ratings).after(newest)
    lost = liked = 0
    for prompt in pool:
        chosen = apply(prompt, ratings)
        late += user.value(prompt, chosen) - user.value(prompt, prompt.applied)
        good = {one.lora_name for one in prompt.applied if user.utility(prompt, one.lora_metadata) > 0}
        liked, lost = liked + len(good), lost + len(good - {one.lora_name for one in chosen})
    return Edited(gain, bound, late / len(pool), lost, liked)


def _removal(prompt: Prompt, one: LoRARecommendation, slot: int) -> Observation:
    offer = {"strength": one.suggested_alpha, "confidence": one.relevance or 0.0, "standing": one.standing}
    signal = Signal(Evidence.REMOVED, one.lora_metadata.model_id, offer, slot)
    (found,) = observations(signal, rated(prompt, (), 3).picture({}), ())
    return found


def compare(seed: int, share: float, ratings: int = 200, prompts: int = 100) -> tuple[float, LearningGain | None]:
    """Return what learning gains a user in truth, in stars of a picture, and what is told of it.

    Args:
        share: of the prompts that are chosen for without learning.
    """
    rng, request = np.random.default_rng(seed), LoRARequest(preferences=LoRAPreferences(unlearned_share=share))
    plain = rng.normal(LEVEL, PROMPT_LUCK, prompts)
    most = rng.normal(GAIN, GAIN_SPREAD, prompts)
    texts = [f"user {seed}, prompt {number}" for number in range(prompts)]
    pictures, truth = list[tuple[dict[str, object], int]](), 0.0
    for number in range(ratings):
        at = int(rng.integers(prompts))
        learned = plain[at] + most[at] * (1 - 0.5 ** (number / LEARNED_AFTER))
        truth += (_expected(learned) - _expected(plain[at])) / ratings
        arm = request.arm(texts[at])
        value = plain[at] if arm is Arm.PLAIN else learned
        stars = int(np.clip(np.rint(value + rng.normal(0, SEED_LUCK)), 1, 5))
        stage = {"arm": arm.value, "prompt_analysis": {"prompt": texts[at]}}
        pictures.append(({"plan": {"recommendations": stage}}, stars))
    return truth, learning_gain(pictures)


def _expected(value: float) -> float:
    """Return the mean stars of pictures of a value, rounded and within 1 … 5, over luck of the seed."""
    above = (math.erfc((bar - value) / (SEED_LUCK * math.sqrt(2))) / 2 for bar in (1.5, 2.5, 3.5, 4.5))
    return 1 + sum(above)
