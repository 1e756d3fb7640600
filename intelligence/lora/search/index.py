"""The LoRAs of a library as flat postings: which word or phrase stands where in which LoRA, and how much it tells.

A *key* is a word, or a phrase of up to six words written without spaces (`nice nature` and `NiceNature` share one).
A *posting* is one key in one LoRA with seven columns, each 0 … 1 in 255 steps: how strongly it stands in the name, the
title, the trigger words, the tags and the description (BM25's saturated term frequency, normalised by length), the
share of the LoRA's example prompts (or training captions) that have it, and how much of the key's rarity is left beside
the prompts of its creator's other LoRAs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ...prompt import ArtisticStyle
from .tokens import digest

Floats = NDArray[np.float32]
STYLES = tuple(ArtisticStyle)


def ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """start, start + 1 … for every start, as many as its count."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)


class UsageHistory(NamedTuple):
    """How strongly each LoRA of a library is applied in its example prompts, as flat arrays."""

    creators: NDArray[np.uint64]
    """Per LoRA: `digest` of its creator's name, 0 where that is not known."""
    numbers: NDArray[np.int64]
    """Per LoRA: the hub's number of its model, negative where that is not known."""
    starts: NDArray[np.int64]
    """Where a LoRA's uses start, and the end of the last."""
    strength: NDArray[np.float64]
    """Per use, as the next two."""
    stacked: NDArray[np.int8]
    """1, 0, or −1 where that is not known."""
    times: NDArray[np.int32]


@dataclass(frozen=True)
class Index:
    """All LoRAs' postings, ordered by key and then LoRA; their groups, ordered by LoRA."""

    keys: NDArray[np.uint64]
    """Sorted; a key's place here is its number."""
    starts: NDArray[np.int64]
    """Where a key's postings start, and the end of the last."""
    loras: NDArray[np.int32]
    """The LoRA of every posting."""
    columns: NDArray[np.uint8]
    """Shape (postings, 7)."""
    impact: NDArray[np.float16]
    """What a posting counts in the ranker's first pass, shape (postings, 2): for tags and for sentences."""
    idf: Floats
    """Per key: log of the inverse share of LoRAs that have it, general knowledge included."""
    rarity: Floats
    """Per key: log of the inverse share of example prompts that have it, likewise."""
    examples: NDArray[np.uint8]
    """Per LoRA: how many example prompts it has."""
    creators: NDArray[np.uint64]
    """Per LoRA, as the next and those of uses: `UsageHistory`."""
    numbers: NDArray[np.int64]
    use_starts: NDArray[np.int64]
    use_strength: NDArray[np.float64]
    use_stacked: NDArray[np.int8]
    use_times: NDArray[np.int32]
    styles: NDArray[np.uint8]
    """Per LoRA: place of its style in `ArtisticStyle`; unspecified for those that are there for something else."""
    own: Floats
    """Per LoRA: the sum of share² · rarity over its keys."""
    group_starts: NDArray[np.int64]
    """Where a LoRA's groups start."""
    group_column: NDArray[np.uint8]
    phrase_starts: NDArray[np.int64]
    """Where a group's phrases start."""
    phrase_key: NDArray[np.int32]
    """Number of the phrase's key."""
    word_starts: NDArray[np.int64]
    """Where a phrase's words start."""
    word_key: NDArray[np.int32]
    stamps: NDArray[np.uint64]
    """Per LoRA: `digest` of its `documents.stamp`, by which it is recognised when the library changes."""

    @property
    def size(self) -> int:
        """How many LoRAs there are."""
        return len(self.examples)

    @property
    def history(self) -> UsageHistory:
        """How strongly the LoRAs are applied."""
        uses = (self.use_starts, self.use_strength, self.use_stacked, self.use_times)
        return UsageHistory(self.creators, self.numbers, *uses)

    def style(self, lora: int) -> ArtisticStyle:
        """The look that a style LoRA is there for."""
        return STYLES[self.styles[lora]]

    def find(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """The numbers of those of `keys` that some LoRA has, and −1 for the others."""
        asked = digest(keys)
        places = np.minimum(np.searchsorted(self.keys, asked), max(0, len(self.keys) - 1))
        return np.where(self.keys[places] == asked, places, -1) if len(self.keys) else np.full(len(asked), -1)


def save(index: Index, path: Path, mark: str) -> None:
    """Write `index` beside the registry; where that cannot be, it is simply made again next time."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, mark=np.array(mark), **vars(index))
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)


def load(path: Path, mark: str) -> Index | None:
    """What `save` wrote under this `mark`; None where there is none, or another, or it is broken."""
    try:
        with np.load(path, allow_pickle=False) as data:
            if str(data["mark"]) != mark:
                return None
            return Index(**{field.name: data[field.name] for field in fields(Index)})
    except (OSError, EOFError, ValueError, KeyError, BadZipFile):
        return None
