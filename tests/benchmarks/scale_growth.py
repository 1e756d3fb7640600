"""A model of growth: from this machine's cost of a job to 1,000 workers and a million jobs.

    python -m tests.benchmarks.scale_growth [--json] [--jobs 1000000] [--job-seconds 5]

Processor seconds of the coordinator are measured with its own parts: the dispatcher, the stores, the files. Workers and
time are simulated with the same dispatcher: mixed speeds (1 to 4), each worker lost once in `--hours-to-loss`, back a
minute later. The coordinator handles results one after the other, in `cost` seconds each.
"""

from __future__ import annotations

import heapq
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from intelligence.generation.execution.dispatcher import Dispatcher
from intelligence.generation.execution.job_records import Limits, Setup
from intelligence.generation.execution.job_store import JobStore, MadePicture
from intelligence.generation.execution.picture_writer import WAITING
from intelligence.generation.image_file import save_picture
from intelligence.generation.run import Execution, record_run
from intelligence.generation.stages import GenerationPlan
from intelligence.learning import LearningEngine
from intelligence.memory import MemoryManager
from tests.benchmarks.report import parser, report
from tests.execution.jobs import job, recommendations

WORKERS = (1, 10, 100, 300, 1000)

BACK_AFTER = 60.0
"""Seconds until a lost worker is back."""

GROUP = WAITING
"""Pictures whose rows are committed together while results come faster than they are written."""

MEASURED = 200
"""Jobs by which costs are measured."""


class SimulatedJob(NamedTuple):
    """As much of a job as the dispatcher asks for."""

    key: int
    setup: Setup
    seconds: float


class Costs(NamedTuple):
    """Seconds of a job in the coordinator."""

    dispatch: float
    record: float
    """Processor time in the learning store."""
    rows: float
    """Processor time in the list's own store."""
    commit: float
    """Wall time of a commit, by the disk."""
    encode: float
    """Processor time of a PNG of one megapixel with its metadata."""

    @property
    def serial(self) -> float:
        """Seconds that no second thread of the same process can take over: all but encoding, which frees Python."""
        return self.dispatch + self.record + self.rows + self.commit / GROUP


class Simulated(NamedTuple):
    seconds: float
    done: int
    lost: int
    busy: float
    """Share of the time that the coordinator was at work."""
    share: float
    """Jobs a second, in shares of the sum of the workers' speeds."""


def simulate(
    workers: int, jobs: int, job_seconds: float, cost: float, hours_to_loss: float, shards: int = 1
) -> Simulated:
    """Run `jobs` with `shards` coordinators, each with its part of the workers and jobs."""
    one = _simulate_one(max(1, workers // shards), jobs // shards, job_seconds, cost, hours_to_loss)
    return one._replace(done=one.done * shards, lost=one.lost * shards)


def _simulate_one(workers: int, jobs: int, job_seconds: float, cost: float, hours_to_loss: float) -> Simulated:
    rng = random.Random(workers)
    dispatcher = Dispatcher(Limits(losses=100))
    speeds = {f"w{number}": rng.uniform(1, 4) for number in range(workers)}
    for name in speeds:
        dispatcher.add_worker(name)
    setup = Setup("base", ())
    dispatcher.submit(SimulatedJob(number, setup, job_seconds) for number in range(jobs))  # type: ignore[misc]
    events: list[tuple[float, int, str, Any, bool]] = []
    coordinator_free = busy = now = 0.0
    done = lost = count = 0

    def start(name: str, at: float) -> None:
        nonlocal count
        if taken := dispatcher.take(name, at):
            takes = taken.seconds / speeds[name]
            fails = rng.expovariate(1 / (hours_to_loss * 3600)) < takes
            count += 1
            heapq.heappush(events, (at + takes, count, name, taken, fails))

    for name in speeds:
        start(name, 0.0)
    while dispatcher.open and events:
        now, _, name, taken, fails = heapq.heappop(events)
        if taken is None:
            dispatcher.add_worker(name)
        elif fails:
            lost += 1
            dispatcher.lost(name, taken, now)
            count += 1
            heapq.heappush(events, (now + BACK_AFTER, count, name, None, False))
            continue
        else:
            coordinator_free = max(now, coordinator_free) + cost
            busy += cost
            now = coordinator_free
            done += dispatcher.finished(name, taken, now).counts
        start(name, now)
    rate = done / now if now else 0.0
    return Simulated(now, done, lost, busy / now if now else 0.0, rate * job_seconds / sum(speeds.values()))


def measure() -> Costs:
    """Measure what a job costs here."""
    dispatch = _cpu(lambda: simulate(100, 20_000, 5.0, 0.0, 1e9)) / 20_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chosen = recommendations(["a", "b"])
        plan = GenerationPlan(chosen, MemoryManager().plan(1024, 1024))
        learning = LearningEngine(folder / "learning.db")
        image = Image.effect_mandelbrot((1024, 1024), (-2, -1.5, 1, 1.5), 100).convert("RGB")
        execution = Execution([image], 1.0)
        generations = []

        def record() -> None:
            for seed in range(MEASURED):
                generations.append(record_run(execution, "diffusers", plan, [seed], learning))

        recorded = _cpu(record) / MEASURED
        store = JobStore(folder / "list")
        store.put_line("line", [job(number) for number in range(MEASURED)])
        pictures = [
            MadePicture(f"key-{number}", 0, f"{number}.png", f"id-{number}", "w", "gpu", 1.0, 1)
            for number in range(MEASURED)
        ]
        groups = [pictures[first : first + GROUP] for first in range(0, MEASURED, GROUP)]
        before = time.perf_counter()
        rows = _cpu(lambda: [store.put_pictures(group) for group in groups]) / MEASURED
        commit = max(0.0, (time.perf_counter() - before) / len(groups) - rows * GROUP)
        store.close()

        def encode() -> None:
            for number in range(5):
                save_picture(folder / f"{number}.png", image, generations[number], 0)

        encoded = _cpu(encode) / 5
    return Costs(dispatch, recorded, rows, commit, encoded)


def _cpu(call: Callable[[], object]) -> float:
    before = time.process_time()
    call()
    return time.process_time() - before


def main() -> None:
    options = parser("From the measured cost of a job to 1,000 workers.")
    options.add_argument("--jobs", type=int, default=1_000_000)
    options.add_argument("--job-seconds", type=float, default=5.0, help="on the slowest worker")
    options.add_argument("--hours-to-loss", type=float, default=24.0)
    options.add_argument("--shards", type=int, default=4)
    chosen = options.parse_args()
    costs = measure()
    figures: dict[str, float | int] = {f"{name}_ms": 1000 * value for name, value in costs._asdict().items()}
    capacity = 1 / costs.serial
    usual = chosen.job_seconds / 2.5
    figures |= {
        "jobs": chosen.jobs,
        "serial_ms": 1000 * costs.serial,
        "jobs_per_second_at_most": capacity,
        "workers_at_most": capacity * usual,
        "encoding_cores_there": capacity * costs.encode,
    }
    for workers in WORKERS:
        for shards in (1, chosen.shards) if workers == WORKERS[-1] else (1,):
            jobs = min(chosen.jobs, workers * 2000)
            found = simulate(workers, jobs, chosen.job_seconds, costs.serial, chosen.hours_to_loss, shards)
            label = f"workers_{workers}" + (f"_shards_{shards}" if shards > 1 else "")
            rate = found.done / found.seconds
            figures |= {
                f"{label}_jobs_per_second": rate,
                f"{label}_share_of_speeds": found.share,
                f"{label}_coordinator_busy": found.busy,
                f"{label}_commits_per_second": rate / GROUP,
                f"{label}_hours_for_all": chosen.jobs / rate / 3600,
                f"{label}_lost": found.lost,
            }
    report(figures, chosen.json)


if __name__ == "__main__":
    main()
