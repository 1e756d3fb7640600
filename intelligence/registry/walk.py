"""Walking model folders: model files, their sizes and times, and the sidecars beside them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..models.kinds import ModelKind
from .sidecars import find_sidecars

PICKLED_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
_MODEL_SUFFIXES = (".safetensors", *PICKLED_SUFFIXES)

Stamp = tuple[int, int, str]
"""(size, mtime in ns, the same of every sidecar): a file with an equal stamp is not read again."""

Entries = Mapping[str, os.DirEntry[str]]


class FoundFile(NamedTuple):
    """A model file under one of the scanned roots."""

    model_id: str
    kind: ModelKind
    root: str
    path: str
    stamp: Stamp
    sidecars: dict[str, str]
    """Suffix → path."""


@dataclass
class Walk:
    """Everything under the scanned roots."""

    files: dict[str, FoundFile] = field(default_factory=dict)
    """By model id; of two roots that hold the same relative path the first one wins, as in ComfyUI."""
    problems: dict[str, str] = field(default_factory=dict)
    """Path → why it was skipped."""


def walk(folders: Mapping[ModelKind, Sequence[Path]]) -> Walk:
    """Find the model files under `folders`; links that leave their root or lead to a folder seen before are skipped."""
    found = Walk()
    for kind, roots in folders.items():
        for root in roots:
            if root.is_dir():
                _RootWalk(found, kind, str(root)).run()
            else:
                found.problems[str(root)] = "no such folder"
    return found


def encodable(name: str) -> str:
    """Return a file name that is not valid UTF-8 with its odd bytes escaped: JSON and SQLite take no surrogates."""
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


class _RootWalk:
    def __init__(self, found: Walk, kind: ModelKind, root: str) -> None:
        self.found = found
        self.kind = kind
        self.root = root
        self.real_root = os.path.realpath(root)
        self.seen = {self.real_root}
        self.pending = [(root, f"{kind}:")]

    def run(self) -> None:
        while self.pending:
            folder, prefix = self.pending.pop()
            try:
                with os.scandir(folder) as listing:
                    entries = {entry.name: entry for entry in sorted(listing, key=lambda entry: entry.name)}
            except OSError as error:
                self._note(folder, error)
            else:
                self._add_folder(entries, prefix)

    def _add_folder(self, entries: Entries, prefix: str) -> None:
        models = []
        for name, entry in entries.items():
            try:
                if self._is_model(entry, prefix):
                    models.append(name)
            except OSError as error:
                self._note(entry.path, error)
        for name, sidecars in find_sidecars(models, entries).items():
            model_id = f"{prefix}{encodable(name)}"
            if model_id not in self.found.files:
                try:
                    self.found.files[model_id] = self._file(model_id, entries, name, sidecars)
                except OSError as error:
                    self._note(entries[name].path, error)

    def _is_model(self, entry: os.DirEntry[str], prefix: str) -> bool:
        """Return True if the entry is a model file; a folder is walked later."""
        named_model, is_folder = entry.name.lower().endswith(_MODEL_SUFFIXES), entry.is_dir()
        if (named_model or is_folder) and not self._allowed(entry, self.seen if is_folder else set()):
            return False
        if is_folder:
            real = os.path.realpath(entry.path)
            if not entry.name.startswith(".") and real not in self.seen:
                self.seen.add(real)
                self.pending.append((entry.path, f"{prefix}{encodable(entry.name)}/"))
            return False
        return named_model and not entry.name.startswith(".") and entry.is_file()

    def _file(self, model_id: str, entries: Entries, name: str, sidecars: Mapping[str, str]) -> FoundFile:
        paths, marks = {}, []
        for suffix, sidecar in sidecars.items():
            entry = entries[sidecar]
            try:
                if self._allowed(entry, set()) and entry.is_file():
                    stat = entry.stat()
                    paths[suffix] = entry.path
                    marks.append(f"{encodable(sidecar)}:{stat.st_size}:{stat.st_mtime_ns}")
            except OSError as error:
                self._note(entry.path, error)
        stat = entries[name].stat()
        stamp = (stat.st_size, stat.st_mtime_ns, "|".join(marks))
        return FoundFile(model_id, self.kind, self.root, entries[name].path, stamp, paths)

    def _allowed(self, entry: os.DirEntry[str], seen: set[str]) -> bool:
        """Return True if the entry may be read: a link must stay in the root and lead to no folder seen before.

        Raises OSError for a link that loops or leads nowhere.
        """
        if not entry.is_symlink():
            return True
        target = os.path.realpath(entry.path, strict=True)
        if not Path(target).is_relative_to(self.real_root):
            reason = "a link out of its model folder; skipped"
        elif target in seen:
            reason = "a link back to a folder already scanned; skipped"
        else:
            return True
        self.found.problems[encodable(entry.path)] = reason
        return False

    def _note(self, path: str, error: OSError) -> None:
        self.found.problems[encodable(path)] = f"cannot be read: {error.strerror}"
