"""Times that runs took, in an open learning.db."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Annotated

from ..records import ValidatedRecord
from ..validation import bounds

TIMINGS_KEPT = 48
"""Of each device and kind of model: enough for several sizes, few enough to follow a machine that changes."""


@dataclass(frozen=True)
class Timing(ValidatedRecord):
    """Time that one run took."""

    width: Annotated[int, bounds(ge=1)]
    """Pixels, like `height`."""
    height: Annotated[int, bounds(ge=1)]
    images: Annotated[int, bounds(ge=0)]
    """Images that were decoded; 0 of a first pass."""
    items: Annotated[int, bounds(ge=1)]
    """Forward items that the model computed, of all images."""
    passes: Annotated[int, bounds(ge=1)]
    """Calls of the model: with guidance, each computes two forward items for every image in it."""
    item_seconds: Annotated[float, bounds(gt=0)]
    """Of one forward item: the median from the second step on."""
    seconds: Annotated[float, bounds(gt=0)]
    """Of the whole run, decoding included."""


def put_timing(db: sqlite3.Connection, key: str, timing: Timing) -> None:
    """Store a run's time, and forget the oldest of its key."""
    db.execute(
        "INSERT INTO timings (key, width, height, images, items, passes, item_seconds, seconds) "
        "VALUES (:key, :width, :height, :images, :items, :passes, :item_seconds, :seconds)",
        {"key": key, **vars(timing)},
    )
    db.execute(
        "DELETE FROM timings WHERE key = ?1 AND id NOT IN "
        "(SELECT id FROM timings WHERE key = ?1 ORDER BY id DESC LIMIT ?2)",
        (key, TIMINGS_KEPT),
    )


def timings_of(db: sqlite3.Connection, key: str) -> list[Timing]:
    """Return the last 48 runs under `key`, with those of keys that extend it after a `:`, oldest first."""
    query = (
        "SELECT width, height, images, items, passes, item_seconds, seconds FROM timings "
        "WHERE key = ?1 OR substr(key, 1, length(?1) + 1) = ?1 || ':' ORDER BY id"
    )
    return [Timing(**dict(row)) for row in db.execute(query, (key,)).fetchall()]
