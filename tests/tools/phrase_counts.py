"""Counts of words and names in prompts and captions at large, and how many LoRAs have such a name."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from intelligence.lora.search.decision import COUNT_STEP
from intelligence.lora.search.knowledge import RARE, PhraseCounts
from intelligence.lora.search.naming import STRONG, naming_phrases
from intelligence.lora.search.naming_evidence import Matches
from intelligence.lora.search.tokens import pieces
from tests.benchmarks.civitai import CivitaiLoRA

LONGEST = 4
"""Tokens of a phrase that is counted."""
MIN_PAGES, MIN_CAPTIONS = 3, 2
"""A phrase of fewer pages and fewer captions counts as rare."""
MAX_IMAGES = 8
"""Of one page."""


class CountsAtLarge:
    """Counts of phrases: the model pages whose prompts have them, captions, and LoRAs named by them."""

    def __init__(self, loras: Sequence[CivitaiLoRA], captions: Iterable[str]) -> None:
        self.of_page = {lora.number: _keys(image.prompt for image in lora.images[:MAX_IMAGES]) for lora in loras}
        self.names = {
            lora.number: {"".join(phrase) for source, phrase in naming_phrases(lora.model) if source in STRONG}
            for lora in loras
        }
        self.pages = Counter(key for keys in self.of_page.values() for key in keys)
        self.captions = Counter(key for caption in captions for key in _keys([caption]))
        self.namesakes = Counter(key for keys in self.names.values() for key in keys)
        texts = (image.prompt for lora in loras for image in lora.images[:MAX_IMAGES])
        self.words = {token for text in texts for piece in pieces(text) for token in piece if _is_word(token)}

    def of(self, key: str, without: int | None = None) -> PhraseCounts:
        """Return the counts of a key, in steps of `COUNT_STEP`. Args: without: a LoRA whose own page is left out."""
        pages = self.pages[key] - (key in self.of_page.get(without, ()))
        namesakes = self.namesakes[key] - (key in self.names.get(without, ()))
        if max(pages - MIN_PAGES, self.captions[key] - MIN_CAPTIONS) < 0 or not (namesakes or key in self.words):
            return RARE
        return PhraseCounts(*map(_stepped, (pages, self.captions[key], namesakes)))

    def table(self) -> dict[str, str]:
        """Return the counts as decision.json holds them: letters of the three → keys."""
        keys: defaultdict[str, list[str]] = defaultdict(list)
        for key in sorted(self.words | self.namesakes.keys()):
            if (counts := self.of(key)) != RARE:
                keys["".join(chr(ord("a") + round(count / COUNT_STEP)) for count in counts)].append(key)
        return {letters: " ".join(found) for letters, found in sorted(keys.items())}


@dataclass(frozen=True)
class UnseenPages(Matches):
    """Matches whose counts leave the page of each LoRA out."""

    at_large: CountsAtLarge | None = None
    numbers: Sequence[int] = ()
    """Per LoRA of the index, its record's number."""

    def counts(self, key: str, lora: int) -> PhraseCounts:
        assert self.at_large is not None
        return self.at_large.of(key, self.numbers[lora])


def _stepped(count: int) -> float:
    return round(math.log1p(count) / COUNT_STEP) * COUNT_STEP


def _is_word(token: str) -> bool:
    return len(token) > 2 and token.isascii() and not token[0].isdigit()


def _keys(texts: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for text in texts:
        for piece in pieces(text):
            for start in range(len(piece)):
                found.update(
                    "".join(piece[start:end]) for end in range(start + 1, min(len(piece), start + LONGEST) + 1)
                )
    return found
