"""Scanning model folders: only what is new is read, and what has moved is recognised."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..models.kinds import ModelKind
from ..models.metadata import ModelMetadata
from ..records import Record
from .describe import DESCRIBE_VERSION
from .hashing import hash_file
from .model_rows import Row, load, row_of
from .model_store import KnownFile, ModelStore, ScannedFile
from .reading import describe_file, read_all
from .walk import FoundFile, walk

BATCH_SECONDS = 0.5
"""How often what was read is stored, and listed from then on."""

Progress = Callable[[int, int], None]
Cancelled = Callable[[], bool]


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
    moved: int = 0
    """Of the added ones, those known from another path, whose history they keep."""
    cancelled: bool = False
    """Stopped on the way: what was read until then is kept, the next scan goes on from there."""


def scan(
    store: ModelStore,
    folders: Mapping[ModelKind, Sequence[Path]],
    on_progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> ScanReport:
    """`ModelRegistry.scan`."""
    started = time.monotonic()
    found = walk(folders)
    known = store.known_files()
    fresh: list[FoundFile] = []
    back: list[str] = []
    unchanged = 0
    problems = dict(found.problems)
    for model_id, file in found.files.items():
        before = known.get(model_id)
        if before is None or before[:2] != (file.root, file.stamp) or before.described_by < DESCRIBE_VERSION:
            fresh.append(file)
            continue
        if before.present:
            unchanged += 1
        else:
            back.append(model_id)
        if before.problem:
            problems[before.local_path] = before.problem
    roots = {(str(kind), root) for kind, root in found.roots}
    gone = {
        model_id
        for model_id, row in known.items()
        if row.present
        and model_id not in found.files
        and ((model_id.partition(":")[0], row.root) in roots or _vanished(row))
    }
    store.apply_scan((), back, gone)

    away = {key: row for key, row in known.items() if key in gone or not row.present}
    absent = _Absent(store, away, found.files)
    sizes = {row.local_path: row.stamp[0] for row in away.values()} | {file.path: file.stamp[0] for file in fresh}
    hub = store.hub_partials(sizes) if fresh else {}
    added, changed, done = len(back), 0, 0
    batch: list[ScannedFile] = []
    stored = time.monotonic()
    read = read_all(fresh, hub, cancelled)
    try:
        for file, row in read:
            before = known.get(file.model_id)
            previous = absent.match(file, row) if before is None else None
            if previous and (partial := hub.get(known[previous].local_path)):
                row = row_of(describe_file(file, partial))
            batch.append(ScannedFile(file.model_id, row, file.root, file.stamp, previous))
            done += 1
            if before and before.present:
                changed += 1
            else:
                added += 1
            if row.problem:
                problems[row.local_path] = row.problem
            if on_progress:
                on_progress(done, len(fresh))
            if time.monotonic() - stored > BATCH_SECONDS:
                store.apply_scan(batch)
                batch, stored = [], time.monotonic()
    finally:
        read.close()
        store.apply_scan(batch)
    return ScanReport(
        added=added,
        changed=changed,
        removed=len(gone),
        unchanged=unchanged,
        problems=problems,
        seconds=round(time.monotonic() - started, 3),
        moved=absent.matched,
        cancelled=done < len(fresh),
    )


class _Absent:
    """Files that are no longer where they were, to be recognised where they are now."""

    def __init__(self, store: ModelStore, rows: Mapping[str, KnownFile], present: Mapping[str, FoundFile]) -> None:
        self.store = store
        self.rows = rows
        self.matched = 0
        self.by_size: dict[tuple[str, int], list[str]] = {}
        for model_id, row in rows.items():
            if row.stamp[0] and model_id not in present:
                self.by_size.setdefault((model_id.partition(":")[0], row.stamp[0]), []).append(model_id)

    def match(self, file: FoundFile, row: Row) -> str | None:
        """The id of the absent file that this new one is, and which is not absent any more then; or None.

        Equal size and header entries, and then equal hashes, or, where neither is known, an equal time of change.
        """
        candidates = self.by_size.get((str(file.kind), file.stamp[0]), [])
        if not candidates:
            return None
        record = load(row.record)
        name = file.model_id.rpartition("/")[2]
        for model_id in sorted(candidates, key=lambda model_id: (not model_id.endswith(name), model_id)):
            old = self.store.get(model_id)
            if old and old.metadata == record.metadata and _same(old, record, self.rows[model_id].stamp[1], file):
                candidates.remove(model_id)
                self.matched += 1
                return model_id
        return None


def _same(old: ModelMetadata, new: ModelMetadata, old_mtime_ns: int, file: FoundFile) -> bool:
    for told, now in ((old.sha256, new.sha256), (old.autov3, new.autov3)):
        if told and now:
            return told == now
    if old_mtime_ns == file.stamp[1]:
        return True
    if not (old.sha256 or old.autov3):
        return False
    try:
        found = hash_file(file.path)
    except OSError:
        return False
    return found is not None and (found.sha256 == old.sha256 or (not old.sha256 and found.autov3 == old.autov3))


def _vanished(row: KnownFile) -> bool:
    """Whether a file outside all scanned folders (a download, or one that the user registered) is no longer there."""
    return row.root is None and bool(row.local_path) and not Path(row.local_path).exists()
