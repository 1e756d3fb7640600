"""Both prompts as they are encoded: LoRA tags out, trigger words and quality tags in, nothing twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..prompt import PromptAnalysis, parse, strip_lora_tags
from ..records import Reason, Record
from .ranking import prompt_query
from .recommendation import LoRARecommendation
from .text import tokens
from .triggers import safe_phrase


@dataclass(frozen=True)
class Woven(Record):
    """The prompts to encode, and what was added to them."""

    prompt: str
    negative_prompt: str
    reasons: tuple[Reason, ...] = ()
    """What was added, under `prompt` and `negative prompt`."""


def weave(
    prompt_analysis: PromptAnalysis,
    loras: Iterable[LoRARecommendation],
    quality_tags: Sequence[str] = (),
    negative_hints: Sequence[str] = (),
    quality_front: bool = False,
) -> Woven:
    """The prompts for these LoRAs.

    Args:
        quality_tags: the model family's, added where they are missing.
        negative_hints: likewise for the negative prompt.
        quality_front: whether quality tags stand before the prompt (Pony's `score_9`) or after it.
    """
    text = prompt_analysis.text or strip_lora_tags(prompt_analysis.prompt)
    reasons: list[Reason] = []
    asked = prompt_query(prompt_analysis)
    had = {tokens(piece) for piece in _pieces(text)}
    added: set[tuple[str, ...]] = set()
    for lora in loras:
        missing = []
        for word in lora.trigger_words:
            phrase = safe_phrase(word)
            key = tokens(phrase)
            if key and key not in added and not asked.has(key):
                missing.append(phrase)
                added.add(key)
        if missing:
            text = _append(text, missing)
            reasons.append(Reason("prompt", f"added {', '.join(missing)}: trigger words of {lora.lora_name}"))
    tags = _missing(quality_tags, had | added)
    if tags:
        text = _append(", ".join(tags), [text] if text.strip() else []) if quality_front else _append(text, tags)
        where = "before" if quality_front else "after"
        reasons.append(
            Reason("prompt", f"added {', '.join(tags)} {where} the prompt: quality tags of the model family")
        )
    negative = strip_lora_tags(prompt_analysis.negative_prompt)
    hints = _missing(negative_hints, {tokens(piece) for piece in _pieces(negative)})
    if hints:
        negative = _append(negative, hints)
        reasons.append(Reason("negative prompt", f"added {', '.join(hints)}: usual for the model family"))
    return Woven(text, negative, tuple(reasons))


def _pieces(text: str) -> list[str]:
    """The comma pieces of a prompt, attention syntax aside."""
    return ",".join(segment.text for segment in parse(text).segments).replace("\n", ",").split(",")


def _missing(tags: Iterable[str], had: set[tuple[str, ...]]) -> list[str]:
    return list({key: tag for tag in tags if (key := tokens(tag)) and key not in had}.values())


def _append(text: str, more: Sequence[str]) -> str:
    """`text`, then `more` as comma tags; a sentence keeps its full stop."""
    kept = text.rstrip(" ,\n\t")
    joiner = " " if kept.endswith((".", "!", "?")) else ", "
    return f"{kept}{joiner if kept and more else ''}{', '.join(more)}"
