"""The executor of running ComfyUI servers, which have this pack: their queues, their models, their devices."""

from __future__ import annotations

import re
import socket
import time
import uuid
from collections.abc import Sequence
from pathlib import PureWindowsPath
from typing import Any
from urllib.parse import urlsplit

from ...config import CONFIG_FILE, EMBEDDED_MODEL, SERVER_ADDRESS, data_folder, require
from ...memory import Resources
from ...units import BYTES_PER_GIB
from ..stages import GenerationPlan
from .comfyui_client import ComfyUIClient, ServerRefusedError, ServerUnreachableError, Step
from .job_records import Job, JobStoppedError, OnJobStep, Produced, Worker, WorkerLostError
from .local_executor import JobTimeoutError
from .plan_graph import SAVER, plan_graph
from .server_pictures import is_whole

ASK_SECONDS = 1.0
"""Between questions about a prompt of which no event tells."""

EVENT_SECONDS = 0.01
"""Longest wait for an event before a cancel, or its end, is looked for."""

HUNG_SECONDS = 15.0
"""Time without an answer after which a server counts as hung."""

FOLDER = "batches"
"""In a server's output folder."""

_JOBS = uuid.UUID("6b1c2b0e-6e0f-5a52-9d0b-3a5d6f1f7c11")
"""Namespace of the ids of prompts."""


def prompt_id_of(job: Job) -> str:
    """Return the id of a job's prompt, the same on every server and in every run."""
    return str(uuid.uuid5(_JOBS, job.key))


class ComfyUIExecutor:
    """Runs jobs on ComfyUI servers (`comfyui_servers` in the data folder's config.json)."""

    name = "comfyui"
    inline = False

    def __init__(self, servers: Sequence[str]) -> None:
        place = data_folder() / CONFIG_FILE
        require(bool(servers), f'no ComfyUI server is configured: "comfyui_servers": ["http://…:8188"] in {place}')
        for url in servers:
            require(
                re.fullmatch(SERVER_ADDRESS, url) is not None, f"a server must look like http://HOST:8188, got {url!r}"
            )
        self._workers = [ServerWorker(url) for url in dict.fromkeys(url.rstrip("/") for url in servers)]

    def start(self) -> Sequence[Worker]:
        """Return a worker a server; one that does not answer yet is not ready.

        Raises ServerUnreachableError where none answers, ServerRefusedError where one lacks the pack.
        """
        ready = [worker.revive() for worker in self._workers]
        if not any(ready):
            raise ServerUnreachableError(f"no server answers: {', '.join(worker.name for worker in self._workers)}")
        return self._workers

    def close(self) -> None:
        """Do nothing: the servers are their owners'."""


class ServerWorker:
    """A ComfyUI server."""

    resources: Resources | None = None
    ready = False

    def __init__(self, url: str) -> None:
        self.name = url
        self._client = ComfyUIClient(url, uuid.uuid4().hex)
        self._key = ""
        self._stopped = False
        self._answers = True
        self._left: set[str] = set()
        """Prompts that were not ended because the server did not answer."""
        self._checkpoints: dict[str, str] = {}
        """File name → the server's name, with its folder."""
        self._saved_again = 0
        """Times that files were gone: only another name makes the server save them again."""

    def run(self, job: Job, plan: GenerationPlan, on_step: OnJobStep, timeout: float) -> Produced:
        """Make the pictures. Raises JobStoppedError, WorkerLostError, JobTimeoutError, ServerRefusedError."""
        self._key, self._stopped = job.key, False
        prompt_id, end = prompt_id_of(job), time.monotonic() + timeout
        try:
            try:
                self._send(prompt_id, plan, job)
                record = self._followed(prompt_id, on_step, end)
            except (JobStoppedError, JobTimeoutError):
                self._end(prompt_id)
                raise
            return self._produced(prompt_id, record, len(job.seeds))
        except ServerUnreachableError as error:
            self._left.add(prompt_id)
            self.ready = False
            raise WorkerLostError(str(error)) from error
        finally:
            self._key = ""

    def stop(self, key: str = "") -> None:
        """End the running job within a step."""
        if self._key and key in ("", self._key):
            self._stopped = True

    def revive(self) -> bool:
        """Return True where the server answers and has the pack; ends what an earlier job left there."""
        try:
            stats = self._client.get("/system_stats")
            for prompt_id in [*self._left]:
                self._client.end(prompt_id)
                self._left.discard(prompt_id)
        except ServerUnreachableError:
            self._client.disconnect()
            return False
        if self.resources is None:
            node = "SaveGeneration"
            if node not in self._client.get(f"/object_info/{node}"):
                raise ServerRefusedError(f"{self.name} lacks Intelligent Generation: install it there and restart it")
        self.resources = _resources(stats)
        self.ready = True
        return True

    def close(self) -> None:
        """Close the connections."""
        self._client.disconnect()

    def _send(self, prompt_id: str, plan: GenerationPlan, job: Job) -> None:
        """Queue the prompt, unless the server has it: it may have been sent before a restart of either."""
        done = self._client.history(prompt_id)
        if done is not None and not _succeeded(done):
            self._client.forget(prompt_id)
            done = None
        if done is None and not self._client.is_queued(prompt_id):
            again = f"-{self._saved_again}" if self._saved_again else ""
            base_model = self._name_there(job.base_model)
            graph = plan_graph(plan, job.seeds, base_model, f"{FOLDER}/{job.key[:16]}{again}")
            self._client.queue(prompt_id, graph)

    def _name_there(self, base_model: str) -> str:
        """Return the server's name of a base model: of the file of the same name, in whatever folder it lies there."""
        wanted = PureWindowsPath(base_model).name
        if base_model != EMBEDDED_MODEL and wanted not in self._checkpoints:
            loader = "CheckpointLoaderSimple"
            kind, *options = self._client.get(f"/object_info/{loader}")[loader]["input"]["required"]["ckpt_name"]
            names = kind if isinstance(kind, list) else options[0]["options"]
            self._checkpoints = {PureWindowsPath(name).name: name for name in names}
        return self._checkpoints.get(wanted, wanted)

    def _followed(self, prompt_id: str, on_step: OnJobStep, end: float) -> dict[str, Any]:
        """Return the record of the prompt once it has ended. Raises ServerUnreachableError after `HUNG_SECONDS`."""
        asked = 0.0
        answered = time.monotonic()
        while True:
            event = self._client.next_event(prompt_id, EVENT_SECONDS)
            now = time.monotonic()
            if self._stopped:
                raise JobStoppedError
            if now > end:
                raise JobTimeoutError(f"{self.name} took too long")
            if event and not event.ended:
                answered = now
                on_step(event.done, event.total)
            elif event or now - asked > ASK_SECONDS:
                asked = now
                if record := self._asked(prompt_id, event, answered):
                    return record
                answered = now if self._answers else answered

    def _asked(self, prompt_id: str, event: Step | None, answered: float) -> dict[str, Any] | None:
        """Ask for the record; the event of the end comes before it is written."""
        self._answers = True
        try:
            for _ in range(50 if event else 1):
                if record := self._client.history(prompt_id):
                    return record
                if not event:
                    break
                time.sleep(0.01)
            if not self._client.is_queued(prompt_id) and not self._client.history(prompt_id):
                raise WorkerLostError(f"{self.name} was restarted and has forgotten the job")
        except ServerUnreachableError:
            self._answers = False
            if time.monotonic() - answered > HUNG_SECONDS or not self._listens():
                raise
        return None

    def _listens(self) -> bool:
        """Return False where the server's port is closed: it is gone, not slow."""
        address = urlsplit(self.name)
        port = address.port or (443 if address.scheme == "https" else 80)
        try:
            socket.create_connection((address.hostname or "", port), timeout=2).close()
        except TimeoutError:
            return True
        except OSError:
            return False
        return True

    def _end(self, prompt_id: str) -> None:
        """End a prompt, and wait a moment until nothing of it runs."""
        self._client.end(prompt_id)
        until = time.monotonic() + HUNG_SECONDS
        while self._client.is_queued(prompt_id) and time.monotonic() < until:
            self._client.next_event(prompt_id, EVENT_SECONDS)

    def _produced(self, prompt_id: str, record: dict[str, Any], count: int) -> Produced:
        if not _succeeded(record):
            raise ServerRefusedError(f"{self.name}: {_error(record)}")
        images = record.get("outputs", {}).get(SAVER, {}).get("images", [])
        if len(images) != count:
            raise ServerRefusedError(f"{self.name}: {len(images)} pictures instead of {count}")
        try:
            files = tuple(self._client.view(image) for image in images)
            if not all(map(is_whole, files)):
                raise ServerRefusedError(f"{self.name}: a picture's file is no whole PNG")
            return Produced(files=files)
        except ServerRefusedError:
            self._saved_again += 1
            self._client.forget(prompt_id)
            raise


def _succeeded(record: dict[str, Any]) -> bool:
    return record.get("status", {}).get("status_str") == "success"


def _error(record: dict[str, Any]) -> str:
    """Return the text of an error in a history."""
    for name, data in record.get("status", {}).get("messages", ()):
        if name == "execution_error":
            return str(data.get("exception_message", "")).strip() or str(data.get("exception_type", "an error"))
        if name == "execution_interrupted":
            return "it was interrupted there"
    return "it ended without a picture"


def _resources(stats: dict[str, Any]) -> Resources:
    """Return the first device of a server's `/system_stats`."""
    system, devices = stats.get("system", {}), stats.get("devices") or [{}]
    first = devices[0]
    total, free = (float(first.get(name, 0)) / BYTES_PER_GIB for name in ("vram_total", "vram_free"))
    held = float(first.get("torch_vram_total", 0)) - float(first.get("torch_vram_free", 0))
    ram_total, ram_free = (float(system.get(name, 0)) / BYTES_PER_GIB for name in ("ram_total", "ram_free"))
    name, kind = str(first.get("name", "")), str(first.get("type", "cpu"))
    free = min(total, free + max(0.0, held) / BYTES_PER_GIB)
    return Resources(kind, name, total, free, ram_total, ram_free, backend=kind)
