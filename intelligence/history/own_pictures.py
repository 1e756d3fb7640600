"""`PictureHistory`: the switch, the reading, and what follows from the pictures that the user made before."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config import HistorySettings, data_folder, require
from ..errors import StorageError
from ..given_files import expanded, is_folder
from ..models.kinds import ExamplePrompt
from ..models.name_patterns import plain_name
from ..pictures.picture_info import OWN_PROGRAM
from ..records import Record
from .history_reading import Cancelled, HistoryReport, Progress, ReadingPace, read_pictures
from .history_store import HistoryStore, State
from .own_use import CheckpointUse, Listed, NamedModels, OwnUse, checkpoint_uses, own_examples, own_use, with_ids
from .past_pictures import PastPicture, marked

HISTORY_FILE = "history.db"
_OFF = State(-1, None, (), None)
"""Of a store that cannot be read."""


@dataclass(frozen=True)
class HistoryStatus(Record):
    """The switch, and what was read."""

    on: bool = False
    asked: bool = False
    """True where the user or the configuration said yes or no."""
    folders: tuple[str, ...] = ()
    """Folders that the user named, beside the host's output folder."""
    told: int = 0
    """Pictures that tell how they were made."""
    silent: int = 0
    """Pictures that tell nothing."""
    skipped: int = 0
    """Files that could not be read."""
    read_at: float | None = None
    """Seconds since 1970; None: not yet."""
    problem: str | None = None
    """Why history.db cannot be used."""


class PictureHistory:
    """The pictures that the user made before, in history.db; off until switched on, and nothing leaves this machine.

    Every method may be called from any thread. A store that cannot be read counts as an empty one, except where
    something is to be stored or forgotten: then StorageError is raised.

    Args:
        db_path: None: history.db in the data folder. It is made when the history is switched on.
        settings: configuration, which counts before the user's switch.
    """

    def __init__(self, db_path: str | Path | None = None, settings: HistorySettings | None = None) -> None:
        self.store = HistoryStore(Path(db_path) if db_path is not None else data_folder() / HISTORY_FILE)
        self.settings = settings or HistorySettings()
        self._lock = threading.Lock()
        self._marked: tuple[int, list[PastPicture]] = (-2, [])

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self.store.close()

    @property
    def on(self) -> bool:
        """True where pictures may be read, and what they told is used."""
        return self._is_on(self._state())

    @property
    def revision(self) -> int:
        """Changes whenever another choice may follow from the pictures; 0 while the history is off."""
        state = self._state()
        return state.revision if self._is_on(state) else 0

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that the user and the configuration name."""
        return tuple(Path(folder) for folder in dict.fromkeys((*self.settings.folders, *self._state().folders)))

    def status(self) -> HistoryStatus:
        """Return the switch, and the numbers of pictures."""
        try:
            state, (told, silent, skipped) = self.store.state(), self.store.counts()
        except StorageError as error:
            return HistoryStatus(problem=str(error))
        on = self._is_on(state)
        asked = state.switched_on is not None or self.settings.read is not None
        return HistoryStatus(on, asked, tuple(map(str, self.folders)), told, silent, skipped, state.read_at)

    def switch(self, on: bool, folders: Sequence[str | Path] | None = None) -> None:
        """Switch the history on or off, and name folders beside the host's own (None: those of before).

        Off, nothing is read or used, and what was read stays until `forget`. Raises InvalidInputError for a folder
        that is not there, and where the configuration says otherwise.
        """
        wanted = self.settings.read
        require(
            wanted in (None, on), f"config.json says that pictures are {'' if wanted else 'not '}read; change it there"
        )
        named = self._state().folders if folders is None else [str(expanded(folder)) for folder in folders]
        for folder in named if folders is not None else ():
            there = Path(folder).is_absolute() and is_folder(folder)
            require(there, f"{folder[:200]!r} is no folder; give its full path")
        self.store.switch(on, named)

    def read(
        self,
        folders: Iterable[Path] = (),
        pace: ReadingPace | None = None,
        on_progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> HistoryReport:
        """Read new and changed pictures under `folders` and under those that the user named.

        Pictures of no longer named folders are forgotten. Raises InvalidInputError while the history is off, and
        StorageError.
        """
        require(self.on, "the history of pictures is off; switch it on first: python -m intelligence history on")
        named = dict.fromkeys(Path(folder).absolute() for folder in (*folders, *self.folders))
        return read_pictures(self.store, list(named), pace or ReadingPace(), on_progress, cancelled)

    def forget(self, prompt: str | None = None) -> int:
        """Forget what all pictures told, or those with this prompt. Returns their number; the pictures stay."""
        return self.store.forget(prompt) if self.store.path.exists() else 0

    def keep_prompts(self, keep: bool) -> None:
        """Take the words of prompts out of what was read; kept again, the next `read` brings them back."""
        if self.store.path.exists():
            self.store.keep_prompts(keep)

    def pictures(
        self, loras: Iterable[Listed] | None = None, moves: Mapping[str, str] | None = None
    ) -> list[PastPicture]:
        """Return the pictures that tell how they were made, oldest first, with marks and signals; none while it is off.

        Args:
            loras: the library's, by whose ids LoRAs are then named; others keep the name that the picture gives them.
            moves: earlier id → present id, as `ModelRegistry.moves` returns them.
        """
        found = self._pictures()
        if loras is None:
            return list(found)
        names = NamedModels(loras, moves)
        return [with_ids(picture, names) for picture in found]

    def examples(
        self, loras: Iterable[Listed], moves: Mapping[str, str] | None = None
    ) -> dict[str, tuple[ExamplePrompt, ...]]:
        """Return model id → the user's own prompts and strengths with a LoRA, see `own_examples`."""
        found = self._pictures()
        return own_examples(found, NamedModels(loras, moves)) if found else {}

    def checkpoints(self) -> tuple[CheckpointUse, ...]:
        """Return the checkpoints that the user used, with the usual settings of each, the most used first."""
        return checkpoint_uses(self._pictures())

    def usual_settings(self, checkpoint: str) -> CheckpointUse | None:
        """Return the user's usual settings with a checkpoint, by its file's name; None: no picture has it.

        Pictures of this pack do not count: their settings were its own choice, and would confirm themselves.
        """
        name = plain_name(checkpoint)
        found = [
            picture
            for picture in self._pictures()
            if picture.program != OWN_PROGRAM and picture.checkpoint and plain_name(picture.checkpoint) == name
        ]
        return next(iter(checkpoint_uses(found)), None)

    def use(self, loras: Iterable[Listed], moves: Mapping[str, str] | None = None) -> OwnUse:
        """Return how often LoRAs, pairs of them and checkpoints were used."""
        return own_use(self._pictures(), NamedModels(loras, moves))

    def _pictures(self) -> list[PastPicture]:
        state = self._state()
        if not self._is_on(state):
            return []
        with self._lock:
            if self._marked[0] != state.revision:
                try:
                    self._marked = state.revision, marked(self.store.pictures())
                except StorageError:
                    return []
            return self._marked[1]

    def _is_on(self, state: State) -> bool:
        return bool(state.switched_on if self.settings.read is None else self.settings.read)

    def _state(self) -> State:
        try:
            return self.store.state()
        except StorageError:
            return _OFF
