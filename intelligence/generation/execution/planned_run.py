"""Joins jobs to this machine's knowledge: memory plans for each device, records of what was made."""

from __future__ import annotations

from ...errors import StorageError
from ...memory import MemoryRequest
from ..generation_result import GenerationResult, results_of
from ..planner import Planner
from ..run import record_run
from ..stages import GenerationPlan
from ..used_files import FoundFiles
from .job_records import Job, Outcome, Worker

DIFFUSERS = "diffusers"


class PlannedRun:
    """Plans jobs for the devices of workers, and stores their generations; used from one process alone."""

    def __init__(self, planner: Planner, request: MemoryRequest) -> None:
        self._planner = planner
        self._request = request
        self._found: dict[str, FoundFiles] = {}

    def fit(self, job: Job, worker: Worker) -> GenerationPlan:
        """Return the plan of a job for a worker's device, and begin to hash its files. Raises StorageError."""
        plan = self._planner.plan(job.recommendations, self._request, worker.resources)
        self._found[job.key] = self._planner.used_files.start(plan)
        return plan

    def results(self, outcome: Outcome, run_id: str) -> list[GenerationResult]:
        """Return the images of a settled job, stored for rating. Raises the error that it was set aside with."""
        if outcome.error is not None:
            raise outcome.error
        assert outcome.produced is not None and outcome.plan is not None
        execution = outcome.produced.execution
        if execution is None:
            raise StorageError("pictures of a server are files: run a job list instead")
        planner = self._planner
        generation = record_run(
            execution,
            DIFFUSERS,
            outcome.plan,
            outcome.job.seeds,
            planner.learning,
            run_id=run_id,
            memory=planner.memory,
        )
        found = self._found.pop(outcome.job.key, None)
        return results_of(execution, planner.used_files.told(generation, found), planner.used_files)
