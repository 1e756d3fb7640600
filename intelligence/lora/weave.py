"""Both prompts as they are encoded: LoRA tags out, trigger words and quality tags in, nothing twice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..prompt import PromptAnalysis, parse, strip_lora_tags
from ..records import Reason, Record
from ..registry import LoRAKind
from .recommendation import LoRARecommendation
from .text import is_common, is_meta, tokens
from .triggers import Written, safe_phrase

SUBJECTS = (LoRAKind.CHARACTER, LoRAKind.CONCEPT)
"""Kinds whose trigger words stand where a list of tags names its subject; those of others go to the end."""

_PIECE = re.compile(r"(?<!\\)[(),]")
_SENTENCE = re.compile(r"(?<=[.!?])\s|[,\n]")


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
    """The prompts for these LoRAs. Weaving the result again adds nothing.

    Args:
        quality_tags: the model family's, added where they are missing.
        negative_hints: likewise for the negative prompt.
        quality_front: whether quality tags stand before the prompt (Pony's `score_9`) or after it.
    """
    text = _without_tags(prompt_analysis.text or prompt_analysis.prompt)
    listed = prompt_analysis.tag_style >= 0.5
    reasons: list[Reason] = []
    for lora in loras:
        written, missing = Written(text), dict[tuple[str, ...], str]()
        for word in lora.trigger_words:
            phrase = safe_phrase(word)
            if (key := tokens(phrase)) and not written.has(phrase):
                missing.setdefault(key, phrase)
        if missing:
            early = listed and lora.lora_metadata.lora_kind in SUBJECTS
            text = _insert(text, list(missing.values()), early)
            said = ", ".join(missing.values())
            reasons.append(Reason("prompt", f"added {said}: trigger words of {lora.lora_name}"))
    tags = _missing(quality_tags, text)
    if tags:
        text = f"{', '.join(tags)}, {text}" if quality_front and text.strip() else _insert(text, tags, False)
        where = "before" if quality_front else "after"
        reasons.append(
            Reason("prompt", f"added {', '.join(tags)} {where} the prompt: quality tags of the model family")
        )
    negative = _without_tags(prompt_analysis.negative_prompt)
    hints = _missing(negative_hints, negative)
    if hints:
        negative = _insert(negative, hints, False)
        reasons.append(Reason("negative prompt", f"added {', '.join(hints)}: usual for the model family"))
    return Woven(text, negative, tuple(reasons))


def _without_tags(prompt: str) -> str:
    """`prompt` without LoRA tags; a tag within a tag leaves a tag, which goes too."""
    while (stripped := strip_lora_tags(prompt)) != prompt:
        prompt = stripped
    return prompt


def _missing(tags: Iterable[str], text: str) -> list[str]:
    plain = ",".join(segment.text for segment in parse(text).segments)
    had = {tokens(piece) for piece in _SENTENCE.split(plain)}
    had |= {tokens(piece.rstrip(".!?")) for piece in _SENTENCE.split(plain)}
    return list({key: tag for tag in tags if (key := tokens(tag)) and key not in had}.values())


def _insert(text: str, more: Sequence[str], early: bool) -> str:
    """`text` with `more` as comma tags: after the tags that open it, or at its end; a sentence keeps its full stop."""
    end, closed = _opening(text)
    words = ", ".join(more)
    if not early and closed:
        kept = text.rstrip(" ,\n\t")
        joiner = " " if kept.endswith((".", "!", "?")) else ", "
        return f"{kept}{joiner if kept else ''}{words}"
    rest = text[end:].lstrip(" ,")
    return f"{text[:end]}{words}{', ' if rest else ''}{rest}"


def _opening(text: str) -> tuple[int, bool]:
    """Where the tags end that open a prompt (`masterpiece, 1girl, solo, `), and whether all parentheses are closed."""
    end = start = depth = 0
    opening = True
    for match in _PIECE.finditer(text):
        depth += {"(": 1, ")": -1, ",": 0}[match[0]]
        opening = opening and depth == 0 and match[0] == ","
        if opening:
            piece = tokens(text[start : match.start()])
            opening = all(is_common(token) or is_meta(token) for token in piece)
            start = match.end()
            end = match.end() if opening else end
    while text[end : end + 1] == " ":
        end += 1
    return end, depth == 0
