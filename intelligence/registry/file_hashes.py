"""Hashes of the files that pictures are made with: computed beside the sampling, remembered by size and date."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from .hashing import Hashes, hash_file
from .model_store import ModelStore

Then = Callable[[], object]


class FileHashes:
    """Files in use by model id. One thread, started with the first that has no hash, reads them one after another."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._changed = threading.Condition()
        self._paths: dict[str, Path] = {}
        self._waiting: deque[Path] = deque()
        self._then: list[tuple[set[str], Then]] = []
        self._running = False

    def start(self, files: Mapping[str, str | Path]) -> None:
        """Begin to hash those of the files (model id → path) that have no known hash. Returns at once."""
        self._paths.update({model_id: Path(path) for model_id, path in files.items()})
        unknown = [path for path in map(Path, files.values()) if path.is_file() and self._hashes(path) is None]
        with self._changed:
            self._waiting.extend(path for path in unknown if path not in self._waiting)
            if self._waiting and not self._running:
                self._running = True
                threading.Thread(target=self._work, name="hashes of files in use", daemon=True).start()

    def known(self, model_id: str) -> Hashes | None:
        """Return the hashes of a file as it is now, or None: not known yet, never started, or gone."""
        path = self._paths.get(model_id)
        return self._hashes(path) if path else None

    def wait(self, model_ids: Iterable[str], seconds: float) -> bool:
        """Wait until none of the files is being hashed; return False if one still is after so many seconds."""
        wanted, end = {*model_ids}, time.monotonic() + seconds
        with self._changed:
            while self._pending(wanted):
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def then(self, model_ids: Iterable[str], call: Then) -> None:
        """Call once none of the files is being hashed, in the hashing thread; at once if none is."""
        wanted = {*model_ids}
        with self._changed:
            if self._pending(wanted):
                self._then.append((wanted, call))
                return
        call()

    def _pending(self, wanted: set[str]) -> bool:
        return any(self._paths.get(model_id) in self._waiting for model_id in wanted)

    def _hashes(self, path: Path) -> Hashes | None:
        try:
            stat = path.stat()
            return self._store.file_hash(str(path), stat.st_size, stat.st_mtime_ns)
        except OSError:  # StorageError is one
            return None

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._running = False
                    return
                path = self._waiting[0]
            with suppress(OSError):  # the picture is saved without this hash; the next run tries again
                self._hash(path)
            with self._changed:
                self._waiting.popleft()
                due = [call for wanted, call in self._then if not self._pending(wanted)]
                self._then = [(wanted, call) for wanted, call in self._then if self._pending(wanted)]
                self._changed.notify_all()
            for call in due:
                with suppress(OSError):  # StorageError is one
                    call()

    def _hash(self, path: Path) -> None:
        before = path.stat()
        found = hash_file(path)
        after = path.stat()
        stamp = (after.st_size, after.st_mtime_ns)
        if found is None or stamp != (before.st_size, before.st_mtime_ns):
            return
        if path.suffix.lower() not in (".safetensors", ".sft"):
            found = found._replace(autov3="")
        self._store.put_file_hash(str(path), *stamp, found)
        for file in self._store.unhashed():
            if file.local_path == str(path) and (file.size, file.mtime_ns) == stamp:
                self._store.put_hash(file, *found)
