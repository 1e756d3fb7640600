"""Parse a prompt: attention as ComfyUI reads it, embeddings, and syntax that ComfyUI does not know.

Everything here takes time linear in the prompt and uses no recursion, so that no prompt can stall it.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate

from .analysis import LoRATag, PromptAnalysis, RefusedTag, Segment
from .lora_tags import kept_spans, read_lora_tags
from .prompt_messages import PromptMessage

NESTED_WEIGHT = 1.1
"""Factor on the weight of what a pair of parentheses without a number holds."""

_ESCAPED = (("\\)", "\0\1"), ("\\(", "\0\2"), ("\0\1", ")"), ("\0\2", "("))
_PARENTHESIS = re.compile(r"(?<!\\)[()]")
_EMBEDDING = "embedding:"
_EMBEDDINGS = re.compile(rf"(?<=\s)(?={_EMBEDDING})")
_EMBEDDING_NAME = re.compile(rf"{_EMBEDDING}\s*([^\s<\[]*)")
_BRACKETS = re.compile(r"(?<!\\)\[([^\[\]]*)\]")
_NUMBER_TAIL = re.compile(r":\s*[\d.]+\s*$")

_FOREIGN_SYNTAX = (
    (re.compile(r"\bBREAK\b"), "BREAK"),
    (re.compile(r"\bAND\b"), "AND"),
    (re.compile(r"(?:^|(?<=\s))(?://|#(?=\s)|/\*)", re.MULTILINE), "comments"),
    (re.compile(r"(?:^|(?<=\s))--[a-z]+(?:[ =]+[\d.:]+)?(?=\s|$)"), "Midjourney's --parameters"),
    (re.compile(r"(?<!\w)__[\w*/-]+__(?!\w)"), "__wildcards__"),
    (re.compile(r"\{[^{}|]*\|[^{}]*\}"), "dynamic prompts {a|b}"),
)
"""Syntax of other programs, which ComfyUI encodes as words: (pattern, its name)."""


@dataclass(frozen=True)
class Parsed:
    """A prompt taken apart. Spans are positions in the prompt as it was given."""

    text: str
    """The prompt without its LoRA tags: what may be encoded."""
    segments: tuple[Segment, ...]
    """Runs of `text` with their weights, unescaped, in order; equal to ComfyUI's `token_weights`."""
    lora_tags: tuple[LoRATag, ...] = ()
    refused_tags: tuple[RefusedTag, ...] = ()
    notes: tuple[str, ...] = ()


def parse(prompt: str) -> Parsed:
    """Parse `prompt`. No text makes it raise; a weight may be infinite or NaN where the text says so."""
    tags, refused, dropped, notes = read_lora_tags(prompt)
    pieces = kept_spans(prompt, dropped)
    text = "".join(prompt[start:end] for start, end in pieces)
    segments = token_weights(text)
    if dropped:
        segments = _spans_in_prompt(segments, pieces)
    if any(run == ("", "") for segment in segments for run in split_embeddings(segment.text)):
        notes.append(str(PromptMessage.EMBEDDING_NAMELESS))
    return Parsed(text, segments, tags, refused, (*notes, *_literal_notes(text)))


def finite_weights(parsed: Parsed) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """Return the segments with weights that JSON can hold (1 where one is infinite or NaN), and the notes."""
    if all(math.isfinite(segment.weight) for segment in parsed.segments):
        return parsed.segments, parsed.notes
    segments = tuple(s if math.isfinite(s.weight) else replace(s, weight=1.0) for s in parsed.segments)
    return segments, (*parsed.notes, str(PromptMessage.WEIGHT_NOT_FINITE))


def wanted_text(analysis: PromptAnalysis) -> str:
    """Return a prompt's plain text with a comma in place of what it does not want: negations, weights of 0 and less."""
    prompt = analysis.prompt
    for negation in analysis.negated:
        start, end = negation.span
        prompt = f"{prompt[:start]}{','.ljust(end - start)}{prompt[end:]}"
    return _weighted_text(prompt)


@lru_cache(maxsize=16)
def _weighted_text(prompt: str) -> str:
    """The plain text of what has a weight; kept for the stages that ask for it of one prompt."""
    return "".join(segment.text for segment in parse(prompt).segments if not segment.weight <= 0)


def blank_embeddings(text: str) -> str:
    """Return `text` with a comma and spaces for each `embedding:name`, of the same length."""
    blanked = []
    for run in _EMBEDDINGS.split(text) if _EMBEDDING in text else ():
        match = _EMBEDDING_NAME.match(run)
        end = match.start(1) + len(match[1].rstrip(",")) if match else 0
        blanked.append(",".ljust(end) + run[end:] if match else run)
    return "".join(blanked) or text


def split_embeddings(text: str) -> list[tuple[str | None, str]]:
    """Split `text` as ComfyUI's tokenizer does where `embedding:name` begins: (name, text after the name) of each run.

    The name is None in a run without an embedding, and empty where none follows the colon.
    """
    if _EMBEDDING not in text:
        return [(None, text)]
    runs: list[tuple[str | None, str]] = []
    for run in _EMBEDDINGS.split(text):
        match = _EMBEDDING_NAME.match(run)
        name = match[1].rstrip(",") if match else ""
        runs.append((name.lstrip(","), run[match.start(1) + len(name) :]) if match else (None, run))
    return runs


def unescape(text: str) -> str:
    """Return `text` with `\\(` and `\\)` as the parentheses they stand for, exactly as ComfyUI does it."""
    for old, new in _ESCAPED:
        text = text.replace(old, new)
    return text


def token_weights(text: str) -> tuple[Segment, ...]:
    """Return the segments of `text` with their attention weights, as `comfy.sd1_clip.token_weights` finds them.

    A group ends at its matching parenthesis; one that is never closed runs to the end of the group around it and
    still counts as a group when it happens to end in a parenthesis. `(text:number)` sets the weight, other groups
    multiply it by 1.1. A `)` too many is text, and so is the next `(`, which makes up for it.
    """
    closing, before = _match_parentheses(text)
    found: list[tuple[int, int, float]] = []
    todo = [(0, len(text), 1.0)]
    while todo:
        start, end, weight = todo.pop()
        depth, position = 0, start
        while (match := _PARENTHESIS.search(text, position, end)) is not None:
            here = match.start()
            position = here + 1
            if text[here] == ")":
                depth -= 1
            elif depth < 0:
                depth += 1
            else:
                found.append((start, here, weight))
                start = min(closing.get(here, end) + 1, end)
                if text[start - 1] == ")" and start - 1 in before and start - 1 > here:
                    todo.append((start, end, weight))
                    todo.append(_group(text, here, start - 1, weight, before))
                else:
                    found.append((here, start, weight))
                start = end
                break
        found.append((start, end, weight))
    return tuple(
        Segment(unescape(text[start:end]), weight, (start, end)) for start, end, weight in found if start < end
    )


def _match_parentheses(text: str) -> tuple[dict[int, int], dict[int, int]]:
    """Positions where each `(` is closed, and for each parenthesis the position of the one before it (-1: none)."""
    positions = [match.start() for match in _PARENTHESIS.finditer(text)]
    before = dict(zip(positions, (-1, *positions), strict=False))
    closing: dict[int, int] = {}
    stack: list[int] = []
    for here in positions:
        if text[here] == "(":
            stack.append(here)
        elif stack:
            closing[stack.pop()] = here
    return closing, before


def _group(text: str, opening: int, close: int, weight: float, before: dict[int, int]) -> tuple[int, int, float]:
    """Start, end and weight of the group between two parentheses. Only a number after the last colon sets it."""
    colon = text.rfind(":", max(before[close] + 1, opening + 2), close)
    if colon >= 0:
        try:
            return opening + 1, colon, float(text[colon + 1 : close])
        except ValueError:
            pass
    return opening + 1, close, weight * NESTED_WEIGHT


def _spans_in_prompt(segments: tuple[Segment, ...], pieces: list[tuple[int, int]]) -> tuple[Segment, ...]:
    """Segments whose spans count in the whole prompt instead of its kept pieces."""
    offsets = list(accumulate((end - start for start, end in pieces), initial=0))

    def place(position: int) -> int:
        piece = bisect_right(offsets, position) - 1
        return pieces[piece][0] + position - offsets[piece]

    return tuple(replace(s, span=(place(s.span[0]), place(s.span[1] - 1) + 1)) for s in segments)


def _literal_notes(text: str) -> list[str]:
    found = [name for pattern, name in _FOREIGN_SYNTAX if pattern.search(text)]
    bodies = [match[1] for match in _BRACKETS.finditer(text)]
    scheduled = [body for body in bodies if _NUMBER_TAIL.search(body)]
    if scheduled:
        found.append("scheduling [a:b:0.5]")
    if len(scheduled) < len(bodies):
        found.append("[brackets]")
    return [PromptMessage.READ_LITERALLY.format(syntax=name) for name in found]
