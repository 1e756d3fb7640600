"""General knowledge of words and names, whatever a library has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .building import Background


class PhraseCounts(NamedTuple):
    """Frequencies of a phrase at large, each the log of 1 + a number."""

    pages: float = 0.0
    """Model pages whose prompts have it."""
    captions: float = 0.0
    namesakes: float = 0.0
    """LoRAs of that name."""


RARE = PhraseCounts()


@dataclass(frozen=True)
class Knowledge:
    """General knowledge of words and names."""

    words: Mapping[str, Background]
    series: frozenset[str] = frozenset()
    """Keys of series: they tell LoRAs of one series apart from others, and never call one."""
    phrases: Mapping[str, PhraseCounts] = field(default_factory=dict)
    """Key of a word or name → its counts; without those that are `RARE`."""
