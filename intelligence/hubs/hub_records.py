"""Answers of model hubs, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..models.metadata import ModelMetadata
from ..records import Record


@dataclass(frozen=True)
class SearchPage(Record):
    """Page of models that a hub found."""

    models: tuple[ModelMetadata, ...] = ()
    next_cursor: str | None = None
    """`cursor` of the next page; None: this is the last."""


@dataclass(frozen=True)
class Fetched:
    """A model file on this machine, and the hub's facts about it."""

    path: Path
    facts: ModelMetadata
    """Partial: without a path, and from Hugging Face without id and name."""
    downloaded: bool
    """False: the file was here before, in the hub's own cache or in the folder."""


@dataclass(frozen=True)
class CleanupReport(Record):
    """Files that a clean-up freed, or would free."""

    removed: tuple[str, ...] = ()
    """Paths."""
    freed_bytes: int = 0
    kept: int = 0
    dry_run: bool = True
