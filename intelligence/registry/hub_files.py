"""Files from hubs in the registry: registered under the ids of a scan, and freed again."""

from __future__ import annotations

import time
from pathlib import Path

from ..errors import StorageError, UnsupportedModelError
from ..hubs import CleanupReport, Fetched
from ..models.kinds import ModelKind
from ..models.metadata import ModelMetadata
from ..validation import checked
from .describe import describe
from .hub_store import DownloadedFile
from .model_rows import row_of
from .model_store import ModelStore
from .row_writes import ScannedFile
from .sidecars import find_sidecars
from .walk import FoundFile


def register_fetched(store: ModelStore, fetched: Fetched, kind: ModelKind, folder: Path) -> ModelMetadata:
    """Describe a file from a hub under the id that a scan of its folder gives it, and store it.

    Raises UnsupportedModelError where it is no model that can be used.
    """
    path = fetched.path
    roots = {
        Path(known.root)
        for model_id, known in store.known_files().items()
        if known.root and model_id.startswith(f"{kind}:")
    }
    root = next((root for root in sorted(roots) if path.is_relative_to(root)), None)
    tops = [top for top in (root, folder) if top is not None and top in path.parents]
    relative = path.relative_to(tops[0]).as_posix() if tops else path.name
    names = find_sidecars([path.name], [entry.name for entry in path.parent.iterdir()])[path.name]
    sidecars = {suffix: str(path.parent / name) for suffix, name in names.items()}
    stat = path.stat()
    stamp = (stat.st_size, stat.st_mtime_ns, "")
    file = FoundFile(f"{kind}:{relative}", kind, str(root or folder), str(path), stamp, sidecars)
    model = describe(file, fetched.facts)
    if model.problem:
        raise UnsupportedModelError(model.problem)
    store.hubs.put_download(
        DownloadedFile(str(path), stat.st_size, stat.st_mtime_ns, time.time(), fetched.downloaded), fetched.facts
    )
    store.apply_scan([ScannedFile(model.model_id, row_of(model), str(root) if root else None, stamp)])
    return store.get(model.model_id) or model


def free_downloads(store: ModelStore, keep_recent: int, max_size_gb: float | None, dry_run: bool) -> CleanupReport:
    checked("keep_recent", keep_recent, int, ge=0)
    if max_size_gb is not None:
        checked("max_size_gb", max_size_gb, float, ge=0)
    files = [file for file in store.hubs.downloads() if file.owned and _is_unchanged(file)]
    total = sum(file.size for file in files)
    limit = 0 if max_size_gb is None else max_size_gb * 1024**3
    removed: list[DownloadedFile] = []
    for file in reversed(files[keep_recent:]):
        if total <= limit:
            break
        removed.append(file)
        total -= file.size
    if not dry_run:
        for file in removed:
            try:
                Path(file.local_path).unlink(missing_ok=True)
            except OSError as error:
                raise StorageError(f"{file.local_path} cannot be removed: {error.strerror}") from None
            store.hubs.forget_download(file.local_path)
    return CleanupReport(
        removed=tuple(file.local_path for file in removed),
        freed_bytes=sum(file.size for file in removed),
        kept=len(files) - len(removed),
        dry_run=dry_run,
    )


def _is_unchanged(file: DownloadedFile) -> bool:
    """Return True if the file is still the one that was downloaded, not one that the user put in its place."""
    try:
        stat = Path(file.local_path).stat()
    except OSError:
        return False
    return (stat.st_size, stat.st_mtime_ns) == (file.size, file.mtime_ns)
