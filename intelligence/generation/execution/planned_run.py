"""Joins jobs to this machine's knowledge: memory plans for each device, records of what was made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from ...errors import StorageError
from ...learning import LearningEngine
from ...memory import MemoryRequest
from ...parameters.speed import learn
from ...parameters.workload import Work
from ..generation_result import GenerationResult, results_of
from ..planner import Planner
from ..postprocess.own_steps import OwnStep, with_own_steps
from ..postprocess.steps import switched_off
from ..run import Execution, record_run, timings_of
from ..stages import GenerationPlan
from ..used_files import FoundFiles
from .job_records import Job, Outcome, Worker

HOST = "diffusers"
"""Host of the executors whose pictures are recorded here."""

USUAL = Work(1024, 1024, items=40, passes=20, images=1)
"""Run by which cards are compared."""

Knowledge = Callable[[Job], tuple[Planner, MemoryRequest]]


class PlannedRun:
    """Plans jobs for the devices of workers, and stores their generations.

    Args:
        knowledge: plans a job's like.
        own_steps: what pictures go through here, wherever they were made.
    """

    def __init__(self, knowledge: Knowledge, own_steps: Sequence[OwnStep] = ()) -> None:
        self._knowledge = knowledge
        self._own_steps = tuple(own_steps)
        self._found: dict[str, FoundFiles] = {}

    def fit(self, job: Job, worker: Worker) -> GenerationPlan:
        """Return the plan of a job for a worker's device, and begin to hash its files. Raises StorageError."""
        planner, request = self._knowledge(job)
        off = switched_off(repair=job.config.repair, seam_check=job.config.seam_check)
        plan = planner.plan(job.recommendations, request, worker.resources).without(off)
        if job.key not in self._found:
            self._found[job.key] = planner.used_files.start(plan)
        return plan

    def factor(self, job: Job, worker: Worker) -> float | None:
        """Return the seconds of a worker's card for a second of this machine's device; None: no run has told them."""
        learning, key = self.learning(job), job.recommendations.suggested_params.timing_key
        card = learning.timings(card_key(worker.resources.name, key)) if worker.resources else []
        if not card:
            return None
        here = learn(learning.timings(key), key)
        return learn(card, key).estimate(USUAL).seconds / here.estimate(USUAL).seconds

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
        plan = outcome.plan
        if not outcome.is_here:
            plan = self._other_card(outcome, execution)
        execution = with_own_steps(execution, plan, self._own_steps)
        generation = record_run(execution, HOST, plan, job.seeds, learning, run_id=run_id, memory=memory)
        found = self._found.pop(job.key, None)
        return results_of(execution, planner.used_files.told(generation, found), planner.used_files)

    def _other_card(self, outcome: Outcome, execution: Execution) -> GenerationPlan:
        """Learn the time of another card apart from this machine's. Returns the plan without the key of its times."""
        plan, job = outcome.plan, outcome.job
        assert plan is not None
        with suppress(StorageError):
            for timing in timings_of(plan, execution, len(job.seeds)):
                self.learning(job).record_timing(card_key(outcome.device, plan.parameters.timing_key), timing)
        return plan.changed(timing_key="")


def card_key(card: str, timing_key: str) -> str:
    """Return the key of the times of a card that is not this process' own."""
    return f"{card}|{timing_key}"
