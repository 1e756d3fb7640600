"""Captions of the pictures, their tokens, and the words that training never met."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import torch

from intelligence.generation.sdxl_config import sdxl_config_folder
from intelligence.generation.standalone import require_standalone

from .pictures import Concept

TOKENS = 77
END = 49407
STYLE_WORDS = {"flat": ("flat emoji", "flat", "flat style"), "noto": ("noto emoji", "noto", "noto style")}
"""Words of the base styles; none of them leaves the style open."""

NEIGHBOURS = {
    "anime": ("girl", "young", "fantasy"),
    "powers": ("magic", "magical", "sorcery"),
    "magical": ("magic", "fantasy"),
    "wizard": ("mage", "magic"),
}
"""Words of no caption, or of few → the words whose rows they get."""


STRANGE_CAPTIONS = 0.3
"""Share of captions with words that say nothing of the picture, so that such words of users change little."""


def caption(concept: Concept, style: str | None, choice: random.Random) -> str:
    """Return a caption: mostly the name, often keywords, sometimes keywords alone; a style where one is given."""
    words = list(concept.keywords)
    choice.shuffle(words)
    kind = choice.random()
    if kind < 0.45 or len(words) < 3:
        parts = [concept.name]
    elif kind < 0.85:
        parts = [concept.name, *words[: choice.randint(1, 4)]]
    else:
        parts = words[: choice.randint(3, 5)]
    if style:
        parts.insert(choice.choice((0, len(parts))), choice.choice(STYLE_WORDS[style]))
    if choice.random() < STRANGE_CAPTIONS:
        strange = " ".join(choice.choice(_words()) for _ in range(choice.randint(1, 4)))
        parts.insert(choice.randint(0, len(parts)), strange)
    text = ", ".join(parts)
    return f"a picture of {text}" if choice.random() < 0.1 else text


@cache
def _words() -> list[str]:
    """Words of the vocabulary, which are one token each."""
    vocabulary = _tokenizer().get_vocab()
    found = (token.removesuffix("</w>") for token in vocabulary if token.endswith("</w>"))
    return sorted(word for word in found if word.isascii() and word.isalpha() and len(word) > 2)


@cache
def _tokenizer() -> Any:
    require_standalone("training")
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(sdxl_config_folder() / "tokenizer")


def tokens(texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the ids for both encoders, (n, 77) each: the first is padded with 49407, the second with 0."""
    ids = _tokenizer()(texts, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt").input_ids
    ended = (ids == END).cumsum(1)
    after = (ended > 0) & ~((ended == 1) & (ids == END))
    return ids.masked_fill(after, END), ids.masked_fill(after, 0)
