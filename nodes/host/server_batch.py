"""A page's batch of variations on the ComfyUI servers of `config.json`, in the background."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import folder_paths
from comfy_execution.graph import DynamicPrompt

from ...intelligence.config import CONFIG_FILE, require
from ...intelligence.errors import IntelligentGenerationError
from ...intelligence.memory import MemoryRequest
from ...intelligence.models import named_family
from . import thumbnails
from .enlarging import upscale_models
from .library_scan import refresh_library
from .model_evidence import evidence
from .server_planner import home, lora_sets, planner, settings
from .told_paths import without_folders

if TYPE_CHECKING:
    from ...intelligence.generation.execution.job_records import Job, RunProgress
    from ...intelligence.generation.planner import Planner

FOLDER = "server_batches"
"""In the output folder; a batch has a folder in it."""

LINE = "page"
"""Name of a batch's one line in its store."""


class ServerBatch:
    """A batch at a time, in a thread of its own. The same graph again goes on with the same batch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._cancelled = threading.Event()
        self._state: dict[str, Any] = {"done": 0, "failed": 0, "total": 0, "folder": "", "problem": ""}

    @property
    def running(self) -> bool:
        """True while pictures are made."""
        return self._thread is not None and self._thread.is_alive()

    def status(self) -> dict[str, Any]:
        """Return `running`, numbers of jobs, the folder in the output folder, the last problem, and the servers."""
        return {"running": self.running, **self._state, "servers": len(settings().comfyui_servers)}

    def start(self, graph: Mapping[str, Any], sampler: str) -> None:
        """Plan the pictures of a graph and begin to make them. Raises InvalidInputError."""
        from ...intelligence.generation.execution.graph_jobs import jobs_of_graph

        servers, stores = settings().comfyui_servers, planner()
        place = home() / CONFIG_FILE
        require(bool(servers), f'no server is configured: "comfyui_servers": ["http://…:8188"] in {place}')
        with self._lock:
            require(not self.running, "a batch is being made on the servers: wait for it, or cancel it")
            refresh_library()
            jobs = jobs_of_graph(
                graph,
                sampler,
                stores,
                lambda family, node_id: evidence(None, DynamicPrompt(graph), node_id, named_family(family)),
                lambda checkpoint: lora_sets().tags(checkpoint),
                upscale_models(),
            )
            name = hashlib.sha256("".join(job.key for job in jobs).encode()).hexdigest()[:12]
            self._state = {"done": 0, "failed": 0, "total": len(jobs), "folder": f"{FOLDER}/{name}", "problem": ""}
            self._cancelled.clear()
            arguments = (jobs, servers, stores)
            self._thread = threading.Thread(
                target=self._run, args=arguments, name="intelligent-generation-batch", daemon=True
            )
            self._thread.start()

    def cancel(self) -> None:
        """End what runs within a step; what is made stays."""
        self._cancelled.set()

    def _run(self, jobs: list[Job], servers: tuple[str, ...], stores: Planner) -> None:
        from ...intelligence.generation.execution.batch_run import BatchRun
        from ...intelligence.generation.execution.comfyui_executor import ComfyUIExecutor
        from ...intelligence.generation.execution.contact_sheet import write_contact_sheet

        folder = Path(folder_paths.get_output_directory(), *self._state["folder"].split("/"))
        knowledge = lambda job: (stores, MemoryRequest(images=len(job.seeds)))  # noqa: E731
        try:
            with BatchRun(folder, knowledge) as batch:
                batch.store.try_again()
                opened = batch.put(LINE, jobs)
                before = self._state["done"] = len(jobs) - len(opened)
                executor = ComfyUIExecutor(servers)
                with suppress(_CancelledError):
                    batch.run(opened, executor, None, lambda state: self._told(before, state), self._keep)
                pictures, aside = batch.store.pictures(), batch.store.set_aside()
                write_contact_sheet(folder, pictures, aside, stores.learning)
                self._state["problem"] = "; ".join(dict.fromkeys(row.error for row in aside))
        except IntelligentGenerationError as error:
            self._state["problem"] = without_folders(str(error))
        except Exception as error:
            logging.exception("Intelligent Generation: the batch on the servers ended")
            self._state["problem"] = str(error) or type(error).__name__

    def _told(self, before: int, state: RunProgress) -> None:
        self._state |= {"done": before + state.done, "failed": state.failed}
        if self._cancelled.is_set():
            raise _CancelledError

    def _keep(self, path: Path, image_id: str) -> None:
        if image_id:
            thumbnails.save_file(image_id, path)


class _CancelledError(Exception):
    """The user ended the batch."""


server_batch = ServerBatch()
