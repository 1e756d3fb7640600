"""Joins jobs to this machine's knowledge: memory plans for each device, records of what was made."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import StorageError
from ...learning import LearningEngine
from ...memory import MemoryRequest
from ..generation_result import GenerationResult, results_of
from ..planner import Planner
from ..run import record_run
from ..stages import GenerationPlan
from ..used_files import FoundFiles
from .job_records import Job, Outcome, Worker

HOST = "diffusers"
"""Host of the executors whose pictures are recorded here."""

Knowledge = Callable[[Job], tuple[Planner, MemoryRequest]]


class PlannedRun:
    """Plans jobs for the devices of workers, and stores their generations. `knowledge` plans a job's like."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._found: dict[str, FoundFiles] = {}

    def fit(self, job: Job, worker: Worker) -> GenerationPlan:
        """Return the plan of a job for a worker's device, and begin to hash its files. Raises StorageError."""
        planner, request = self._knowledge(job)
        plan = planner.plan(job.recommendations, request, worker.resources)
        if job.key not in self._found:
            self._found[job.key] = planner.used_files.start(plan)
        return plan

    def learning(self, job: Job) -> LearningEngine:
        """Return the store of generations of a job."""
        return self._knowledge(job)[0].learning

    def results(self, outcome: Outcome, run_id: str) -> list[GenerationResult]:
        """Return the images of a settled job, stored for rating. Raises the error that it was set aside with."""
        if outcome.error is not None:
            raise outcome.error
        assert outcome.produced is not None and outcome.plan is not None
        execution, job = outcome.produced.execution, outcome.job
        if execution is None:
            raise StorageError("a server's pictures are files: run a job list with a folder instead")
        planner, _ = self._knowledge(job)
        learning, memory = planner.learning, planner.memory if outcome.is_here else None
        generation = record_run(execution, HOST, outcome.plan, job.seeds, learning, run_id=run_id, memory=memory)
        found = self._found.pop(job.key, None)
        return results_of(execution, planner.used_files.told(generation, found), planner.used_files)
