"""Phrases that a user writes with a LoRA and hardly ever without it, told by the pictures made before."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from ..models import ExamplePrompt, TriggerSet
from .search.naming import name_weight
from .search.tokens import MAX_PHRASE, pieces

OWN = "own pictures"
"""Source of trigger sets that such phrases stand in: they call the LoRA, and are never added to a prompt."""
MIN_PROMPTS, MIN_SHARE, MIN_OWNED = 3, 0.3, 0.8
"""Prompts with the LoRA that have the phrase; their share of all with the LoRA, and of all that have the phrase."""
MIN_WEIGHT = 1.5
"""Sum of `name_weight` from which a phrase may call a LoRA."""
MAX_PHRASES, MAX_READ = 6, 20
"""Phrases of one LoRA, and its prompts that are read for them, the first."""

Phrase = tuple[str, ...]


def own_triggers(own: Mapping[str, Sequence[ExamplePrompt]]) -> dict[str, tuple[TriggerSet, ...]]:
    """Return model id → a trigger set for each phrase, the most telling first. Args: own: see `with_own_examples`."""
    prompts = {model_id: frozenset(example.prompt for example in some[:MAX_READ]) for model_id, some in own.items()}
    return _own_triggers(frozenset(prompts.items()))


@lru_cache(maxsize=2)
def _own_triggers(known: frozenset[tuple[str, frozenset[str]]]) -> dict[str, tuple[TriggerSet, ...]]:
    users: defaultdict[str, set[str]] = defaultdict(set)
    for model_id, written in known:
        for prompt in written:
            users[prompt].add(model_id)
    everywhere: Counter[Phrase] = Counter()
    of_lora: defaultdict[str, Counter[Phrase]] = defaultdict(Counter)
    prompts: Counter[str] = Counter()
    for prompt, model_ids in users.items():
        phrases = {*_phrases(prompt)}
        everywhere.update(phrases)
        for model_id in model_ids:
            of_lora[model_id].update(phrases)
            prompts[model_id] += 1
    found = {model_id: _telling(counts, prompts[model_id], everywhere) for model_id, counts in of_lora.items()}
    return {
        model_id: tuple(TriggerSet((" ".join(phrase),), OWN) for phrase in phrases)
        for model_id, phrases in found.items()
        if phrases
    }


def _phrases(prompt: str) -> Iterator[Phrase]:
    for piece in pieces(prompt):
        for start in range(len(piece)):
            for end in range(start + 1, min(len(piece), start + MAX_PHRASE) + 1):
                if name_weight(piece[start]) and name_weight(piece[end - 1]):
                    yield piece[start:end]


def _telling(counts: Mapping[Phrase, int], prompts: int, everywhere: Mapping[Phrase, int]) -> list[Phrase]:
    least = max(MIN_PROMPTS, MIN_SHARE * prompts)
    worth = {
        phrase: count * weight
        for phrase, count in counts.items()
        if count >= least
        and count >= MIN_OWNED * everywhere[phrase]
        and (weight := sum(map(name_weight, phrase))) >= MIN_WEIGHT
    }
    found: list[Phrase] = []
    for phrase in sorted(worth, key=lambda phrase: (-worth[phrase], phrase)):
        words = {*phrase}
        if not any(words & {*other} for other in found):
            found.append(phrase)
    return found[:MAX_PHRASES]
