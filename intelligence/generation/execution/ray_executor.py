"""The executor of Ray: one actor a graphics card, on this machine or a cluster. Models stay loaded in the actors."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

from ...config import data_folder
from ...errors import (
    IntelligentGenerationError,
    InvalidInputError,
    MissingDependencyError,
    OutOfMemoryError,
    UnsupportedModelError,
    install_command,
)
from ...memory import Resources
from ..stages import GenerationPlan
from .job_records import Job, JobStoppedError, OnJobStep, Produced, Worker, WorkerLostError
from .local_executor import JobTimeoutError
from .ray_worker import STOPPED, RayWorker, execution_from

ASK_SECONDS = 0.1
"""Between questions about a running job's steps."""

START_SECONDS = 180.0
"""Time that an actor has to start."""

CLUSTER_VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Environment variable of Ray, on every system: 0: it takes 127.0.0.1 for this host, and listens there alone, where it
otherwise listens on all addresses, whatever `_node_ip_address` says."""

_ERRORS = {each.__name__: each for each in (InvalidInputError, OutOfMemoryError, UnsupportedModelError)}


class WorkerJobError(IntelligentGenerationError, RuntimeError):
    """A job failed on a Ray worker; says why."""


class RayExecutor:
    """Runs jobs on Ray actors.

    Args:
        workers: how many; None: one a graphics card of the cluster, or one where there is none.
        address: of a cluster; empty: a Ray of its own on this machine, which listens on loopback alone and ends with
            this process.
    """

    name = "ray"
    inline = False

    def __init__(self, workers: int | None = None, address: str = "") -> None:
        if workers is not None and workers < 1:
            raise InvalidInputError(f"workers must be 1 or more, got {workers}")
        self._count = workers
        self._address = address
        self._workers: list[RayActor] = []
        self._ray: Any = None
        """The module, once it is connected."""

    def start(self) -> Sequence[Worker]:
        """Connect, start the actors, and return them; one that is lost meanwhile is not ready.

        Raises MissingDependencyError, and WorkerLostError where Ray does not start or an actor's host lacks something.
        """
        self._ray = ray = _connected(self._address, self._count)
        cards = int(ray.cluster_resources().get("GPU", 0))
        count = self._count or max(1, cards)
        home = str(data_folder())
        self._workers = [
            RayActor(f"{'gpu' if cards else 'cpu'}-{place}", ray, bool(cards), home) for place in range(count)
        ]
        for worker in self._workers:
            worker.wait_for_start()
        return self._workers

    def close(self) -> None:
        """Disconnect; a Ray of this process' own ends."""
        if self._ray is not None:
            self._ray.shutdown()


def ray_variables(address: str, known: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables by which Ray listens with a token: its own cluster, where `address` is empty,
    with one of this process and on loopback alone; a given one with the user's.

    `known`: those that are set; a token among them stays, as Ray reads it once in a process.
    """
    made = {"RAY_AUTH_MODE": "token", CLUSTER_VARIABLE: "1" if address else "0"}
    if "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO" not in known:
        made["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    if not address and known.keys().isdisjoint(("RAY_AUTH_TOKEN_PATH", "RAY_AUTH_TOKEN")):
        made["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    return made


def _connected(address: str, workers: int | None) -> Any:
    """Return the module `ray`, connected."""
    os.environ.update(ray_variables(address, os.environ))
    try:
        import ray

        _read_environment()
    except ImportError:
        raise MissingDependencyError(f"the executor ray needs ray: {install_command('scale')}") from None
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    if not address:
        cpus = max(workers or 1, os.cpu_count() or 1)
        options |= {"num_cpus": cpus, "include_dashboard": False}
    try:
        ray.init(address or "local", **options)
    except Exception as error:  # Ray raises it bare, too
        ray.shutdown()
        raise WorkerLostError(f"Ray at {address or 'this machine'} cannot be used: {_first_line(error)}") from error
    return ray


def _read_environment() -> None:
    """Have Ray read the variables again: a program that imported it before has what they were then."""
    with suppress(ImportError, AttributeError):  # other versions read them when they connect
        import_module("ray._raylet").Config.initialize("")
        constants: Any = import_module("ray._private.ray_constants")
        constants.ENABLE_RAY_CLUSTER = os.environ[CLUSTER_VARIABLE] == "1"


class RayActor:
    """A worker: an actor, made anew when it is lost."""

    resources: Resources | None = None
    ready = False

    def __init__(self, name: str, ray: Any, on_card: bool, home: str) -> None:
        self.name = name
        self._ray = ray
        self._on_card = on_card
        self._home = home
        self._key = ""
        self._stopped = False
        self.pid = 0
        """Of the actor's process."""
        self._actor = self._made()
        self._described = self._actor.describe.remote()

    def wait_for_start(self) -> None:
        """Wait until the actor has started and is ready, or is lost. Raises WorkerLostError for what lacks there."""
        exceptions = self._ray.exceptions
        try:
            told = json.loads(self._ray.get(self._described, timeout=START_SECONDS))
        except exceptions.RayTaskError as error:
            raise WorkerLostError(f"{self.name} did not start: {_first_line(error.cause)}") from error
        except exceptions.RayError:
            return
        self.resources, self.pid = Resources.from_dict(told["resources"]), told["pid"]
        self.ready = True

    def run(self, job: Job, plan: GenerationPlan, on_step: OnJobStep, timeout: float) -> Produced:
        """Make the pictures. Raises JobStoppedError, WorkerLostError, JobTimeoutError, WorkerJobError."""
        self._key, self._stopped = job.key, False
        end = time.monotonic() + timeout
        exceptions = self._ray.exceptions
        try:
            answer = self._actor.run.remote(job.key, job.base_model, plan.to_json(), list(job.seeds))
            self._wait(answer, on_step, end)
            text, pictures = self._ray.get(answer)
        except exceptions.RayTaskError as error:
            raise WorkerJobError(_first_line(error.cause)) from error
        except exceptions.RayError as error:
            self.ready = False
            raise WorkerLostError(f"{self.name}: {_first_line(error)}") from error
        finally:
            self._key = ""
        facts = json.loads(text)
        if "kind" in facts:
            raise _error(facts["kind"], facts["error"])
        return Produced(execution_from(facts, [_image(*picture) for picture in pictures]))

    def stop(self, key: str = "") -> None:
        """End the running job within a step."""
        if (running := self._key) and key in ("", running):
            self._stopped = True
            with suppress(self._ray.exceptions.RayError):
                self._actor.stop.remote(running)

    def slow_down(self, seconds: float) -> None:
        """Add seconds to each step, to try mixed speeds."""
        self._ray.get(self._actor.slow_down.remote(seconds))

    def revive(self) -> bool:
        """Put a new actor in the lost one's place; False: it did not start."""
        self.close()
        with suppress(WorkerLostError, self._ray.exceptions.RayError):
            self._actor = self._made()
            self._described = self._actor.describe.remote()
            self.wait_for_start()
        return self.ready

    def close(self) -> None:
        """End the actor, with whatever it runs."""
        self.ready = False
        with suppress(Exception):  # it may be dead already
            self._ray.kill(self._actor)

    def _made(self) -> Any:
        options = {"num_gpus": 1} if self._on_card else {"num_cpus": 1}
        actor = self._ray.remote(RayWorker).options(max_concurrency=4, max_restarts=0, **options)
        return actor.remote(self._home)

    def _wait(self, answer: Any, on_step: OnJobStep, end: float) -> None:
        """Return once the answer is there; ends the job where it is stopped or late."""
        told, ended = (0, 0), False
        while not self._ray.wait([answer], timeout=ASK_SECONDS)[0]:
            late = time.monotonic() > end
            try:
                step = tuple(self._ray.get(self._actor.step.remote(), timeout=START_SECONDS))
                if step != told and step[1] and not ended:
                    told = step
                    on_step(*step)
            except JobStoppedError:
                self._stopped = True
            if (self._stopped or late) and not ended:
                self._actor.stop.remote(self._key)
                ended = True
                if late and not self._stopped:
                    self._ray.wait([answer], timeout=ASK_SECONDS * 50)
                    raise JobTimeoutError(f"{self.name} took too long")


def _error(kind: str, text: str) -> Exception:
    if kind == STOPPED:
        return JobStoppedError()
    return _ERRORS.get(kind, WorkerJobError)(text)


def _image(width: int, height: int, content: bytes) -> Any:
    from PIL import Image

    return Image.frombytes("RGB", (width, height), content)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
