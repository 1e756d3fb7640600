"""Walking model folders and reading what is new in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ..records import Record
from .describe import describe
from .metadata import ModelKind, ModelMetadata
from .sidecars import find_sidecars

PICKLED = (".ckpt", ".pt", ".pth", ".bin", ".pkl")

READERS = 4
"""Threads that read headers: enough to hide a slow disk; the parsing itself holds the interpreter's lock."""

Stamp = tuple[int, int, str]
"""(size, mtime in ns, the same of every sidecar): equal stamps mean that nothing has to be read again."""


@dataclass(frozen=True)
class ScanReport(Record):
    """What a scan found."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    """Path → why it was skipped or cannot be used."""
    seconds: float = 0.0


@dataclass(frozen=True)
class FoundFile:
    """A model file under one of the scanned roots."""

    model_id: str
    kind: ModelKind
    root: str
    path: Path
    stamp: Stamp
    sidecars: dict[str, Path]


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
                _walk_root(result, kind, root)
            else:
                result.problems[str(root)] = "no such folder"
    return result


def _walk_root(result: Walk, kind: ModelKind, root: Path) -> None:
    real_root = root.resolve()
    seen = {real_root}
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder) as listing:
                entries = {entry.name: entry for entry in sorted(listing, key=lambda entry: entry.name)}
        except OSError as error:
            result.problems[str(folder)] = f"cannot be read: {error.strerror}"
            continue
        for name, entry in entries.items():
            is_model = name.lower().endswith((".safetensors", *PICKLED))
            try:
                if entry.is_symlink() and (is_model or entry.is_dir()):
                    target = Path(entry.path).resolve(strict=True)
                    if not target.is_relative_to(real_root):
                        result.problems[entry.path] = "a link out of its model folder; skipped"
                        continue
                    if entry.is_dir() and target in seen:
                        result.problems[entry.path] = "a link back to a folder already scanned; skipped"
                        continue
                if entry.is_dir():
                    real = Path(entry.path).resolve()
                    if not name.startswith(".") and real not in seen:
                        seen.add(real)
                        pending.append(Path(entry.path))
                elif is_model and entry.is_file() and not name.startswith("."):
                    found = _found(kind, root, entry, entries)
                    result.files.setdefault(found.model_id, found)
            except (OSError, RuntimeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "a loop of links"
                result.problems[entry.path] = f"cannot be read: {reason}"


def _found(kind: ModelKind, root: Path, entry: os.DirEntry[str], entries: Mapping[str, os.DirEntry[str]]) -> FoundFile:
    relative = os.path.relpath(entry.path, root).replace(os.sep, "/")
    sidecars = find_sidecars(entry.name, entries)
    beside = []
    for name in sidecars.values():
        stat = entries[name].stat()
        beside.append(f"{name}:{stat.st_size}:{stat.st_mtime_ns}")
    stat = entry.stat()
    return FoundFile(
        model_id=f"{kind}:{_encodable(relative)}",
        kind=kind,
        root=str(root),
        path=Path(entry.path),
        stamp=(stat.st_size, stat.st_mtime_ns, _encodable("|".join(beside))),
        sidecars={suffix: Path(entries[name].path) for suffix, name in sidecars.items()},
    )


def _encodable(name: str) -> str:
    """File names that are no valid UTF-8 hold surrogates, which neither JSON nor SQLite takes."""
    return name.encode("utf-8", "backslashreplace").decode()


def read_files(
    files: Iterable[FoundFile],
    hub: Mapping[str, ModelMetadata],
    on_progress: Callable[[int, int], None] | None = None,
) -> Iterator[ModelMetadata]:
    """The records of `files`, in their order, each as soon as it is read.

    Args:
        hub: path → what a hub said of a file that was downloaded from it.
        on_progress: called with (files read, files to read).
    """
    found = list(files)

    def read(file: FoundFile) -> ModelMetadata:
        if file.path.suffix.lower() in PICKLED:
            return _pickled(file)
        if _encodable(str(file.path)) != str(file.path):
            return _unusable(file, "its name is not valid UTF-8; rename it")
        return describe(file.path, file.model_id, file.kind, file.sidecars, hub.get(str(file.path)))

    with ThreadPoolExecutor(READERS, thread_name_prefix="registry-scan") as pool:
        for done, record in enumerate(pool.map(read, found), 1):
            if on_progress:
                on_progress(done, len(found))
            yield record


def _pickled(file: FoundFile) -> ModelMetadata:
    return _unusable(file, "a pickled file can run code when loaded; it is never opened. Use its .safetensors version")


def _unusable(file: FoundFile, reason: str) -> ModelMetadata:
    name = _encodable(file.path.name)
    return ModelMetadata(
        model_id=file.model_id,
        name=_encodable(file.path.stem),
        kind=file.kind,
        local_path=_encodable(str(file.path)),
        size_bytes=file.stamp[0],
        problem=f"{name}: {reason}",
    )
