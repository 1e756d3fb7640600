"""Paths in sentences that are told over HTTP."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

from .server_planner import home


def without_folders(text: str) -> str:
    """Return a sentence whose paths begin in the data or the output folder: where these lie is nobody's business."""
    folders = (home(), Path(folder_paths.get_output_directory()))
    names = {str(form) for each in folders for form in (each, each.resolve())}
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name + os.sep, "").replace(name, Path(name).name)
    return text
