"""Work with a hub: its results, progress, cancelling and retries."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..errors import HubError
from ..models.metadata import ModelMetadata
from ..records import Record

RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Waits before another try where the hub names none; there is one more try than waits."""
UNREACHABLE_TRIES = 3
"""Tries where no connection comes about, but of a download that goes on."""
MAX_RETRY_AFTER_SECONDS = 120.0
"""Longest wait that a hub may ask for; beyond it the caller gets an error that names the wait."""

_CANCEL_CHECK_SECONDS = 0.5

Result = TypeVar("Result")
Progress = Callable[[int, int | None], None]
"""Called with (done, in all or None)."""
Cancelled = Callable[[], bool]


class HubNotFoundError(HubError):
    """The hub has no such model or file."""


class HubCancelledError(HubError):
    """`cancelled` returned True; a download can be resumed where the source allows it."""


class TryAgainError(HubError):
    """A failure that may pass; `wait` is the number of seconds that the hub asks to wait, or None."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class UnreachableError(TryAgainError):
    """No connection to the hub comes about."""

    def __init__(self, where: str, error: Exception) -> None:
        super().__init__(f"{where} cannot be reached ({error or type(error).__name__}); check the connection")


@dataclass(frozen=True)
class Control:
    """A caller's callbacks for hub work, and its clock."""

    on_progress: Progress | None = None
    cancelled: Cancelled | None = None
    """Called between requests, between pieces of a body, and twice a second while waiting."""
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time
    """Seconds since 1970."""

    def report(self, done: int, total: int | None) -> None:
        """Report progress. Raises HubCancelledError."""
        if self.on_progress is not None:
            self.on_progress(done, total)
        self.check()

    def check(self) -> None:
        """Raise HubCancelledError when the caller has cancelled."""
        if self.cancelled is not None and self.cancelled():
            raise HubCancelledError("cancelled")

    def pause(self, seconds: float) -> None:
        """Wait. Raises HubCancelledError."""
        while seconds > 0:
            self.check()
            step = seconds if self.cancelled is None else min(seconds, _CANCEL_CHECK_SECONDS)
            self.sleep(step)
            seconds -= step
        self.check()

    def retry(self, attempt: Callable[[], Result], patient: bool = False) -> Result:
        """Return the result of `attempt`, called again while it raises TryAgainError, seven times at most.

        Where no connection comes about, three times, unless `patient`.
        """
        for number, seconds in enumerate(RETRY_SECONDS, 1):
            self.check()
            try:
                return attempt()
            except TryAgainError as error:
                if isinstance(error, UnreachableError) and not patient and number == UNREACHABLE_TRIES:
                    raise
                wait = seconds if error.wait is None else error.wait
                if wait > MAX_RETRY_AFTER_SECONDS:
                    raise HubError(f"{error}: it asks to wait {wait:.0f} seconds") from None
            self.pause(wait)
        return attempt()


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
