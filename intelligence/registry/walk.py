"""Walking model folders: which files lie there, how large and how new, and what lies beside them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..models.kinds import ModelKind
from .sidecars import find_sidecars

PICKLED = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
_MODELS = (".safetensors", *PICKLED)

Stamp = tuple[int, int, str]
"""(size, mtime in ns, the same of every sidecar): equal stamps mean that nothing has to be read again."""


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
    roots: list[tuple[ModelKind, str]] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


def walk(folders: Mapping[ModelKind, Sequence[Path]]) -> Walk:
    """The model files under `folders`; links that leave their root or lead to a folder already seen are skipped."""
    result = Walk()
    for kind, roots in folders.items():
        for root in roots:
            result.roots.append((kind, str(root)))
            if root.is_dir():
                _walk_root(result, kind, str(root))
            else:
                result.problems[str(root)] = "no such folder"
    return result


def encodable(name: str) -> str:
    """File names that are no valid UTF-8 hold surrogates, which neither JSON nor SQLite takes."""
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


def _walk_root(result: Walk, kind: ModelKind, root: str) -> None:
    real_root = os.path.realpath(root)
    seen = {real_root}
    pending = [(root, f"{kind}:")]
    while pending:
        folder, prefix = pending.pop()
        try:
            with os.scandir(folder) as listing:
                entries = {entry.name: entry for entry in sorted(listing, key=lambda entry: entry.name)}
        except OSError as error:
            result.problems[encodable(folder)] = f"cannot be read: {error.strerror}"
            continue
        models = []
        for name, entry in entries.items():
            is_model = name.lower().endswith(_MODELS)
            try:
                is_folder = entry.is_dir()
                if entry.is_symlink() and (is_model or is_folder):
                    reason = _refused(entry, real_root, seen if is_folder else set())
                    if reason:
                        result.problems[encodable(entry.path)] = reason
                        continue
                if is_folder:
                    real = os.path.realpath(entry.path)
                    if not name.startswith(".") and real not in seen:
                        seen.add(real)
                        pending.append((entry.path, f"{prefix}{encodable(name)}/"))
                elif is_model and not name.startswith(".") and entry.is_file():
                    models.append(name)
            except OSError as error:
                result.problems[encodable(entry.path)] = f"cannot be read: {error.strerror}"
        for name, sidecars in find_sidecars(models, entries).items():
            model_id = f"{prefix}{encodable(name)}"
            if model_id in result.files:
                continue
            try:
                result.files[model_id] = _found(result, model_id, kind, root, real_root, entries, name, sidecars)
            except OSError as error:
                result.problems[encodable(entries[name].path)] = f"cannot be read: {error.strerror}"


def _found(
    result: Walk,
    model_id: str,
    kind: ModelKind,
    root: str,
    real_root: str,
    entries: Mapping[str, os.DirEntry[str]],
    name: str,
    sidecars: Mapping[str, str],
) -> FoundFile:
    beside, marks = {}, []
    for suffix, other in sidecars.items():
        entry = entries[other]
        try:
            reason = _refused(entry, real_root, set()) if entry.is_symlink() else None
            if reason:
                result.problems[encodable(entry.path)] = reason
            elif entry.is_file():
                stat = entry.stat()
                beside[suffix] = entry.path
                marks.append(f"{encodable(other)}:{stat.st_size}:{stat.st_mtime_ns}")
        except OSError as error:
            result.problems[encodable(entry.path)] = f"cannot be read: {error.strerror}"
    stat = entries[name].stat()
    return FoundFile(
        model_id, kind, root, entries[name].path, (stat.st_size, stat.st_mtime_ns, "|".join(marks)), beside
    )


def _refused(link: os.DirEntry[str], real_root: str, seen: set[str]) -> str | None:
    """Why a link is not followed, or None. Raises OSError for a loop and for one that leads nowhere."""
    target = os.path.realpath(link.path, strict=True)
    if not Path(target).is_relative_to(real_root):
        return "a link out of its model folder; skipped"
    return "a link back to a folder already scanned; skipped" if target in seen else None
