"""Read LoRA tags: `<lora:name:0.8>` and what other programs write for it, and take them out without a trace.

Everything here takes time linear in the prompt and uses no recursion, so that no prompt can stall it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..config import MAX_LORA_STRENGTH
from ..records import Reason, Source
from .analysis import LoRATag, RefusedTag
from .prompt_messages import PromptMessage

_TAG = re.compile(r"<(lora|lyco|hypernet):([^<>]*)>", re.IGNORECASE)
_TAG_START = re.compile(r"<+(?=(?:lora|lyco|hypernet):)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
_MARK = "\ue000"
"""Stands for each character that is taken out while brackets that hold nothing else are looked for."""
_EMPTY_GROUP = re.compile(
    rf"(?:\\\([{_MARK}\s,]*\\\)"
    rf"|\([{_MARK}\s,|:]*(?:\d*\.?\d+)?\s*\)"
    rf"|\[[{_MARK}\s,|:]*(?:\d*\.?\d+)?\s*\]"
    rf"|\{{[{_MARK}\s,|]*\}})"
)
_MAX_NESTING = 20
"""Brackets within each other that are taken out with a tag that they hold alone."""
_GROUPS = re.compile(r"\\[\[\](){}]|[\[\](){}|:]|<(?:lora|lyco|hypernet):[^<>]*>", re.IGNORECASE)
_CLOSING = {"]": "[", "}": "{", ")": "("}
_BLANKS = " \t"
_SPACES = re.compile(r"[ \t]*")
_SEPARATORS = re.compile(r"[ \t]*(?:,[ \t]*)*")
_NO_COMMA_AFTER = ("", ",", "\n", "(", "[", "{", "|")
_NO_COMMA_BEFORE = re.compile(r"[ \t]*[:|)\]}]")
_MODEL_KEYS, _CLIP_KEYS = ("unet", "model"), ("te", "clip")
_MAX_QUOTED = 5


class LoRATags(NamedTuple):
    """The tags of a prompt."""

    tags: tuple[LoRATag, ...]
    refused: tuple[RefusedTag, ...]
    spans: list[tuple[int, int]]
    """Places of all of them, with the brackets that hold nothing else; in order, none within another."""
    notes: list[str]


def read_lora_tags(prompt: str) -> LoRATags:
    """Return the tags that can be obeyed, and those that cannot, with the reason."""
    found = list(_TAG.finditer(prompt))
    tags: dict[str, LoRATag] = {}
    refused: list[RefusedTag] = []
    bounded: list[str] = []
    around = _surroundings(prompt) if found else []
    for match, surrounding in zip(found, around, strict=True):
        tag = _read(match)
        if match[1].lower() == "hypernet":
            message: PromptMessage | None = PromptMessage.HYPERNETWORK
        elif tag is None:
            message = PromptMessage.LORA_TAG_MALFORMED
        else:
            message = surrounding or (PromptMessage.LORA_TAG_TWICE if _key(tag) in tags else None)
        if message is not None or tag is None:
            reason = Reason.of("lora", Source.USER, message or PromptMessage.LORA_TAG_MALFORMED)
            refused.append(RefusedTag(match[0], reason))
            continue
        clip = tag.strength_clip
        within = replace(
            tag, strength_model=_bounded(tag.strength_model), strength_clip=None if clip is None else _bounded(clip)
        )
        if within != tag:
            bounded.append(match[0])
        tags[_key(tag)] = within
    notes = []
    if malformed := [one.text for one in refused if one.reason.message == PromptMessage.LORA_TAG_MALFORMED.key]:
        notes.append(PromptMessage.LORA_TAG_DROPPED.format(tags=_first_few(malformed)))
    if bounded:
        notes.append(PromptMessage.LORA_STRENGTH_BOUNDED.format(limit=MAX_LORA_STRENGTH, tags=_first_few(bounded)))
    spans = _with_empty_groups(prompt, [match.span() for match in found])
    return LoRATags(tuple(tags.values()), tuple(refused), spans, notes)


def strip_lora_tags(prompt: str) -> str:
    """Return `prompt` without its LoRA tags and without the commas, spaces and empty brackets they would leave behind.

    Tags are found wherever they stand: within emphasis, alternatives or escaped text. A tag that only appears once an
    inner one is removed stays as text; see `disarm_lora_tags`.
    """
    spans = _with_empty_groups(prompt, [match.span() for match in _TAG.finditer(prompt)])
    return disarm_lora_tags("".join(prompt[start:end] for start, end in kept_spans(prompt, spans)))


def disarm_lora_tags(text: str) -> str:
    """Return `text` with its LoRA tags as plain words: without the `<` that opens them."""
    return _TAG_START.sub("", text) if _TAG.search(text) else text


def blank_tags(prompt: str) -> str:
    """Return `prompt` with spaces for its LoRA tags, of the same length."""
    return _TAG.sub(lambda tag: " " * len(tag[0]), prompt)


def kept_spans(prompt: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the pieces of `prompt` outside `spans`; a separator that a removed span leaves doubled goes with it."""
    pieces: list[tuple[int, int]] = []
    kept = 0
    last = ""  # the last character kept, blanks aside
    for start, end in spans:
        if kept < start:
            bare = prompt[kept:start].rstrip(_BLANKS)
            last = bare[-1:] or last
            pieces.append((kept, start))
            if prompt.startswith(",", end) and last not in _NO_COMMA_AFTER:
                pieces[-1] = (kept, kept + len(bare))
            elif _NO_COMMA_BEFORE.match(prompt, end):
                pieces[-1] = (kept, kept + len(bare.rstrip(_BLANKS + ",")))
        kept = end
        if last in _NO_COMMA_AFTER:
            kept = _SEPARATORS.match(prompt, end).end()  # type: ignore[union-attr]
        elif prompt[start - 1] in _BLANKS:
            kept = _SPACES.match(prompt, end).end()  # type: ignore[union-attr]
    if kept < len(prompt):
        pieces.append((kept, len(prompt)))
    elif spans and pieces:
        start, end = pieces.pop()
        pieces.append((start, start + len(prompt[start:end].rstrip(_BLANKS + ","))))
    return pieces


def _read(match: re.Match[str]) -> LoRATag | None:
    """The tag, with any numbers; None where it has no name, or a part that is no strength where one has to stand.

    Up to two numbers are its strengths; `unet=` and `te=` are A1111's names for them. Whatever else follows (block
    weights, steps) is for other programs.
    """
    name, *parts = (part.strip() for part in match[2].split(":"))
    given: dict[str, float] = {}
    ignored: list[str] = []
    for number, part in enumerate(parts):
        key, named, value = part.partition("=")
        role = _role(key.strip().lower()) if named else ("model", "clip", "")[min(number, 2)]
        strength = _number(value if named else part) if role else math.nan
        if role and math.isfinite(strength):
            given[role] = strength
        elif named or (number > 0 and not _is_number(part)):
            ignored.append(part)
        else:
            return None
    if not name or any(not math.isfinite(strength) for strength in given.values()):
        return None
    model = given.get("model", 1.0)
    return LoRATag(name, model, given.get("clip"), match.span(), ":".join(ignored))


def _role(key: str) -> str:
    return "model" if key in _MODEL_KEYS else "clip" if key in _CLIP_KEYS else ""


def _number(text: str) -> float:
    try:
        return float(text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text)
    except ValueError:
        return math.nan


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _bounded(strength: float) -> float:
    return max(-MAX_LORA_STRENGTH, min(MAX_LORA_STRENGTH, strength))


def _key(tag: LoRATag) -> str:
    return tag.name.casefold().replace("\\", "/").removesuffix(".safetensors")


def _surroundings(prompt: str) -> list[PromptMessage | None]:
    """Per tag, why it cannot be obeyed where it stands: in alternatives, or in a schedule; None: it can."""
    opened: list[tuple[str, int, bool]] = []  # bracket, number of tags before it, whether `|` or `:` divides it
    spans: list[tuple[int, int, PromptMessage]] = []
    tags = 0
    for match in _GROUPS.finditer(prompt):
        mark = match[0]
        if mark[0] == "<":
            tags += 1
        elif mark in "[{(":
            opened.append((mark, tags, False))
        elif mark in "|:" and opened and opened[-1][0] in ("{[" if mark == "|" else "["):
            opened[-1] = (*opened[-1][:2], True)
        elif opened and opened[-1][0] == _CLOSING.get(mark):
            bracket, before, divided = opened.pop()
            if divided and before < tags:
                message = PromptMessage.LORA_TAG_SCHEDULED if bracket == "[" else PromptMessage.LORA_TAG_ALTERNATIVE
                spans.append((before, tags, message))
    found: list[PromptMessage | None] = [None] * tags
    reached = tags
    for start, end, message in reversed(spans):  # an outer bracket before those in it, later ones first
        until = min(end, reached)
        found[start:until] = [message] * (until - start)
        reached = min(reached, start)
    return found


def _with_empty_groups(prompt: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """`spans`, each with the brackets around it that hold nothing else: `(<lora:x:1>:1.2)`."""
    if not spans or not any(bracket in prompt for bracket in ")]}"):
        return spans
    marked = _marked(prompt.replace(_MARK, " "), spans)
    for _ in range(_MAX_NESTING):
        wider = _EMPTY_GROUP.sub(lambda group: _MARK * len(group[0]) if _MARK in group[0] else group[0], marked)
        if wider == marked:
            break
        marked = wider
    return [run.span() for run in re.finditer(f"{_MARK}+", marked)]


def _marked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    pieces, position = [], 0
    for start, end in spans:
        pieces += [text[position:start], _MARK * (end - start)]
        position = end
    return "".join((*pieces, text[position:]))


def _first_few(texts: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(text if len(text) <= 60 else text[:59] + "…" for text in texts))
    more = f" and {len(distinct) - _MAX_QUOTED} more" if len(distinct) > _MAX_QUOTED else ""
    return ", ".join(distinct[:_MAX_QUOTED]) + more
