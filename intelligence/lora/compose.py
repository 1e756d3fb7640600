"""Composing both prompts as they are encoded: LoRA tags out, trigger words and quality tags in, nothing twice."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from ..models import LoRAKind
from ..prompt import ConceptCategory, PromptAnalysis, disarm_lora_tags, parse, strip_lora_tags
from ..records import Reason, Record, Source
from .lora_messages import LoRAMessage
from .recommendation import LoRARecommendation
from .search.tokens import tokens
from .triggers import PromptText, plain_text, safe_phrase

OPENING_CATEGORIES = (ConceptCategory.QUALITY, ConceptCategory.CHARACTER)
"""Concepts that a list of tags opens with: `masterpiece, 1girl, solo`."""
SUBJECT_KINDS = (LoRAKind.CHARACTER, LoRAKind.CONCEPT)
"""Kinds whose trigger words stand where a list of tags names its subject; those of others go to the end."""

_PIECE = re.compile(r"(?<!\\)[(),]")
_SENTENCE = re.compile(r"(?<=[.!?])\s|[,\n]")


@dataclass(frozen=True)
class ComposedPrompts(Record):
    """The prompts to encode, and what was added to them."""

    prompt: str
    negative_prompt: str
    reasons: tuple[Reason, ...] = ()
    """Additions, under `prompt` and `negative prompt`."""


def compose_prompts(
    prompt_analysis: PromptAnalysis,
    loras: Iterable[LoRARecommendation],
    quality_tags: Sequence[str] = (),
    negative_hints: Sequence[str] = (),
    quality_front: bool = False,
) -> ComposedPrompts:
    """Return the prompts for these LoRAs. Composing the result again adds nothing.

    Args:
        quality_tags: the model family's, added where they are missing.
        negative_hints: likewise for the negative prompt.
        quality_front: whether quality tags stand before the prompt (Pony's `score_9`) or after it.
    """
    text = strip_lora_tags(prompt_analysis.text or prompt_analysis.prompt)
    listed = prompt_analysis.tag_style >= 0.5
    concepts = prompt_analysis.concepts
    opening = {tokens(phrase) for category in OPENING_CATEGORIES for phrase in concepts.get(category, ())}
    reasons: list[Reason] = []
    for lora in loras:
        if not (lora.suggested_alpha or lora.alpha_clip):
            continue
        prompt_text, missing = PromptText(text), dict[tuple[str, ...], str]()
        for word in lora.trigger_words:
            phrase = safe_phrase(word)
            if (key := tokens(plain_text(phrase))) and not prompt_text.contains(phrase):
                missing.setdefault(key, phrase)
        if missing:
            early = listed and lora.lora_metadata.lora_kind in SUBJECT_KINDS
            text = _insert(text, list(missing.values()), opening if early else None)
            added = ", ".join(missing.values())
            reasons.append(
                Reason.of("prompt", Source.LORA, LoRAMessage.PROMPT_TRIGGER_WORDS, lora=lora.title, words=added)
            )
    tags = _missing(quality_tags, text)
    if tags:
        text = f"{', '.join(tags)}, {text}" if quality_front and text.strip() else _insert(text, tags)
        message = LoRAMessage.QUALITY_TAGS_BEFORE if quality_front else LoRAMessage.QUALITY_TAGS_AFTER
        reasons.append(Reason.of("prompt", Source.MODEL_FAMILY, message, tags=", ".join(tags)))
    negative = strip_lora_tags(prompt_analysis.negative_prompt)
    hints = _missing(negative_hints, negative)
    if hints:
        negative = _insert(negative, hints)
        reasons.append(
            Reason.of("negative prompt", Source.MODEL_FAMILY, LoRAMessage.NEGATIVE_TAGS, tags=", ".join(hints))
        )
    return ComposedPrompts(disarm_lora_tags(text), disarm_lora_tags(negative), tuple(reasons))


def without_added_words(lora: LoRARecommendation) -> LoRARecommendation:
    """Return the recommendation for a prompt that stays as written: its trigger words are lacking, not added."""
    lacked, added = LoRAMessage.LACKED_TRIGGER_WORDS, LoRAMessage.ADDED_TRIGGER_WORDS.key
    reasons = [
        Reason.of(one.setting, one.source, lacked, words=one.arguments["words"]) if one.message == added else one
        for one in lora.reasons
    ]
    return replace(lora, reasons=tuple(reasons), reasoning="")


def _missing(tags: Iterable[str], text: str) -> list[str]:
    plain = ",".join(segment.text for segment in parse(text).segments)
    had = {tokens(text) for piece in _SENTENCE.split(plain) for text in (piece, piece.rstrip(".!?"))}
    return list({key: tag for tag in tags if (key := tokens(tag)) and key not in had}.values())


def _insert(text: str, more: Sequence[str], opening: Collection[tuple[str, ...]] | None = None) -> str:
    """`text` with `more` as comma tags: behind the pieces of `opening` that it begins with, or (None) at its end.

    A sentence keeps its full stop. What opens a parenthesis that is never closed would take in all that follows.
    """
    end, depth, words = 0, 0, ", ".join(more)
    start, still = 0, True
    for match in _PIECE.finditer(text):
        depth += {"(": 1, ")": -1, ",": 0}[match[0]]
        still = still and depth == 0 and match[0] == "," and tokens(text[start : match.start()]) in (opening or ())
        if still:
            start = end = match.end()
    if opening is None and depth == 0:
        kept = text.rstrip(" ,\n\t")
        joiner = " " if kept.endswith((".", "!", "?")) else ", "
        return f"{kept}{joiner if kept else ''}{words}"
    rest = text[end:].lstrip(" ,")
    return f"{text[:end]}{' ' if end else ''}{words}{', ' if rest else ''}{rest}"
