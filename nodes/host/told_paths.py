"""Paths in sentences that are told over HTTP and the websocket."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import folder_paths

from ...intelligence.errors import IntelligentGenerationError
from .server_planner import home


def without_folders(text: str) -> str:
    """Return a sentence that does not tell where ComfyUI's folders lie, which is nobody's business.

    Paths in the output folder begin there; in the data folder and all others, with the folder's own name.
    """
    outputs = _forms(folder_paths.get_output_directory())
    names = outputs.union(*map(_forms, _folders()))
    for name in sorted(names, key=len, reverse=True):
        own = Path(name).name
        text = text.replace(name + os.sep, "" if name in outputs else own + os.sep).replace(name, own)
    return text


@contextmanager
def errors_without_folders() -> Iterator[None]:
    """Tell the package's errors without folders; the server's log holds them whole."""
    try:
        yield
    except IntelligentGenerationError as error:
        told = without_folders(str(error))
        if told != str(error):
            logging.error("Intelligent Generation: %s", error)
            error.args = (told,)
        raise


def _folders() -> Iterator[str | Path]:
    yield home()
    yield from chain.from_iterable(each[0] for each in folder_paths.folder_names_and_paths.values())
    yield folder_paths.get_input_directory()
    yield folder_paths.get_temp_directory()
    yield folder_paths.get_user_directory()
    yield tempfile.gettempdir()


def _forms(folder: str | Path) -> set[str]:
    """Return the paths by which a folder is told; none of a root, which every path begins with."""
    return {str(form) for form in (Path(folder), Path(folder).resolve()) if form.is_absolute() and form.name}
