"""Jobs, what came of them, and the contract of the executors that run them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ...config import PipelineConfig
from ...errors import IntelligentGenerationError
from ...memory import Resources
from ..choice_requests import applied_choice, applied_settings
from ..run import Execution
from ..stages import GenerationPlan, Recommendations

KEY_VERSION = 1
"""Changed where the same job would give another picture."""

STEP_UNKNOWN = (0, 0)


class Setup(NamedTuple):
    """The weights that a job needs; a worker that has them goes on with its like."""

    base_model: str
    loras: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """Pictures of one plan that are made in one run."""

    recommendations: Recommendations
    seeds: tuple[int, ...]
    """Of each picture."""
    key: str
    """Names the pictures: see `job_key`."""
    config: PipelineConfig
    """Names the base model, and limits its memory."""
    number: int = 0
    """Place in the list, from 0; results in order go by it."""
    seconds: float = 1.0
    """Predicted for this machine's device; workers' own speed is learned against it."""
    name: str = ""
    """File name that was asked for; empty: made from number, seed and key."""

    @property
    def base_model(self) -> str:
        """Base model as `PipelineConfig.base_model` names it."""
        return self.config.base_model

    @property
    def setup(self) -> Setup:
        """Checkpoint and LoRA files, whatever their strengths."""
        loras = sorted(lora.lora_metadata.model_id for lora in self.recommendations.suggested_loras)
        return Setup(self.base_model, tuple(loras))


def job_key(
    recommendations: Recommendations, seeds: Sequence[int], contents: Sequence[str], *, repair: bool = True
) -> str:
    """Return 40 hexadecimal digits that name the pictures of a choice and seeds, the same on every machine.

    They depend on what is encoded and sampled and on the model files, and on no estimate, reason or device.

    Args:
        contents: names the content of the base model and of each LoRA: a hash where there is one file.
        repair: broken pictures are repaired.
    """
    parts = [
        KEY_VERSION,
        list(contents),
        applied_choice([recommendations]),
        applied_settings([recommendations]),
        list(seeds),
        *([] if repair else ["unrepaired"]),
    ]
    text = json.dumps(parts, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


@dataclass(frozen=True)
class Produced:
    """The pictures of a job, as a worker gives them."""

    execution: Execution | None = None
    """Run of this process or of a Ray worker; None: a server made finished files."""
    files: tuple[bytes, ...] = ()
    """Finished PNG files of a server, one a picture."""


@dataclass(frozen=True)
class Outcome:
    """A settled job: pictures, or the error it was set aside with."""

    job: Job
    plan: GenerationPlan | None = None
    """With the memory plan of the device that ran it."""
    produced: Produced | None = None
    error: Exception | None = None
    worker: str = ""
    device: str = ""
    """Name of the card or processor."""
    is_here: bool = True
    """It ran on this process' own device."""
    seconds: float = 0.0
    """From the start of the last attempt to its pictures."""
    attempts: int = 1


class JobStoppedError(Exception):
    """A job was stopped before its end, by a cancel or because another worker was faster."""


class WorkerLostError(IntelligentGenerationError, RuntimeError):
    """A worker died, hung or became unreachable while it started or ran a job."""


OnJobStep = Callable[[int, int], None]
"""Called after each step with (steps done, steps in all); raises JobStoppedError where the job shall end."""


class Worker(Protocol):
    """A device that runs a job at a time, called from a thread of its own."""

    name: str
    resources: Resources | None
    """The device; None: unknown."""
    ready: bool
    """False: `revive` it before it is given a job."""

    def run(self, job: Job, plan: GenerationPlan, on_step: OnJobStep, timeout: float) -> Produced:
        """Make the pictures. Raises JobStoppedError, WorkerLostError, or the job's own error."""
        ...

    def stop(self, key: str = "") -> None:
        """End the running job within a step, if it is the one of this key; safe from another thread at any time."""
        ...

    def revive(self) -> bool:
        """Make a lost worker usable again; False: not yet."""
        ...

    def close(self) -> None:
        """Release everything; the job that runs is ended."""
        ...


class Executor(Protocol):
    """A place where jobs run."""

    name: str
    inline: bool
    """Its one worker runs in the caller's thread."""

    def start(self) -> Sequence[Worker]:
        """Return the workers. Raises InvalidInputError, MissingDependencyError, WorkerLostError."""
        ...

    def close(self) -> None:
        """Release the workers."""
        ...


@dataclass(frozen=True)
class Limits:
    """Bounds on what a job may cost."""

    errors: int = 3
    """Attempts that may fail before the job is set aside."""
    losses: int = 6
    """Workers that may be lost under a job before it is set aside: it may be what kills them."""
    timeout: float = 900.0
    """Seconds that an attempt may take."""


ONCE = Limits(errors=1, losses=1, timeout=float("inf"))
"""A job's first error is the caller's."""

ELSEWHERE = Limits(timeout=float("inf"))
"""A job is tried again, elsewhere where it can be; its last error is the caller's."""


@dataclass
class WorkerProgress:
    """Account of one worker."""

    name: str
    device: str = ""
    done: int = 0
    """Jobs whose pictures count."""
    busy_seconds: float = 0.0
    """Time at jobs, those that failed or were taken over included."""
    step: tuple[int, int] = STEP_UNKNOWN
    """Steps done and in all of the job that runs; (0, 0): none does."""
    alive: bool = True
    setups: int = 0
    """Changes of checkpoint or LoRAs."""


@dataclass(frozen=True)
class RunProgress:
    """Account of a run."""

    done: int
    total: int
    failed: int = 0
    retried: int = 0
    """Attempts that were made again elsewhere or later."""
    seconds_left: float | None = None
    """None: nothing is known yet."""
    workers: tuple[WorkerProgress, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
