"""Switches of the user in an open learning.db."""

from __future__ import annotations

import json
import sqlite3
from enum import StrEnum

from .rating_rows import bump


class Switch(StrEnum):
    """Options that are set or not."""

    PAUSED = "paused"
    NO_PROMPTS = "no_prompts"
    NO_SIGNALS = "no_signals"


PAST_RESETS = "past_resets"
"""Option: model id (empty: all) → milliseconds since 1970, up to which pictures made before tell nothing of it."""


def past_resets(db: sqlite3.Connection) -> dict[str, int]:
    """Return up to when pictures made before count no longer, see `PAST_RESETS`."""
    row = db.execute("SELECT value FROM options WHERE name = ?", (PAST_RESETS,)).fetchone()
    return dict(json.loads(row[0])) if row else {}


def put_past_reset(db: sqlite3.Connection, lora: str, now_ms: int) -> None:
    """Have pictures made before now tell nothing of a LoRA; of none where `lora` is empty."""
    value = json.dumps({**past_resets(db), lora: now_ms})
    db.execute("INSERT OR REPLACE INTO options VALUES (?, ?)", (PAST_RESETS, value))
    bump(db)


def is_set(db: sqlite3.Connection, switch: Switch) -> bool:
    """Return whether the user set this."""
    row = db.execute("SELECT value FROM options WHERE name = ?", (switch,)).fetchone()
    return row is not None and bool(json.loads(row[0]))


def put_switch(db: sqlite3.Connection, switch: Switch, value: bool) -> None:
    """Store the user's word."""
    if value != is_set(db, switch):
        db.execute("INSERT OR REPLACE INTO options VALUES (?, ?)", (switch, json.dumps(value)))
        bump(db)
