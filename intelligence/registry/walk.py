"""Walking model folders: model files, their sizes and times, and the sidecars beside them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..given_files import is_folder
from ..models.kinds import ModelKind
from ..models.name_patterns import SAFETENSORS_SUFFIXES
from .sidecars import find_sidecars

PICKLED_SUFFIXES = (".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl")
_MODEL_SUFFIXES = (*SAFETENSORS_SUFFIXES, *PICKLED_SUFFIXES)

MAX_FOLDER_NAMES = 16
"""Names under which one folder is listed, where several links lead to it."""

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
    """Find the model files under `folders`, through links and junctions, as ComfyUI does; links back end the way."""
    found = Walk()
    for kind, roots in folders.items():
        for root in roots:
            if is_folder(root):
                _RootWalk(found, kind, str(root)).run()
            else:
                found.problems[str(root)] = "no such folder"
    return found


def encodable(name: str) -> str:
    """Return a file name that is not valid UTF-8 with its odd bytes escaped: JSON and SQLite take no surrogates."""
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


class _Folder(NamedTuple):
    """A folder to walk, and the folders that it was reached through."""

    path: str
    prefix: str
    """Of the ids of its models."""
    real: str
    above: _Folder | None

    def inside(self, name: str) -> str:
        """Return the real path of an entry that is no link."""
        return f"{self.real}{os.sep}{name}"

    def lies_in(self, real: str) -> bool:
        """Return True if `real` is this folder's real path, or that of a folder it was reached through."""
        folder: _Folder | None = self
        while folder is not None:
            if folder.real == real:
                return True
            folder = folder.above
        return False


class _RootWalk:
    def __init__(self, found: Walk, kind: ModelKind, root: str) -> None:
        self.found = found
        self.kind = kind
        self.root = root
        self.pending = [_Folder(root, f"{kind}:", os.path.realpath(root), None)]
        self.linked: Counter[str] = Counter()
        """Real path → number of links that lead to it."""
        self.targets: dict[str, dict[str, dict[str, os.DirEntry[str]]]] = {}
        """Real folder that links to single files lead to → the sidecars of each model there."""

    def run(self) -> None:
        while self.pending:
            folder = self.pending.pop()
            try:
                entries = {entry.name: entry for entry in _listing(folder.path)}
            except OSError as error:
                self._note(folder.path, error)
            else:
                self._add_folder(folder, entries)

    def _add_folder(self, folder: _Folder, entries: Entries) -> None:
        models = []
        for name, entry in entries.items():
            try:
                if self._is_model(folder, entry):
                    models.append(name)
            except OSError as error:
                self._note(entry.path, error)
        for name, sidecars in find_sidecars(models, entries).items():
            model_id = f"{folder.prefix}{encodable(name)}"
            if model_id not in self.found.files:
                try:
                    self.found.files[model_id] = self._file(model_id, folder, entries, name, sidecars)
                except OSError as error:
                    self._note(entries[name].path, error)

    def _is_model(self, folder: _Folder, entry: os.DirEntry[str]) -> bool:
        """Return True if the entry is a model file; a folder is walked later. Raises OSError for a link to nowhere."""
        if entry.name.startswith("."):
            return False
        named_model = entry.name.lower().endswith(_MODEL_SUFFIXES)
        if entry.is_dir():
            self._add_pending(folder, entry)
            return False
        if named_model and entry.is_symlink():
            Path(entry.path).stat()
        return named_model and entry.is_file()

    def _add_pending(self, folder: _Folder, entry: os.DirEntry[str]) -> None:
        real = own = folder.inside(entry.name)
        if entry.is_symlink() or os.name == "nt":  # junctions of Windows are no symbolic links
            real = os.path.realpath(entry.path, strict=True)
        if real != own:
            self.linked[real] += 1
            if self.linked[real] > MAX_FOLDER_NAMES:
                self.found.problems[encodable(entry.path)] = (
                    f"one of over {MAX_FOLDER_NAMES} links to {encodable(real)}"
                )
                return
        if folder.lies_in(real):
            self.found.problems[encodable(entry.path)] = "a link back to a folder above it; not followed again"
            return
        self.pending.append(_Folder(entry.path, f"{folder.prefix}{encodable(entry.name)}/", real, folder))

    def _file(
        self, model_id: str, folder: _Folder, entries: Entries, name: str, sidecars: Mapping[str, str]
    ) -> FoundFile:
        entry = entries[name]
        real = os.path.realpath(entry.path) if entry.is_symlink() else folder.inside(name)
        beside = {suffix: entries[sidecar] for suffix, sidecar in sidecars.items()}
        if entry.is_symlink():
            beside = self._beside_target(real) | beside
        paths, marks = {}, []
        for suffix, sidecar in beside.items():
            try:
                if self._may_read(sidecar, real) and sidecar.is_file():
                    stat = sidecar.stat()
                    paths[suffix] = sidecar.path
                    marks.append(f"{encodable(sidecar.name)}:{stat.st_size}:{stat.st_mtime_ns}")
            except OSError as error:
                self._note(sidecar.path, error)
        stat = entry.stat()
        stamp = (stat.st_size, stat.st_mtime_ns, "|".join(marks))
        return FoundFile(model_id, self.kind, self.root, entry.path, stamp, paths)

    def _beside_target(self, real: str) -> dict[str, os.DirEntry[str]]:
        """Return the sidecars beside the file that a link leads to."""
        folder, name = os.path.split(real)
        if folder not in self.targets:
            entries = {entry.name: entry for entry in _listing(folder)}
            models = [other for other in entries if other.lower().endswith(_MODEL_SUFFIXES)]
            self.targets[folder] = {
                model: {suffix: entries[sidecar] for suffix, sidecar in sidecars.items()}
                for model, sidecars in find_sidecars(models, entries).items()
            }
        return self.targets[folder].get(name, {})

    def _may_read(self, sidecar: os.DirEntry[str], real: str) -> bool:
        """Return True if the sidecar is a file, or a link to one beside the model's own file.

        A link to elsewhere could show any file of this machine as a description. Raises OSError for a link to nowhere.
        """
        if not sidecar.is_symlink():
            return True
        if Path(os.path.realpath(sidecar.path, strict=True)).parent == Path(real).parent:
            return True
        self.found.problems[encodable(sidecar.path)] = "a link out of its model's folder; not read"
        return False

    def _note(self, path: str, error: OSError) -> None:
        self.found.problems[encodable(path)] = f"cannot be read: {error.strerror}"


def _listing(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as listing:
        return sorted(listing, key=lambda entry: entry.name)
