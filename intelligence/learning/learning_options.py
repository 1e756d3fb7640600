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


def is_set(db: sqlite3.Connection, switch: Switch) -> bool:
    """Return whether the user set this."""
    row = db.execute("SELECT value FROM options WHERE name = ?", (switch,)).fetchone()
    return row is not None and bool(json.loads(row[0]))


def put_switch(db: sqlite3.Connection, switch: Switch, value: bool) -> None:
    """Store the user's word."""
    if value != is_set(db, switch):
        db.execute("INSERT OR REPLACE INTO options VALUES (?, ?)", (switch, json.dumps(value)))
        bump(db)
