"""LoRAs that the user keeps together under a name, and those to use always."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from ..config import MAX_LORA_STRENGTH, require
from ..errors import StorageError
from ..prompt import LoRATag
from ..records import ValidatedRecord
from ..validation import bounds, read_user_file
from ..whole_files import write_whole
from .lora_messages import LoRAMessage

FILE = "lora_sets.json"
MAX_SETS = 500
MAX_LORAS = 64
MAX_NAME_CHARACTERS = 100


@dataclass(frozen=True)
class SetEntry(ValidatedRecord):
    """A LoRA at a strength."""

    lora: Annotated[str, bounds(min_length=1)]
    """ComfyUI's name of its file, or its file name."""
    strength: Annotated[float, bounds(ge=-MAX_LORA_STRENGTH, le=MAX_LORA_STRENGTH)] = 1.0


@dataclass(frozen=True)
class AlwaysUsed(SetEntry):
    """A LoRA that every choice starts with."""

    checkpoint: str = ""
    """File name of the only checkpoint that it is used with; empty: with every one."""


@dataclass(frozen=True)
class LoRASets(ValidatedRecord):
    """Content of `lora_sets.json` in the data folder."""

    sets: dict[str, tuple[SetEntry, ...]] = field(default_factory=dict)
    always: tuple[AlwaysUsed, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> LoRASets:
        """Return what lies in the folder, or nothing. Raises InvalidInputError for a file that cannot be read."""
        return read_user_file(folder / FILE, cls) or cls()

    def write(self, folder: Path) -> None:
        """Write the file whole. Raises StorageError."""
        text = json.dumps(self.to_dict(), ensure_ascii=False, indent=1)
        try:
            write_whole(folder / FILE, lambda file: file.write(text.encode()))
        except OSError as error:
            raise StorageError(f"{folder / FILE}: cannot be written ({error.strerror})") from None

    def with_set(self, name: str, loras: Iterable[Mapping[str, Any]] | None) -> LoRASets:
        """Return these with the set `name` of `{"lora": …, "strength": …}`; None: without it."""
        require(0 < len(name.strip()) <= MAX_NAME_CHARACTERS, LoRAMessage.SET_NAME.format(most=MAX_NAME_CHARACTERS))
        sets = {known: entries for known, entries in self.sets.items() if known != name.strip()}
        if loras is None:
            return replace(self, sets=sets)
        entries = tuple(SetEntry(str(entry.get("lora", "")), entry.get("strength", 1.0)) for entry in loras)
        require(0 < len(entries) <= MAX_LORAS, LoRAMessage.SET_SIZE.format(most=MAX_LORAS))
        require(len(sets) < MAX_SETS, LoRAMessage.TOO_MANY_SETS.format(most=MAX_SETS))
        return replace(self, sets={**sets, name.strip(): entries})

    def with_always(self, lora: str, strength: float | None, checkpoint: str = "") -> LoRASets:
        """Return these with `lora` used always at `strength`, with every checkpoint or one; None: no longer."""
        others = tuple(entry for entry in self.always if entry.lora != lora)
        if strength is None:
            return replace(self, always=others)
        require(len(others) < MAX_LORAS, LoRAMessage.TOO_MANY_ALWAYS.format(most=MAX_LORAS))
        return replace(self, always=(*others, AlwaysUsed(lora, strength, checkpoint)))

    def tags(self, checkpoint: str) -> tuple[LoRATag, ...]:
        """Return the LoRAs that are always used with this checkpoint's file."""
        used = (entry for entry in self.always if entry.checkpoint in ("", checkpoint))
        return tuple(LoRATag(entry.lora, entry.strength) for entry in used)
