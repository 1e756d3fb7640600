"""Files that MODELs are loaded from, in ComfyUI's folders."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import folder_paths

from ...intelligence.errors import UnsupportedModelError
from ...intelligence.models import ModelEvidence
from ...intelligence.models.header_facts import evidence_of_file

MODEL_FOLDERS = ("checkpoints", "diffusion_models", "unet_gguf")
"""ComfyUI's folders with files that a MODEL is loaded from; the last is ComfyUI-GGUF's."""


def model_path(name: str) -> str | None:
    """Return the file that a loader's widget names; None where there is none."""
    paths = (folder_paths.get_full_path(folder, name) for folder in _folders()) if name else ()
    return next(filter(None, paths), None)


def model_paths() -> Iterator[Path]:
    """Return all files that a MODEL can be loaded from."""
    for folder in _folders():
        for name in folder_paths.get_filename_list(folder):
            if found := folder_paths.get_full_path(folder, name):
                yield Path(found)


def header_evidence(path: str) -> ModelEvidence | None:
    """Return what the header and name of a file say of the model in it; None where it cannot be read."""
    try:
        return _header_evidence(path, Path(path).stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=8)
def _header_evidence(path: str, modified_ns: int) -> ModelEvidence | None:
    try:
        return evidence_of_file(Path(path))
    except UnsupportedModelError:
        return None


def _folders() -> list[str]:
    return [folder for folder in MODEL_FOLDERS if folder in folder_paths.folder_names_and_paths]
