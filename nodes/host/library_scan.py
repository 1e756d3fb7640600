"""Scans of ComfyUI's model folders in the background, and how long a prompt waits for one."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import folder_paths
from comfy_execution.utils import get_executing_context
from server import PromptServer

from ...intelligence.errors import IntelligentGenerationError, StorageError
from ...intelligence.generation.generation_messages import GenerationMessage
from ...intelligence.records import Reason, Source
from .picture_reading import picture_reading
from .server_planner import home, lora_sets, planner, settings

FOLDERS = {
    "lora": "loras",
    "checkpoint": "checkpoints",
    "vae": "vae",
    "embedding": "embeddings",
    "upscaler": "upscale_models",
}
"""`ModelKind` → ComfyUI's folder name."""

MAX_WAIT_SECONDS = 2.0
"""Time that a prompt waits for a scan; a longer one continues in the background, and the choice says so."""

HASH_POLL_SECONDS = 0.5
"""Interval at which hashing checks whether the running prompt has ended."""


class LibraryScan:
    """Scans of ComfyUI's model folders, one at a time, in a thread of their own: never on the server's event loop.

    After each scan, another thread hashes the files whose hash is unknown: slowly, while no prompt runs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._cancelled = threading.Event()
        self._error: IntelligentGenerationError | None = None
        self._started = 0.0
        self._hashing: threading.Thread | None = None
        self.scanned_for: str | None = None
        """Id of the last prompt that a scan ended for."""

    @property
    def running(self) -> bool:
        """True while a scan runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> threading.Thread:
        """Start an incremental scan unless one is running. Returns its thread."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._cancelled.clear()
                self._started = time.monotonic()
                self._thread = threading.Thread(target=self._scan, name="intelligent-generation-scan", daemon=True)
                self._thread.start()
            return self._thread

    def cancel(self) -> None:
        """Ask the scan to stop; it keeps what it has read."""
        self._cancelled.set()

    def wait(self, seconds: float) -> bool:
        """Scan, and wait until at most `seconds` after the scan's start. Returns whether it has ended.

        Raises the error that stopped the scan.
        """
        thread = self.start()
        thread.join(max(0.0, self._started + seconds - time.monotonic()))
        if error := self._error:
            raise error
        return not thread.is_alive()

    def _scan(self) -> None:
        try:
            registry = planner().registry
            known = registry.roots()  # with those of a drive that is off now
            folders = {
                kind: [
                    path
                    for path in folder_paths.get_folder_paths(name)
                    if str(Path(path).absolute()) in known or Path(path).is_dir()
                ]
                for kind, name in FOLDERS.items()
            }
            report = registry.scan(folders, cancelled=self._cancelled.is_set)
            self._error = None
            if not report.cancelled and (self._hashing is None or not self._hashing.is_alive()):
                self._hashing = threading.Thread(
                    target=self._after_scan, name="intelligent-generation-hash", daemon=True
                )
                self._hashing.start()
        except IntelligentGenerationError as error:
            logging.warning("Intelligent Generation: the library cannot be scanned: %s", error)
            self._error = error

    def _after_scan(self) -> None:
        def cancelled() -> bool:
            """Wait while a prompt runs."""
            while not self._cancelled.is_set() and PromptServer.instance.prompt_queue.get_tasks_remaining():
                time.sleep(HASH_POLL_SECONDS)
            return self._cancelled.is_set()

        picture_reading.start_if_due()
        try:
            if rate := settings().hash_megabytes_per_second:
                planner().registry.hash_models(cancelled=cancelled, max_bytes_per_second=rate * 1e6)
        except IntelligentGenerationError as error:
            logging.warning("Intelligent Generation: the library cannot be read further: %s", error)


library_scan = LibraryScan()


def list_demo_loras() -> None:
    """Have ComfyUI list the embedded demo model's LoRAs, if the model was made."""
    folder = home() / "embedded"
    if not folder.is_dir():
        return
    from ...intelligence.generation.embedded import lora_root

    root = lora_root(folder)
    if root.is_dir() and str(root) not in folder_paths.get_folder_paths("loras"):
        folder_paths.add_model_folder_path("loras", str(root))
        library_scan.scanned_for = None


def refresh_library() -> tuple[Reason, ...]:
    """Bring the registry up to date with ComfyUI's model folders (incremental), once for each prompt that runs.

    Returns a reason where the scan takes longer or fails, so that choices rest on what is known so far.
    """
    context = get_executing_context()
    prompt_id = context.prompt_id if context else None
    if prompt_id is not None and library_scan.scanned_for == prompt_id:
        return ()
    try:
        if library_scan.wait(MAX_WAIT_SECONDS):
            library_scan.scanned_for = prompt_id
            return ()
    except StorageError as error:
        from ...intelligence.generation.store_notes import scan_note

        return (scan_note(error),)
    status = planner().registry.status()
    message = GenerationMessage.LIBRARY_BEING_READ
    return (Reason.of("library", Source.DEFAULT, message, done=status.done, total=status.total),)


def decision_revision() -> str:
    """Return a text that changes when a choice may come out differently: after ratings and changes of the library."""
    refresh_library()
    known = planner()
    return f"{known.registry.revision}:{known.learning.revision}:{known.pictures.revision}:{lora_sets().always}"
