"""Checkpoints of this machine: the one that a workflow names, or the first in its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PureWindowsPath

import folder_paths

from ...intelligence.config import AUTO, EMBEDDED_MODEL
from ...intelligence.generation.generation_messages import GenerationMessage as Text
from ...intelligence.models import Architecture, ModelKind
from ...intelligence.records import Reason, Source
from .library_scan import refresh_library
from .server_planner import planner

SETTING = "checkpoint"


@dataclass(frozen=True)
class CheckpointChoice:
    """The checkpoint to load, by ComfyUI's name; `embedded`: the demo model."""

    name: str
    reason: Reason | None = None
    """None where it is the one that was named, or the first one as asked."""

    @property
    def is_demo(self) -> bool:
        return self.name == EMBEDDED_MODEL


def choose_checkpoint(named: str) -> CheckpointChoice:
    """Return the checkpoint `named`, wherever it lies; else, and for `auto`, the first that is here.

    SDXL and its family come first, then other networks that are known, then the rest; the demo model where there is
    none at all.
    """
    names = folder_paths.get_filename_list("checkpoints")
    found = next((name for name in names if name == named), None) or _same_file(named, names)
    if found:
        return CheckpointChoice(found)
    if not names:
        return CheckpointChoice(EMBEDDED_MODEL, Reason.of(SETTING, Source.DEFAULT, Text.NO_CHECKPOINT))
    refresh_library()
    known = {model.model_id.partition(":")[2]: model for model in planner().registry.summaries(ModelKind.CHECKPOINT)}

    def order(name: str) -> int:
        model = known.get(name.replace("\\", "/"))
        if model is None or model.architecture is Architecture.UNKNOWN:
            return 2
        return 0 if model.architecture is Architecture.SDXL else 1

    first = min(names, key=order)
    if named == AUTO:
        return CheckpointChoice(first)
    return CheckpointChoice(first, Reason.of(SETTING, Source.DEFAULT, Text.OTHER_CHECKPOINT, named=named, taken=first))


def _same_file(named: str, names: Iterable[str]) -> str | None:
    """Return the first of `names` with the same file name in another folder; upper and lower case count as one."""
    wanted = PureWindowsPath(named).name.lower()
    return next((name for name in names if PureWindowsPath(name).name.lower() == wanted), None)
