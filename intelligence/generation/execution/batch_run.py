"""A job list from its lines to its pictures: planned once, made by an executor, written exactly once, gone on with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...config import BatchConfig, PipelineConfig
from ...memory import MemoryRequest
from ...models import ModelMetadata
from ...records import Record
from ...whole_files import remove_leftovers
from ..diffusers_host import DiffusersHost
from ..pipeline import IntelligentGenerationPipeline
from ..planner import Planner
from ..postprocess.own_steps import OwnStep
from ..run import Host
from ..run_file import RunFile
from ..used_files import base_model_file
from .job_list import JobLine
from .job_records import Executor, Job, Limits, RunProgress, Setup, WorkerProgress, job_key
from .job_run import JobRun
from .job_store import JobStore, SetAside
from .picture_writer import OnPicture, PictureWriter, found_pictures
from .planned_run import Knowledge, PlannedRun

HASH_SECONDS = 600.0
"""Time that planning waits for the hash of a file that nobody has hashed yet."""

OnProgress = Callable[[RunProgress], None]


@dataclass(frozen=True)
class WorkerSummary(Record):
    """Account of a worker."""

    name: str
    device: str
    pictures: int
    pictures_per_second: float
    """While it was at jobs."""
    busy_seconds: float
    setups: int
    """Changes of checkpoint or LoRAs."""


@dataclass(frozen=True)
class BatchSummary(Record):
    """Account of a run of a job list."""

    folder: str
    total: int
    """Jobs of the list; equal ones count once."""
    done: int
    """Of them with pictures by now."""
    made_before: int
    """Of these, by an earlier run."""
    failed: int
    retried: int
    """Attempts that were made again."""
    seconds: float
    pictures_per_second: float
    device_seconds: float
    """Time of all workers at jobs."""
    workers: tuple[WorkerSummary, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    contact_sheet: str = ""


@dataclass
class JobPlanner:
    """Plans the runs of a list, each kind once; knows the planner of each job afterwards."""

    pipelines: dict[str, IntelligentGenerationPipeline] = field(default_factory=dict)
    """By the configuration's JSON."""
    contents: dict[Setup, list[str]] = field(default_factory=dict)
    """Hashes of the files of each setup."""
    requests: dict[tuple[IntelligentGenerationPipeline, int], MemoryRequest] = field(default_factory=dict)
    """By number of pictures too: files of the base model are read for it."""

    def pipeline(self, config: PipelineConfig) -> IntelligentGenerationPipeline:
        """Return the pipeline of a configuration, made once."""
        name = config.to_json()
        if name not in self.pipelines:
            self.pipelines[name] = IntelligentGenerationPipeline(config)
        return self.pipelines[name]

    def knowledge(self, job: Job) -> tuple[Planner, MemoryRequest]:
        """Return planner and memory request of a job."""
        pipeline, images = self.pipeline(job.config), len(job.seeds)
        if (pipeline, images) not in self.requests:
            self.requests[pipeline, images] = pipeline.memory_request(images, images > 1)
        return pipeline.planner, self.requests[pipeline, images]

    def jobs(self, runs: Iterable[RunFile], number: int) -> Iterator[Job]:
        """Yield the jobs of a line's runs, numbered from `number`. Raises like `generate`."""
        chosen: dict[str, Job] = {}
        for run_file in runs:
            for job in self._jobs_of(run_file, chosen):
                yield replace(job, number=number)
                number += 1

    def _jobs_of(self, run_file: RunFile, chosen: dict[str, Job]) -> Iterator[Job]:
        """`chosen`: a job of each kind of run that was planned, which differ by nothing but the seed."""
        run, config = run_file.run, run_file.config
        if run.batch is None and run.seed is not None:
            alike = replace(run_file, run=replace(run, seed=None)).to_json()
            if alike not in chosen:
                chosen[alike] = next(self._planned(run_file, config))
            yield self._keyed(chosen[alike], (run.seed,))
        else:
            yield from self._planned(run_file, config)

    def _planned(self, run_file: RunFile, config: PipelineConfig) -> Iterator[Job]:
        run, pipeline = run_file.run, self.pipeline(config)
        batch = run.batch or BatchConfig(1)
        seed = run.seed if batch.base_seed is None else batch.base_seed
        overrides = run.settings.overrides()
        batch = replace(batch, base_seed=seed)
        runs, _ = pipeline.variations(run.prompt, batch, run.negative_prompt, one_by_one=True, **overrides)
        for recommendations, seeds in runs:
            predicted = recommendations.suggested_params.estimated_time_seconds or 1.0
            yield self._keyed(Job(recommendations, (), "", config, 0, predicted), tuple(seeds))

    def _keyed(self, job: Job, seeds: tuple[int, ...]) -> Job:
        if job.setup not in self.contents:
            self.contents[job.setup] = self._contents(job)
        contents, repair = self.contents[job.setup], job.config.repair
        return replace(job, seeds=seeds, key=job_key(job.recommendations, seeds, contents, repair=repair))

    def _contents(self, job: Job) -> list[str]:
        """Return what names the content of the base model and of each LoRA, hashed now where no hash is known."""
        registry, recommendations = self.pipeline(job.config).registry, job.recommendations
        base = base_model_file(recommendations.model, registry)
        files = [lora.lora_metadata for lora in recommendations.suggested_loras]
        files += [base] if base and Path(base.local_path or "").is_file() else []
        hashes = registry.file_hashes
        hashes.start({file.model_id: file.local_path for file in files if file.local_path and not file.sha256})
        hashes.wait([file.model_id for file in files], HASH_SECONDS)

        def content(file: ModelMetadata) -> str:
            known = hashes.known(file.model_id)
            return file.sha256 or (known.sha256 if known else file.model_id)

        named = {file.model_id: content(file) for file in files}
        first = named[base.model_id] if base and base.model_id in named else job.base_model
        return [first, *(named[lora.lora_metadata.model_id] for lora in recommendations.suggested_loras)]


class BatchRun:
    """The folder of a job list; a context manager. Raises StorageError where it cannot be used.

    Args:
        knowledge: planner and memory request of a job; None: those of this process' data folder.
        own_steps: what pictures go through before they are written.
    """

    def __init__(self, folder: Path, knowledge: Knowledge | None = None, own_steps: Sequence[OwnStep] = ()) -> None:
        self.folder = folder
        self.store = JobStore(folder)
        self.planner = JobPlanner()
        self._planned = PlannedRun(knowledge or self.planner.knowledge, own_steps)

    def __enter__(self) -> BatchRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()

    def plan(self, lines: Iterable[JobLine]) -> list[Job]:
        """Plan the lines that were not planned before, and return all jobs that are open. Raises like `generate`."""
        before, number, names = self.store.planned_lines(), 0, []
        for line in lines:
            names.append(line.id)
            if line.id not in before:
                jobs = list(self.planner.jobs(line.runs, number))
                self.store.put_line(line.id, jobs)
                before[line.id] = len(jobs)
            number += before[line.id]
        return self._open(names)

    def put(self, name: str, jobs: list[Job]) -> list[Job]:
        """Take jobs that are planned already, under a name of theirs, and return those that are open."""
        self.store.put_line(name, jobs)
        return self._open([name])

    def _open(self, names: list[str]) -> list[Job]:
        jobs = self.store.open_jobs(names)
        self.store.put_pictures(found_pictures(self.folder, jobs))
        return self.store.open_jobs(names)

    def run(
        self,
        jobs: list[Job],
        executor: Executor,
        limits: Limits | None = None,
        on_progress: OnProgress | None = None,
        on_picture: OnPicture | None = None,
    ) -> BatchSummary:
        """Make the pictures of open jobs. An interrupt or error leaves a folder that the next run goes on with.

        Args:
            on_progress: called after each step and job. on_picture: called with the path of each written picture and
                the id by which it is rated, from another thread.

        Raises StorageError where nothing can be written, NoWorkerLeftError, and what starting the executor raises.
        """
        before, started = len({row.key for row in self.store.pictures()}), time.monotonic()
        with (
            PictureWriter(self.store, self._planned, on_picture) as writer,
            JobRun(executor, self._planned.fit, limits, on_progress) as run,
        ):
            run.start(lambda worker: self._planned.factor(jobs[0], worker) if jobs else None)
            run.submit(jobs)
            for outcome in run.results():
                writer.put(outcome)
            writer.flush()
            state = run.progress()
        seconds = time.monotonic() - started
        remove_leftovers(self.folder, seconds)  # of an earlier run, which was killed just before this one began
        return self._summary(before, seconds, state)

    def _summary(self, before: int, seconds: float, state: RunProgress) -> BatchSummary:
        aside = self.store.set_aside()
        done = len({row.key for row in self.store.pictures()})
        return BatchSummary(
            folder=str(self.folder),
            total=done + len(aside),
            done=done,
            made_before=before,
            failed=len(aside),
            retried=state.retried,
            seconds=seconds,
            pictures_per_second=state.done / seconds if seconds else 0.0,
            device_seconds=sum(worker.busy_seconds for worker in state.workers),
            workers=tuple(map(_worker_summary, state.workers)),
            set_aside=tuple(aside),
        )


def _worker_summary(worker: WorkerProgress) -> WorkerSummary:
    rate = worker.done / worker.busy_seconds if worker.busy_seconds else 0.0
    return WorkerSummary(worker.name, worker.device, worker.done, rate, worker.busy_seconds, worker.setups)


class HostOfList:
    """The diffusers host of the checkpoint that is in use; another one takes its place."""

    def __init__(self) -> None:
        self._host: DiffusersHost | None = None

    def __call__(self, base_model: str) -> Host:
        if self._host is None or self._host.base_model != base_model:
            self._host = None
            self._host = DiffusersHost(base_model)
        return self._host
