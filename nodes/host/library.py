"""The one planner of this server: its registry, its ratings, and the folders that ComfyUI configures."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import folder_paths
from server import PromptServer

from ...intelligence.config import HOME_VARIABLE, OllamaConfig, data_folder, is_number, require
from ...intelligence.errors import IntelligentGenerationError, InvalidInputError

if TYPE_CHECKING:
    from ...intelligence.generation.planner import Planner

FOLDERS = {"lora": "loras", "checkpoint": "checkpoints", "vae": "vae", "embedding": "embeddings"}
"""`registry.ModelKind` → ComfyUI's folder name."""

PATIENCE_SECONDS = 2.0
"""How long a prompt waits for a scan; what takes longer goes on behind it, and the choice says so."""

HASH_MEGABYTES_PER_SECOND = 30
"""How fast files are read for their hashes, unless config.json says otherwise: little, even for a spinning disk."""

IDLE_SECONDS = 0.5
"""How often hashing looks whether the prompt that it waits for is done."""


def home() -> Path:
    """The pack's data folder: in ComfyUI's system user directory, which no HTTP route serves."""
    if os.environ.get(HOME_VARIABLE):
        return data_folder()
    return Path(folder_paths.get_system_user_directory("intelligent_generation"))


@cache
def planner() -> Planner:
    """The stages over this server's library and ratings."""
    from ...intelligence.generation.planner import Planner
    from ...intelligence.learning import LearningEngine
    from ...intelligence.memory import COMFYUI, MemoryManager
    from ...intelligence.registry import ModelRegistry

    folder = home()
    return Planner(
        ModelRegistry(folder / "registry.db"),
        LearningEngine(folder / "learning.db"),
        MemoryManager(folder / "memory.db", COMFYUI),
        families=folder / "families.json",
        vocabulary=folder / "vocabulary.json",
    )


class LibraryScan:
    """Scans of ComfyUI's model folders, one at a time, in a thread of their own: never on the server's event loop.

    After each, the files whose hash nobody has told are hashed in another thread: slowly, while no prompt runs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._cancelled = threading.Event()
        self._error: IntelligentGenerationError | None = None
        self._started = 0.0
        self._hashing: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether a scan is under way."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> threading.Thread:
        """Start an incremental scan, unless one is under way; the thread that does it."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._cancelled.clear()
                self._started = time.monotonic()
                self._thread = threading.Thread(target=self._run, name="intelligent-generation-scan", daemon=True)
                self._thread.start()
            return self._thread

    def cancel(self) -> None:
        """Ask the scan to stop; it keeps what it has read."""
        self._cancelled.set()

    def wait(self, seconds: float) -> bool:
        """Scan, and wait until `seconds` after the scan's start for its end. False: it goes on.

        Raises what the scan could not do.
        """
        thread = self.start()
        thread.join(max(0.0, self._started + seconds - time.monotonic()))
        if error := self._error:
            raise error
        return not thread.is_alive()

    def _run(self) -> None:
        try:
            folders = {
                kind: [path for path in folder_paths.get_folder_paths(name) if Path(path).is_dir()]
                for kind, name in FOLDERS.items()
            }
            report = planner().registry.scan(folders, cancelled=self._cancelled.is_set)
            self._error = None
            if not report.cancelled and (self._hashing is None or not self._hashing.is_alive()):
                self._hashing = threading.Thread(target=self._hash, name="intelligent-generation-hash", daemon=True)
                self._hashing.start()
        except IntelligentGenerationError as error:
            logging.warning("Intelligent Generation: the library cannot be scanned: %s", error)
            self._error = error

    def _hash(self) -> None:
        def stopped() -> bool:
            """Waits while a prompt runs."""
            while not self._cancelled.is_set() and PromptServer.instance.prompt_queue.get_tasks_remaining():
                time.sleep(IDLE_SECONDS)
            return self._cancelled.is_set()

        try:
            rate = settings().get("hash_megabytes_per_second", HASH_MEGABYTES_PER_SECOND)
            require(is_number(rate) and rate >= 0, f"hash_megabytes_per_second must be 0 or more, got {rate!r}")
            if rate:
                planner().registry.hash_models(cancelled=stopped, max_bytes_per_second=rate * 1e6)
        except IntelligentGenerationError as error:
            logging.warning("Intelligent Generation: the library cannot be hashed: %s", error)


library_scan = LibraryScan()


def refresh() -> str | None:
    """Bring the registry up to date with ComfyUI's model folders (incremental). What to tell the user when the scan
    is still going on, so that the choice rests on what is known so far; None when it is done.

    Raises StorageError.
    """
    if library_scan.wait(PATIENCE_SECONDS):
        return None
    status = planner().registry.status()
    return f"the library is still being read ({status.done} of {status.total} files): chosen from what is known so far"


def decision_revision() -> str:
    """Changes when a choice may come out differently: after ratings, removals, and changes of the library."""
    refresh()
    return f"{planner().registry.revision}:{planner().learning.revision}"


def settings() -> dict[str, Any]:
    """`config.json` of the data folder, or nothing: `ollama` (`base_url`, `model`), `allowed_hosts` (a list of host
    names under which the pack's routes answer) and `hash_megabytes_per_second` (0: files are not hashed by themselves).
    Never taken from a workflow.

    Raises InvalidInputError for a file that is no JSON object.
    """
    path = home() / "config.json"
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidInputError(f"{path}: must hold a JSON object")
    return found


def ollama_config() -> OllamaConfig:
    """The Ollama server that the settings name, or the default one on this machine. Raises InvalidInputError."""
    return OllamaConfig.from_dict(settings().get("ollama", {}))
