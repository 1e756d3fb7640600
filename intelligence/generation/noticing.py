"""Acts of the user that hosts see: told to the learning store, and never worth an error."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import StorageError, UnknownGenerationError
from ..learning import LearningEngine
from ..learning.observations import Evidence
from ..pictures.look import Look


def note_act(
    learning: LearningEngine,
    identifier: str,
    evidence: Evidence,
    slot: int | None = None,
    looks: Sequence[Look | None] = (),
) -> bool:
    """Store an act, see `SignalStore.note`. Returns whether it was; False also where the store cannot be used."""
    try:
        return learning.signals.note(identifier, evidence, slot, looks)
    except (StorageError, UnknownGenerationError):
        return False


def note_saved(learning: LearningEngine, generation_id: str, image_ids: tuple[str, ...], saved: set[int]) -> None:
    """Store which images of a generation were saved: all at once where they all were."""
    if len(saved) == len(image_ids):
        note_act(learning, generation_id, Evidence.SAVED)
        return
    for index in sorted(saved):
        note_act(learning, image_ids[index], Evidence.SAVED)
