"""The trigger words that a LoRA needs and a prompt lacks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..models import ModelMetadata
from ..prompt import parse, strip_lora_tags
from .search.tokens import is_everyday, is_meta, query, tokens

MAX_WORDS = 8
"""Of one trigger set: more would drown the prompt."""
MAX_CHARACTERS = 200
"""Of one trigger phrase."""
MAX_WEIGHT = 1.5
"""The most attention that a trigger phrase may ask for by itself."""

_WEIGHTED = re.compile(r"\(+([^()]+?):\s*(\d*\.?\d+)\s*\)+")
_PARENTHESIS = re.compile(r"(?<!\\)([()])")
_PART_END = re.compile(r"[,.;:!?\n|\"()\[\]{}\\]+")


class PromptText:
    """Text of a prompt, in which phrases are looked for.

    Args:
        text: a prompt as it is encoded, without LoRA tags.
    """

    def __init__(self, text: str) -> None:
        plain = plain_text(text)
        self._text = plain.casefold()
        self._query = query([plain])

    def contains(self, phrase: str) -> bool:
        """Return whether the prompt has the phrase, letter for letter or by its words (but for case and plurals)."""
        plain = plain_text(phrase).casefold()
        if plain and plain in self._text and re.search(rf"(?<!\w){re.escape(plain)}(?!\w)", self._text):
            return True
        parts = [key for part in _PART_END.split(plain) if (key := tokens(part))]
        return bool(parts) and all(self._query.has(part) for part in parts)


def plain_text(text: str) -> str:
    """Return `text` without its attention weights and escapes."""
    return "".join(segment.text for segment in parse(text).segments)


def missing_words(model: ModelMetadata, text: PromptText) -> tuple[str, ...]:
    """Return the phrases that this LoRA needs and the prompt lacks, ready to be written into it.

    Of several trigger sets, the one whose own phrases the prompt has; where it has none of their own, what all sets
    share (no outfit that was not asked for); where they share nothing, the first set with a telling phrase.
    """
    missing = [phrase for phrase in _needed(model, text) if not text.contains(phrase)]
    return tuple(missing[:MAX_WORDS])


def _needed(model: ModelMetadata, text: PromptText) -> Sequence[str]:
    sets = [found for trigger in model.trigger_sets if (found := _phrases(trigger.words))]
    if not sets:
        return ()
    core = {key for key in sets[0] if len(sets) > 1 and all(key in phrases for phrases in sets)}
    matched = [{key for key in phrases if key not in core and text.contains(phrases[key])} for phrases in sets]
    telling = [sum(map(_is_telling, keys)) for keys in matched]
    best = max(range(len(sets)), key=lambda number: (telling[number], len(matched[number]), -number))
    if len(sets) > 1 and not telling[best]:
        if core and not matched[best]:
            return [phrase for key, phrase in sets[0].items() if key in core]
        if not core:
            best = next((number for number, phrases in enumerate(sets) if any(map(_is_telling, phrases))), best)
    return list(sets[best].values())


def _phrases(words: Sequence[str]) -> dict[tuple[str, ...], str]:
    """Tokens → phrase as it is written into a prompt; what differs in case or plural only counts once."""
    found: dict[tuple[str, ...], str] = {}
    for word in words:
        if key := tokens(plain_text(phrase := safe_phrase(word))):
            found.setdefault(key, phrase)
    return found


def _is_telling(phrase: tuple[str, ...]) -> bool:
    """Return whether a phrase is more than any picture may have."""
    return any(not is_meta(token) and not is_everyday(token) for token in phrase)


def safe_phrase(word: str) -> str:
    """Return a trigger phrase as prompt text: LoRA tags out, on one line, parentheses escaped unless they set a weight.

    A weight above 1.5, or of nothing, is left out; a phrase that is too long becomes empty.
    """
    text = "".join(c if c.isprintable() else " " for c in word[: 4 * MAX_CHARACTERS])
    text = " ".join(strip_lora_tags(text).split()).strip(" ,\\")
    if len(text) > MAX_CHARACTERS:
        return ""
    if (weighted := _WEIGHTED.fullmatch(text)) is None:
        return _PARENTHESIS.sub(r"\\\1", text)
    return text if 0 < float(weighted[2]) <= MAX_WEIGHT else weighted[1].strip()
