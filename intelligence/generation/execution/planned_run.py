"""Joins jobs to this machine's knowledge: memory plans for each device, records of what was made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property

from ...errors import InvalidInputError, StorageError
from ...learning import LearningEngine
from ...memory import MemoryRequest, detect_resources, weight_bytes
from ...parameters.speed import learn
from ...parameters.workload import Work
from ..generation_result import GenerationResult, results_of
from ..planner import Planner
from ..postprocess.own_steps import OwnStep, with_own_steps
from ..postprocess.steps import switched_off
from ..run import Execution, not_stored, record_run, store_made, timings_of
from ..stages import Generation, GenerationPlan
from ..used_files import FoundFiles
from .job_records import Job, Outcome, Worker
from .server_pictures import SERVER_HOST, recorded_here, server_run

HOST = "diffusers"
"""Host of the executors whose workers give executions."""

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
        self.own_steps = tuple(own_steps)
        self._found: dict[str, FoundFiles] = {}

    def fit(self, job: Job, worker: Worker) -> GenerationPlan:
        """Return the plan of a job for a worker's device, and begin to hash its files. Raises StorageError."""
        planner, request = self._knowledge(job)
        off = switched_off(repair=job.config.repair, seam_check=job.config.seam_check)
        if worker.resources and request.weights_gb:
            share = weight_bytes(worker.resources.device) / weight_bytes(self._device)
            weights = {stage: size * share for stage, size in request.weights_gb.items()}
            request = replace(request, weights_gb=weights)
        plan = planner.plan(job.recommendations, request, worker.resources).without(off)
        if job.key not in self._found:
            self._found[job.key] = planner.used_files.start(plan)
        return plan

    @cached_property
    def _device(self) -> str:
        """Kind of this machine's device, for which requests tell the weights."""
        return detect_resources().device

    def factor(self, job: Job, worker: Worker) -> float | None:
        """Return the seconds of a worker's card for a second of this machine's device; None: no run has told them."""
        learning, key = self.learning(job), job.recommendations.suggested_params.timing_key
        if worker.resources is None:
            return None
        there = card_key(worker.resources.name, worker.resources.device, key)
        if not (card := learning.timings(there)):
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
        assert outcome.produced is not None
        files = self._knowledge(outcome.job)[0].used_files
        execution, generation = (self.from_server if outcome.produced.files else self._from_worker)(outcome, run_id)
        return results_of(execution, generation, files)

    def from_server(self, outcome: Outcome, run_id: str) -> tuple[Execution, Generation]:
        """Return the pictures that a server finished, after own steps, and their record, stored for rating."""
        job, learning, made = outcome.job, self.learning(outcome.job), server_run(outcome)
        plan = self._other_card(outcome, made.execution)
        execution = with_own_steps(made.execution, plan, self.own_steps)
        if made.record is None:
            generation = record_run(execution, SERVER_HOST, plan, job.seeds, learning, run_id=run_id)
            return self._told(job, execution, generation)
        generation = recorded_here(made.record, plan, execution, run_id)
        try:
            store_made(generation, learning)
        except (StorageError, InvalidInputError) as error:  # the picture is what was asked for
            generation = not_stored(generation, error)
        return self._told(job, execution, generation)

    def _from_worker(self, outcome: Outcome, run_id: str) -> tuple[Execution, Generation]:
        assert outcome.produced is not None and outcome.produced.execution is not None and outcome.plan is not None
        plan, job, planner = outcome.plan, outcome.job, self._knowledge(outcome.job)[0]
        execution = outcome.produced.execution
        if not outcome.is_here:
            plan = self._other_card(outcome, execution)
        execution = with_own_steps(execution, plan, self.own_steps)
        memory = planner.memory if outcome.is_here else None
        generation = record_run(execution, HOST, plan, job.seeds, planner.learning, run_id=run_id, memory=memory)
        return self._told(job, execution, generation)

    def _told(self, job: Job, execution: Execution, generation: Generation) -> tuple[Execution, Generation]:
        """Add what is known here of the job's files to its record, unless a server told it."""
        found = self._found.pop(job.key, None)
        files = self._knowledge(job)[0].used_files
        return execution, files.told(generation, None if generation.base_model else found)

    def _other_card(self, outcome: Outcome, execution: Execution) -> GenerationPlan:
        """Learn the time of another card apart from this machine's. Returns the plan without the key of its times."""
        plan, job = outcome.plan, outcome.job
        assert plan is not None
        key = card_key(outcome.device, plan.memory.device, plan.parameters.timing_key)
        there = plan.changed(timing_key=key.rpartition("|")[2])
        with suppress(StorageError):
            for timing in timings_of(there, execution, len(job.seeds)):
                self.learning(job).record_timing(key, timing)
        return plan.changed(timing_key="")


def card_key(card: str, device: str, timing_key: str) -> str:
    """Return the key of the times of a card that is not this process' own.

    Args:
        device: its kind, as in `Resources.device`.
        timing_key: of the same model on this machine's device.
    """
    return f"{card}|{device}:{timing_key.partition(':')[2]}"
