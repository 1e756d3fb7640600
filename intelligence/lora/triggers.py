"""The trigger words that a LoRA needs and a prompt lacks."""

from __future__ import annotations

import re

from ..prompt import strip_lora_tags
from ..registry import ModelMetadata
from .text import Query, tokens

MAX_WORDS = 8
"""Of one trigger set: more would drown the prompt."""
MAX_CHARACTERS = 200
"""Of one trigger phrase."""

_WEIGHTED = re.compile(r"\(+[^()]+:\s*\d*\.?\d+\s*\)+")
_PARENTHESIS = re.compile(r"(?<!\\)([()])")


def missing_words(model: ModelMetadata, asked: Query, trigger_set: int | None = None) -> tuple[str, ...]:
    """The phrases of one trigger set that the prompt does not have, ready to be written into it.

    Args:
        trigger_set: which set; None: the first that has words.
    """
    if trigger_set is None:
        trigger_set = next((n for n, trigger in enumerate(model.trigger_sets) if trigger.words), None)
        if trigger_set is None:
            return ()
    phrases = (safe_phrase(word) for word in model.trigger_sets[trigger_set].words)
    missing: dict[tuple[str, ...], str] = {}
    for phrase in phrases:
        key = tokens(phrase)
        if key and not asked.has(key):
            missing.setdefault(key, phrase)
    return tuple(missing.values())[:MAX_WORDS]


def safe_phrase(word: str) -> str:
    """A trigger phrase as prompt text: LoRA tags out, on one line, parentheses escaped unless they set a weight."""
    text = " ".join(strip_lora_tags("".join(c if c.isprintable() else " " for c in word)).split()).strip(" ,")
    if len(text) > MAX_CHARACTERS:
        return ""
    return text if _WEIGHTED.fullmatch(text) else _PARENTHESIS.sub(r"\\\1", text)
