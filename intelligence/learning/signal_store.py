"""`SignalStore`: acts of the user beside stars, noticed, shown and taken back."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config import require
from ..database import Database, recovering
from ..pictures.look import Look
from ..records import Record
from ..validation import checked
from . import signal_rows
from .generation_rows import MAX_LISTED, Place, iso_time, places, rated_place, shown_id
from .learning_options import Switch, is_set, put_switch
from .observations import Evidence, Observation, Picture
from .preferences import PictureRating
from .rating_rows import bump
from .signals import PASSIVE, Signal, observations

MAX_RIVALS = 8
"""Pictures of one run that a pick is compared with."""
LIKED = 4
"""Stars from which a picture is one that a user tried again for."""
NOTED = (Evidence.PICKED, Evidence.SAVED, Evidence.SCOUTED)
"""Acts that are told by whoever sees them; the others show in the generations."""

Pictures = Callable[[sqlite3.Connection, Place], tuple[Picture, Mapping[str, str]]]
"""Reads an image, or a generation, as the value model does, with the ids that its LoRAs have now."""


@dataclass(frozen=True)
class Noticed(Record):
    """An act of the user that counts."""

    number: int
    """By which it is taken back."""
    kind: str
    """A value of `Evidence`."""
    generation_id: str
    subject: str = ""
    """Model id of the LoRA, or name of the setting."""
    offered: Any = None
    """JSON of what was suggested: strength and confidence of the LoRA, the setting's value, or the looks of what was
    scouted."""
    slot: int = 0
    """Place in what was offered, from 0."""
    propensity: float = 1.0
    """Probability that it was offered there, or picked by chance, 0 … 1."""
    noticed_at: str = ""
    """ISO 8601, UTC."""


@recovering
class SignalStore:
    """Acts beside stars, in learning.db: what was changed of the suggestions, picked, saved, tried again.

    Every method raises StorageError, naming the file and the remedy, if the database cannot be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def on(self) -> bool:
        """True where acts are noticed, and count. Switched off, those of before are kept and count no longer."""
        with self._database.read() as db:
            return not is_set(db, Switch.NO_SIGNALS)

    @on.setter
    def on(self, value: bool) -> None:
        with self._database.transaction() as db:
            put_switch(db, Switch.NO_SIGNALS, not value)

    def note(
        self, identifier: str, evidence: Evidence, slot: int | None = None, looks: Sequence[Look | None] = ()
    ) -> bool:
        """Store that an image was picked, saved or finished after scouting. Returns whether that tells anything new.

        Of an image that is the only one of its run nothing is stored: no other was turned down. A pick takes the place
        of the one before in the same run.

        Args:
            identifier: id of an image, a generation or a run.
            slot: place among those to choose from, from 0; None: that in its run.
            looks: of those to choose from, None: not known; empty: they are the images of its run.

        Raises UnknownGenerationError.
        """
        require(evidence in NOTED, f"{evidence} shows in the generations, and is not told")
        with self._database.read() as db:
            found = rated_place(db, places(db, identifier)[-1])
            place, images = signal_rows.place_in_run(db, found)
            total = len(looks) or images
            if total < 2 or is_set(db, Switch.NO_SIGNALS):
                return False
        with self._database.transaction() as db:
            if evidence is Evidence.PICKED:
                signal_rows.forget_other_picks(db, found)
            offered = {"looks": looks} if looks and None not in looks else None
            signal = Signal(evidence, "", offered, place if slot is None else slot, round(1 / total, 4))
            stored = signal_rows.put(db, found, signal, _now())
            if stored:
                bump(db)
            return stored

    def note_made(self, generation_id: str, data: dict[str, Any]) -> int:
        """Store the acts that a generation made here and now shows. Returns how many tell anything new.

        Args:
            generation_id: of a stored one.
            data: JSON of the `Generation`, whole.
        """
        now = _now()
        with self._database.read() as db:
            if is_set(db, Switch.NO_SIGNALS):
                return 0
            key = places(db, generation_id)[-1].key
            found, swept = signal_rows.acts(db, key, data, now), signal_rows.swept(db, key, data)
        if not found and not swept:
            return 0
        with self._database.transaction() as db:
            forgotten = signal_rows.forget(db, swept)
            stored = sum(signal_rows.put(db, *one, now) for one in found)
            if stored or forgotten:
                bump(db)
            return stored

    def shown(self, limit: int = 50) -> list[Noticed]:
        """Return the newest acts that count, newest first. Raises InvalidInputError for a limit below 1."""
        limit = checked("limit", limit, int, ge=1, le=MAX_LISTED)
        with self._database.read() as db:
            return [_shown(db, row) for row in signal_rows.shown(db, limit)]

    def drop(self, numbers: Iterable[int] | None = None) -> int:
        """Take acts back, by their numbers (None: all): they count no longer. Returns how many did."""
        with self._database.transaction() as db:
            dropped = signal_rows.drop(db, numbers)
            if dropped:
                bump(db)
            return dropped


def noticed(
    db: sqlite3.Connection, picture_of: Pictures, moves: Mapping[str, str], rated: Sequence[PictureRating]
) -> list[Observation]:
    """Return what acts tell of taste, oldest first; nothing where they are switched off.

    Args:
        moves: see `PictureRating.picture`.
        rated: pictures with stars, oldest first: without any, acts that may mean nothing do not count.
    """
    if is_set(db, Switch.NO_SIGNALS):
        return []
    found: list[Observation] = []
    for row in signal_rows.newest(db):
        if row.evidence in PASSIVE and not rated:
            continue
        others = []
        if row.evidence in (Evidence.PICKED, Evidence.SAVED):
            others = [picture_of(db, place)[0] for place in signal_rows.rivals(db, row)[:MAX_RIVALS]]
        elif row.evidence is Evidence.REROLLED:
            prompt = picture_of(db, Place(row.key))[0].prompt
            liked = [one for one in rated if one.rating >= LIKED and one.prompt.key == prompt.key][-1:]
            others = [one.picture(moves)._replace(look=None) for one in liked]
        picture, names = picture_of(db, Place(row.key, row.image))
        subject = names.get(row.subject) or moves.get(row.subject, row.subject)
        found += observations(Signal(row.evidence, subject, row.offered, row.slot), picture, others)
    return found


def _shown(db: sqlite3.Connection, row: signal_rows.SignalRow) -> Noticed:
    (stored,) = db.execute("SELECT id FROM generations WHERE key = ?", (row.key,)).fetchone()
    return Noticed(
        row.number,
        row.evidence.value,
        shown_id(stored),
        row.subject,
        row.offered,
        row.slot,
        row.propensity,
        iso_time(row.noted_ms),
    )


def _now() -> int:
    """Return milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000
