"""Fields of a record, from the values and texts of hubs, sidecars and headers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import takewhile
from typing import Any

from ..config import MAX_LORA_STRENGTH
from .kinds import Finding, TriggerSet
from .sanitize import clean_list, clean_number, clean_text

MAX_EXAMPLES = 20
MAX_TRIGGER_SETS = 24
MAX_TAGS = 150

_NUMBER = r"(?<![\d.])([01]?\.\d++|[01](?:[.,]\d++)?+)(?![\d.]*\d)"
_TO = r"\s*(?:-|–|~|to|and|a)\s*"
_STRENGTH_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?<![\w.])(-\d+(?:\.\d+)?)\s*(?:-|–|~|/|\.\.+|…|to|and|a)\s*\+?(\d+(?:\.\d+)?)(?![\d.]*\d)",
        r"<lora:[^<>:]*:(\d*\.?\d+)",
        rf"{_NUMBER}\s*(?:-|–|~|to)\s*{_NUMBER}",
        rf"\b(?:strength|weight|fuerza|peso)s?\b[^\d\n.]{{0,30}}{_NUMBER}(?:{_TO}{_NUMBER})?",
        rf"{_NUMBER}(?:{_TO}{_NUMBER})?\s*(?:lora\s*)?(?:strength|weight)\b",
    )
)
"""Strengths in descriptions, the surest first: a slider's range, a tag to copy, a range, words with a number."""
_STRENGTH_WORD = re.compile(
    r"<lora:|\b(?:strengths?|weights?|fuerzas?|pesos?|intensidad|multipliers?|sliders?|loras?|scale|values?|valor(?:es)?|"
    r"use[ds]?|using|usa[rn]?|likes?|recom\w+|best|works?|good|ideal|set|try|goes)\b",
    re.IGNORECASE,
)
"""Words beside a range that tell it from a version, a date or a measure."""
_BESIDE = 50
"""Characters within which such a word stands."""
_SENTENCE_END = re.compile(r"[\n!?]|\.\s")
_SEPARATOR = re.compile(r"[,，、\n]|(?<=[\w)\]\"'])\s*[;；](?!\))")
"""Between trigger words; a semicolon that begins a word is part of a face (`;d`)."""
_LABELS = (
    r"trigger(?:ing|s|ed)?(?:[ _-]?(?:words?|phrases?|tags?|key ?words?|tokens?|prompts?))?",
    r"(?:trained|instance)[ _-]?(?:words?|prompts?|tokens?)",
    r"activat(?:ion|ed by|e with)(?:[ _-]?(?:text|words?|tokens?|tags?|prompts?|keywords?))?",
    r"key ?words?|palabras? (?:clave|de activación)|mots?[ -]clés?|触发词?|觸發詞?|トリガー(?:ワード)?",
)
_LABEL = re.compile(rf"^[\W_]*(?:{'|'.join(_LABELS)})\s*(?:\([^()\n]{{0,60}}\)\s*)?[:：=]\s*(.*)$", re.IGNORECASE)
"""Begin of a line of trigger words in a note, with what follows it."""
_BULLETS = " -–—*•·‣▪●○◦・>`\"'"
_OTHER_LABEL = re.compile(r"^[\W_]*[^\W\d_][\w ]{0,40}[:：=]\s*[-+~]?\d*[.,]?\d+(?!\w)")
"""Begin of a line that tells a number: `Strength: 0.8`."""
_SENTENCE = re.compile(
    r"[.!?。！？:]|https?|\b(?:use|lora|weight|strength|the|for|with|this|model|trained)\b", re.IGNORECASE
)
_MAX_PHRASE_WORDS = 4
_OTHER_NUMBER = re.compile(
    r"\b(?:denois\w*|cfg|hi-?res\w*|upscal\w*|clip|controlnet|eta|steps|v|ver|version)\b[^.\n]{0,25}$", re.IGNORECASE
)
"""Words before a number that is no strength."""


def base_model_finding(value: Any, source: str, confidence: float) -> dict[str, Any]:
    """Return the fields `base_model` and `findings` of a partial record; empty without a usable name."""
    text = clean_text(value, 100)
    if not text or text.lower() in ("unknown", "other", "none"):
        return {}
    return {"base_model": text, "findings": {"base_model": Finding(text, source, confidence)}}


def trigger_sets(phrases: Iterable[Any], source: str) -> tuple[TriggerSet, ...]:
    """Return one set per phrase, split at commas and semicolons, without `<lora:…>` and other tags, and escapes."""
    sets = []
    for phrase in phrases:
        text = re.sub(r"<[^<>]*>", "", clean_text(phrase, 1000)).replace("\\(", "(").replace("\\)", ")")
        words = tuple(dict.fromkeys(word for part in _SEPARATOR.split(text) if (word := " ".join(part.split()))))
        if words:
            sets.append(TriggerSet(words, source))
    return tuple(dict.fromkeys(sets))[:MAX_TRIGGER_SETS]


def triggers_in(text: str) -> list[str]:
    """Return the phrases of trigger words in a person's note: what follows `Trigger words:` on its line or below it.

    A note that is nothing but one list of short phrases is one.
    """
    lines = [line.strip() for line in text.splitlines()]
    phrases = []
    for number, line in enumerate(lines):
        if match := _LABEL.match(line):
            below = takewhile(_is_list_item, lines[number + 1 :]) if not match[1] else ()
            phrases += [part.strip(_BULLETS) for part in (match[1], *below) if not _LABEL.match(part)]
    if not phrases and len(told := [line for line in lines if line]) == 1 and not _SENTENCE.search(told[0]):
        parts = [part.split() for part in _SEPARATOR.split(told[0]) if part.strip()]
        short = parts and all(len(words) <= _MAX_PHRASE_WORDS for words in parts)
        if short and (len(parts) > 1 or len(parts[0]) == 1):
            phrases = told
    return [phrase for phrase in phrases if phrase]


def _is_list_item(line: str) -> bool:
    return bool(line) and not _OTHER_LABEL.match(line)


def strengths(preferred: Any = None, low: Any = None, high: Any = None) -> dict[str, Any]:
    """Return the fields `strength` and `strength_range`, without numbers outside ±10 and a strength of 0 (unset)."""
    fields: dict[str, Any] = {}
    value, *bounds = (clean_number(number, -MAX_LORA_STRENGTH, MAX_LORA_STRENGTH) for number in (preferred, low, high))
    if bounds[0] is not None and bounds[1] is not None and bounds[0] < bounds[1]:
        fields["strength_range"] = (bounds[0], bounds[1])
        value = value or round((bounds[0] + bounds[1]) / 2, 3)
    if value:
        fields["strength"] = value
    return fields


def strengths_in(text: str) -> dict[str, Any]:
    """Return `strengths` read from words such as `recommended weight: 0.6-0.8` or `<lora:x:0.7>` in a description."""
    for pattern in _STRENGTH_PATTERNS:
        for match in pattern.finditer(text):
            if not _OTHER_NUMBER.search(text, max(0, match.start() - 40), match.start(1)) and _is_strength(match):
                numbers = [number.replace(",", ".") for number in match.groups() if number]
                if found := strengths(None, *numbers) if len(numbers) == 2 else strengths(*numbers):
                    return found | {"strength_from_text": True}
    return {}


def _is_strength(match: re.Match[str]) -> bool:
    """Return whether a word for strength stands in the match, or beside it in its sentence."""
    text, (start, end) = match.string, match.span()
    before = _SENTENCE_END.split(text[max(0, start - _BESIDE) : start])[-1]
    after = _SENTENCE_END.split(text[end : end + _BESIDE])[0]
    return _STRENGTH_WORD.search(f"{before}{match[0]}{after}") is not None


def tag_counts(tags: Any) -> dict[str, int]:
    """Return hub tags, each with the count 1."""
    return dict.fromkeys(clean_list(tags, MAX_TAGS), 1)
