"""Scanning model folders: only new and changed files are read, and moved ones are recognised; progress and status."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..errors import StorageError
from ..hubs.hub_work import Cancelled
from ..models.kinds import ModelKind
from ..models.metadata import ModelMetadata
from ..records import Record
from .describe import DESCRIBE_VERSION, describe
from .hashing import hash_file
from .model_rows import ModelRow, load, row_of
from .model_store import KnownFile, ModelStore, reasons_by_path
from .reader_processes import read_files
from .row_writes import ScannedFile, Words
from .user_corrections import CORRECTIONS_FILE
from .walk import FoundFile, Walk, walk

BATCH_SECONDS = 0.5
"""Time after which the files read so far are stored, and listed from then on."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ScanReport(Record):
    """The result of a scan."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    """Path → why it was skipped or cannot be used."""
    seconds: float = 0.0
    moved: int = 0
    """Number of added files that are known from another path, whose history they keep."""
    cancelled: bool = False
    """True where it was stopped: the files read until then are stored, and the next scan reads the others."""


@dataclass(frozen=True)
class RegistryStatus(Record):
    """Numbers of models in the registry, and the progress of its scan."""

    counts: dict[str, int] = field(default_factory=dict)
    """Model kind → present, usable models."""
    with_problems: int = 0
    absent: int = 0
    """Models whose files are no longer there."""
    unhashed: int = 0
    """Files without a known SHA-256."""
    scanning: bool = False
    done: int = 0
    """Files that the running scan has read."""
    total: int = 0
    """Files that the running scan has to read; 0 while it still walks the folders."""
    errors: dict[str, str] = field(default_factory=dict)
    """Path → why it was skipped or cannot be used."""
    revision: int = 0


class ScanProgress:
    """The progress of the scans that run in this process; safe for several threads."""

    def __init__(self) -> None:
        self.done = 0
        self.total = 0
        self.scans = 0
        self.problems: dict[str, str] = {}
        """Path → why the last scan skipped it or it cannot be used."""
        self._lock = threading.Lock()

    @contextmanager
    def following(self, on_progress: Progress | None) -> Iterator[Progress]:
        """Yield the callback of one scan, which passes (done, total) on to `on_progress`."""

        def report(done: int, total: int) -> None:
            self.done, self.total = done, total
            if on_progress:
                on_progress(done, total)

        with self._lock:
            self.scans += 1
        try:
            yield report
        finally:
            with self._lock:
                self.scans -= 1
                if not self.scans:
                    self.done = self.total = 0


def registry_status(store: ModelStore, progress: ScanProgress) -> RegistryStatus:
    """Return the numbers of models in `store`, and the progress of running scans."""
    counts = dict.fromkeys(map(str, ModelKind), 0)
    with_problems = absent = 0
    for kind, present, usable, number in store.counts():
        if present and usable:
            counts[kind] += number
        with_problems += number * (present and not usable)
        absent += number * (not present)
    return RegistryStatus(
        counts=counts,
        with_problems=with_problems,
        absent=absent,
        unhashed=store.count_unhashed(),
        scanning=progress.scans > 0,
        done=progress.done,
        total=progress.total,
        errors={**progress.problems, **store.problems()},
        revision=store.revision(),
    )


class _Differences(NamedTuple):
    fresh: list[FoundFile]
    """New, changed, or read by an older version."""
    back: list[str]
    """Ids of unchanged files that had been marked absent."""
    gone: set[str]
    unchanged: int
    problems: dict[str, str]


def scan(
    store: ModelStore,
    folders: Mapping[ModelKind, Sequence[Path]],
    on_progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> ScanReport:
    started = time.monotonic()
    known = store.known_files()  # before the walk: a file that another process adds meanwhile is not taken for gone
    found = walk(folders)
    fresh, back, gone, unchanged, problems = _compare(folders, found, known)
    words = _words(store, problems)
    store.apply_words(words)
    store.apply_scan((), back, gone, words)

    away = {model_id: file for model_id, file in known.items() if model_id in gone or not file.present}
    absent = _AbsentFiles(store, away, found.files)
    sizes = {file.local_path: file.stamp[0] for file in away.values()} | {file.path: file.stamp[0] for file in fresh}
    facts = store.hubs.hub_facts(sizes) if fresh else {}
    added, changed, done = len(back), 0, 0
    batch: list[ScannedFile] = []
    replaced: dict[str, str] = {}
    stored_at = time.monotonic()
    reading = read_files(fresh, facts, cancelled)
    try:
        for file, row in reading:
            before = known.get(file.model_id)
            previous_id = absent.match(file, row) if before is None else None
            if previous_id and (moved_facts := facts.get(known[previous_id].local_path)):
                row = row_of(describe(file, moved_facts))
            batch.append(ScannedFile(file.model_id, row, file.root, file.stamp, previous_id))
            done += 1
            is_change = before is not None and before.present
            if before and before.digest and row.digest not in (None, before.digest):
                replaced[file.model_id] = before.digest
            changed += is_change
            added += not is_change
            if row.problem:
                problems[row.local_path] = row.problem
            if on_progress:
                on_progress(done, len(fresh))
            if time.monotonic() - stored_at > BATCH_SECONDS:
                store.apply_scan(batch, words=words)
                batch, stored_at = [], time.monotonic()
    finally:
        reading.close()
        store.apply_scan(batch, words=words)
        store.leave_words(replaced, words)
    return ScanReport(
        added=added,
        changed=changed,
        removed=len(gone),
        unchanged=unchanged,
        problems=reasons_by_path(problems.items()),
        seconds=round(time.monotonic() - started, 3),
        moved=absent.matched,
        cancelled=done < len(fresh),
    )


def _words(store: ModelStore, problems: dict[str, str]) -> Words:
    """Return the user's corrections; none, with the problem, where they cannot be read."""
    file, database = str(store.path.with_name(CORRECTIONS_FILE)), store.corrections.database
    try:
        words = store.corrections.every()
    except StorageError as error:
        problems[file] = str(error)
        return {}
    if database.problem is not None:
        problems[file] = str(database.problem)
    elif database.recovered is not None:
        problems[file] = f"was damaged and was made anew; the damaged file is {database.recovered.aside}"
    return words


def _compare(folders: Mapping[ModelKind, Sequence[Path]], found: Walk, known: Mapping[str, KnownFile]) -> _Differences:
    same = {
        model_id: before
        for model_id, file in found.files.items()
        if (before := known.get(model_id))
        and before[:2] == (file.root, file.stamp)
        and before.described_by >= DESCRIBE_VERSION
    }
    fresh = [file for model_id, file in found.files.items() if model_id not in same]
    back = [model_id for model_id, before in same.items() if not before.present]
    problems = found.problems | {before.local_path: before.problem for before in same.values() if before.problem}
    roots = {(str(kind), str(root)) for kind, paths in folders.items() for root in paths}
    gone = {
        model_id
        for model_id, file in known.items()
        if file.present
        and model_id not in found.files
        and ((model_id.partition(":")[0], file.root) in roots or _vanished(file))
    }
    return _Differences(fresh, back, gone, len(same) - len(back), problems)


def _vanished(file: KnownFile) -> bool:
    """Return True if a file outside all scanned folders (a download, or one that the user registered) is gone."""
    return file.root is None and bool(file.local_path) and not Path(file.local_path).exists()


class _AbsentFiles:
    """Files that are no longer where they were, to be recognised where they are now."""

    def __init__(self, store: ModelStore, files: Mapping[str, KnownFile], present: Mapping[str, FoundFile]) -> None:
        self.store = store
        self.files = files
        self.matched = 0
        self.ids: dict[tuple[str, int, str | None], list[str]] = {}
        """(kind, size, digest) → ids; older versions stored no digest."""
        for model_id, file in files.items():
            if file.stamp[0] and model_id not in present:
                key = (model_id.partition(":")[0], file.stamp[0], file.digest)
                self.ids.setdefault(key, []).append(model_id)

    def match(self, file: FoundFile, row: ModelRow) -> str | None:
        """Return the id of the absent file that the new file `file` is, which then is absent no more; or None.

        They have the same size and digest. Of one without a digest, header entries and hash (where none is known, time
        of change) are compared.
        """
        kind, size = str(file.kind), file.stamp[0]
        name = file.model_id.rpartition("/")[2]
        for digest in dict.fromkeys((row.digest, None)):
            candidates = self.ids.get((kind, size, digest), [])
            for model_id in sorted(candidates, key=lambda model_id: (not model_id.endswith(name), model_id)):
                if digest or self._is_same(model_id, file, row):
                    candidates.remove(model_id)
                    self.matched += 1
                    return model_id
        return None

    def _is_same(self, model_id: str, file: FoundFile, row: ModelRow) -> bool:
        old, new = self.store.get(model_id), load(row.record)
        return old is not None and old.metadata == new.metadata and _same(old, new, self.files[model_id].stamp[1], file)


def _same(old: ModelMetadata, new: ModelMetadata, old_mtime_ns: int, file: FoundFile) -> bool:
    for old_hash, new_hash in ((old.sha256, new.sha256), (old.autov3, new.autov3)):
        if old_hash and new_hash:
            return old_hash == new_hash
    if old_mtime_ns == file.stamp[1]:
        return True
    if not (old.sha256 or old.autov3):
        return False
    try:
        found = hash_file(file.path)
    except OSError:
        return False
    return found is not None and (found.sha256 == old.sha256 or (not old.sha256 and found.autov3 == old.autov3))
