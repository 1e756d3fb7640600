"""Batches on Ray and on ComfyUI servers while workers, servers and the coordinator are killed; overheads; mixed speeds.

    python -m tests.benchmarks.scale_out --json [--parts overhead ray servers speeds cancel disk] [--jobs 200]

Every part goes through `python -m intelligence batch`, or through the run that it makes. Wall times on a busy machine
say little: `load` tells how busy it was. Minutes to an hour.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from intelligence.config import HOME_VARIABLE
from intelligence.generation.execution.batch_run import BatchRun, HostOfList, JobPlanner
from intelligence.generation.execution.job_list import read_job_list
from intelligence.generation.execution.job_records import Executor, Job, RunProgress, Worker
from intelligence.generation.execution.job_run import JobRun
from intelligence.generation.execution.local_executor import LocalExecutor
from intelligence.generation.execution.planned_run import PlannedRun
from intelligence.generation.run import Execution
from intelligence.pictures.picture_files import NEEDED_BYTES
from tests.benchmarks.report import parser, report
from tests.comfyui import locate, loras
from tests.comfyui.server import Server
from tests.execution.kept_workers import Kept

PROMPT = "anime girl with magical powers"

CANCEL_SIDE = 256

Figures = dict[str, float | int | None]


def line(count: int, steps: int, side: int = 64) -> str:
    """A list of one line: `count` seeds."""
    settings = {"num_steps": steps, "width": side, "height": side}
    run = {"base_model": "embedded", "run": {"prompt": PROMPT, "settings": settings}}
    return json.dumps({**run, "sweep": {"seed": f"0..{count - 1}"}})


def check(folder: Path) -> dict[str, int]:
    """Count pictures, rows, doubles and halves of a batch."""
    from PIL import Image

    files = sorted(folder.glob("*.png"))
    half = len([path for path in folder.iterdir() if path.suffix == ".tmp"])
    for path in files:
        try:
            with Image.open(path) as image:
                image.load()
        except OSError:
            half += 1
    with sqlite3.connect(folder / "jobs.db") as db:
        rows = db.execute("SELECT key, file FROM pictures").fetchall()
        aside = db.execute("SELECT count(*) FROM set_aside").fetchone()[0]
        broken = db.execute("PRAGMA integrity_check").fetchone() != ("ok",)
    db.close()
    double = len(rows) - len({key for key, _ in rows}) + abs(len(files) - len({file for _, file in rows}))
    return {"pictures": len(files), "rows": len(rows), "double": double, "half": half + broken, "set_aside": aside}


class Coordinator:
    """`python -m intelligence batch` as a process that is killed and started again."""

    def __init__(self, folder: Path, list_file: Path, *options: str) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "intelligence", "batch", str(list_file), "--out", str(folder), "--json"]
        self._command = [*command, *options]
        self.log = list_file.with_suffix(".log").open("ab")
        self.start()

    def start(self) -> None:
        """Start it, or start it again."""
        self.process = subprocess.Popen(self._command, stdout=self.log, stderr=self.log)

    def kill(self) -> None:
        """Kill it, and wait until its own Ray is gone too."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        _, left = psutil.wait_procs(children, timeout=30)
        for child in left:
            with suppress(psutil.NoSuchProcess):
                child.kill()

    def workers(self) -> list[psutil.Process]:
        """Return its Ray actors."""
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.process.pid).children(recursive=True)
            return [each for each in children if _name(each).startswith("ray::RayWorker")]
        return []

    def open_ports(self) -> int:
        """Count the ports of its Ray that other machines reach."""
        found = 0
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                places = [each.laddr.ip for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
                found += sum(not ip.removeprefix("::ffff:").startswith("127.") for ip in places)
        return found

    def made(self) -> int:
        """Count the pictures that are there."""
        return len(list(self.folder.glob("*.png")))

    def tell_failure(self) -> None:
        """Print the end of the log where the process did not end well."""
        if self.process.returncode:
            print(Path(self.log.name).read_text(errors="replace")[-3000:], file=sys.stderr)

    def wait(self, done: Callable[[], bool], timeout: float = 3600) -> None:
        """Wait until `done`, or the process ends."""
        end = time.monotonic() + timeout
        while not done() and self.process.poll() is None:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.made()} pictures after {timeout} s")
            time.sleep(0.1)


def _name(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return " ".join(process.cmdline())
    return ""


def ray_kills(folder: Path, jobs: int, every: float, steps: int) -> Figures:
    """Kill a worker every `every` seconds and the coordinator twice."""
    out, listed = folder / "ray", folder / "ray.jsonl"
    listed.write_text(line(jobs, steps))
    coordinator = Coordinator(out, listed, "--executor", "ray", "--workers", "2", "--retries", "5")
    killed, ports = {"worker": 0, "coordinator": 0}, 0
    ended, started = threading.Event(), time.monotonic()

    def kill_workers() -> None:
        while not ended.wait(every):
            if found := coordinator.workers():
                with suppress(psutil.NoSuchProcess):
                    found[killed["worker"] % len(found)].kill()
                    killed["worker"] += 1

    thread = threading.Thread(target=kill_workers)
    thread.start()
    for share in (1 / 3, 2 / 3):
        coordinator.wait(lambda share=share: coordinator.made() >= jobs * share)  # type: ignore[misc]
        if coordinator.process.poll() is None:
            ports += coordinator.open_ports()
            coordinator.kill()
            killed["coordinator"] += 1
            coordinator.start()
    coordinator.wait(lambda: False)
    ended.set()
    thread.join()
    found = check(out)
    coordinator.tell_failure()
    return {
        **{f"ray_{name}": value for name, value in found.items()},
        "ray_worker_kills": killed["worker"],
        "ray_coordinator_kills": killed["coordinator"],
        "ray_ports_beyond_loopback": ports,
        "ray_seconds": time.monotonic() - started,
    }


@contextmanager
def servers(folder: Path, count: int) -> Iterator[list[Server]]:
    """Run ComfyUI servers with the demo model, and name them in the data folder's config.json."""
    from intelligence.generation.embedded import ensure_embedded

    made = []
    for number in range(count):
        environment = {"OMP_NUM_THREADS": "1"}
        server = Server(
            folder / f"server-{number}",
            locate.installation(locate.checkout()),
            {"intelligent-generation": locate.PACK},
            environment=environment,
            checkpoints=False,
        )
        loras.make(server.base / "models" / "loras", loras.DEMO_LIBRARY)
        ensure_embedded(server.home / "embedded")
        made.append(server)
    config = Path(os.environ[HOME_VARIABLE], "config.json")
    try:
        for server in made:
            server.start()
            server.client.post("/intelligent_generation/library/rescan")
            server.client.library_after_scan()
        config.write_text(json.dumps({"comfyui_servers": [server.url for server in made]}))
        yield made
    finally:
        config.unlink(missing_ok=True)
        for server in made:
            with suppress(ProcessLookupError, AssertionError):
                os.kill(server.pid, signal.SIGCONT)
            server.stop()


def server_kills(folder: Path, running: Sequence[Server], jobs: int, hang: float, steps: int) -> Figures:
    """Kill one server and start it again, hang the other for `hang` seconds."""
    out, listed = folder / "comfyui", folder / "comfyui.jsonl"
    listed.write_text(line(jobs, steps))
    first, second = running
    started = time.monotonic()
    coordinator = Coordinator(out, listed, "--executor", "comfyui")
    coordinator.wait(lambda: coordinator.made() >= jobs / 4)
    os.kill(first.pid, signal.SIGKILL)
    first.stop()
    first.start()
    coordinator.wait(lambda: coordinator.made() >= jobs / 2)
    os.kill(second.pid, signal.SIGSTOP)
    hung_at, before = time.monotonic(), coordinator.made()
    coordinator.wait(lambda: time.monotonic() - hung_at > hang)
    meanwhile = coordinator.made() - before
    os.kill(second.pid, signal.SIGCONT)
    coordinator.wait(lambda: False)
    coordinator.tell_failure()
    return {
        **{f"servers_{name}": value for name, value in check(out).items()},
        "servers_made_while_one_hung": meanwhile,
        "servers_seconds": time.monotonic() - started,
    }


def planned(count: int, steps: int, side: int = 64) -> tuple[list[Job], PlannedRun]:
    """Jobs of `count` seeds and what plans them."""
    planner = JobPlanner()
    (one,) = read_job_list([line(count, steps, side)])
    return list(planner.jobs(one.runs, 0)), PlannedRun(planner.knowledge)


def rate(workers: Sequence[Worker], jobs: Sequence[Job], plan: PlannedRun) -> float:
    """Jobs a second."""
    started = time.monotonic()
    with JobRun(Kept(workers), plan.fit) as run:
        run.submit(jobs)
        done = sum(outcome.error is None for outcome in run.results())
    assert done == len(jobs)
    return done / (time.monotonic() - started)


def speeds(jobs: int, steps: int) -> Figures:
    """Two Ray workers: equal ones, each pinned to a core, and one made 4 times slower."""
    from intelligence.generation.execution.ray_executor import RayExecutor

    listed, plan = planned(jobs, steps)
    executor = RayExecutor(2)
    try:
        pair = list(executor.start())
        cores = sorted(os.sched_getaffinity(0))
        for place, worker in enumerate(pair):
            for thread in Path(f"/proc/{worker.pid}/task").iterdir():  # type: ignore[attr-defined]
                os.sched_setaffinity(int(thread.name), {cores[place % len(cores)]})
        for worker in pair:
            rate([worker], listed[:2], plan)
        alone = [rate([worker], listed[: jobs // 2], plan) for worker in pair]
        together = rate(pair, listed, plan)
        overheads = _ray_overheads(pair[0], listed, plan)
        step = 1 / alone[1] / steps
        pair[1].slow_down(3 * step)  # type: ignore[attr-defined]
        slow = rate([pair[1]], listed[: max(2, jobs // 8)], plan)
        mixed = rate(pair, listed, plan)
    finally:
        executor.close()
    return {
        "speedup_two_workers": together / statistics.mean(alone),
        "slow_worker_factor": alone[1] / slow,
        "mixed_share_of_sum": mixed / (alone[0] + slow),
        "mixed_to_fast_alone": mixed / alone[0],
        "overhead_ray_ms": 1000 * statistics.median(overheads),
    }


def _ray_overheads(worker: Worker, jobs: Sequence[Job], plan: PlannedRun) -> list[float]:
    found = []
    with JobRun(Kept([worker]), plan.fit) as run:
        run.submit(jobs)
        for outcome in run.results():
            assert outcome.produced and outcome.produced.execution
            found.append(outcome.seconds - outcome.produced.execution.extra["seconds"])
    return found


class Timed:
    """A host that counts the time of its runs."""

    name = "diffusers"

    def __init__(self) -> None:
        self._hosts, self.seconds = HostOfList(), 0.0

    def __call__(self, base_model: str) -> Timed:
        self._host = self._hosts(base_model)
        return self

    def execute(self, *arguments: Any) -> Execution:
        started = time.perf_counter()
        try:
            return self._host.execute(*arguments)
        finally:
            self.seconds += time.perf_counter() - started


def overhead(folder: Path, jobs: int, steps: int) -> Figures:
    """Time of a job beside its sampling, in this process: of the contract alone, and with files and rows."""
    listed, plan = planned(jobs, steps)
    host = Timed()
    with JobRun(LocalExecutor(host), plan.fit) as run:
        run.submit(listed[:1])
        list(run.results())
    plans = 0.0
    fitted = {}
    started = time.perf_counter()
    for job in listed[1:]:
        fitted[job.key] = plan.fit(job, next(iter(LocalExecutor(host).start())))
    plans = time.perf_counter() - started
    host.seconds, started = 0.0, time.perf_counter()
    with JobRun(LocalExecutor(host), lambda job, worker: fitted[job.key]) as run:
        run.submit(listed[1:])
        list(run.results())
    contract = time.perf_counter() - started - host.seconds
    host.seconds = 0.0
    with BatchRun(folder / "local") as batch:
        (one,) = read_job_list([line(jobs, steps)])
        opened = batch.plan([one])
        started = time.perf_counter()
        batch.run(opened, LocalExecutor(host))
        written = time.perf_counter() - started - host.seconds
    return {
        "overhead_in_process_ms": 1000 * contract / (jobs - 1),
        "memory_plan_ms": 1000 * plans / (jobs - 1),
        "overhead_in_process_with_files_ms": 1000 * written / jobs,
    }


def server_overhead(running: Sequence[Server], jobs: int, steps: int) -> Figures:
    """Time of a job beside the server's own time for it, and beside sampling and decoding."""
    from io import BytesIO

    from PIL import Image

    from intelligence.generation.execution.comfyui_executor import ComfyUIExecutor, prompt_id_of
    from intelligence.generation.image_file import OWN_RECORD

    listed, plan = planned(jobs, steps)
    queue, beside = [], []
    server = running[0]
    with JobRun(ComfyUIExecutor([server.url]), plan.fit) as run:
        run.submit(listed)
        for outcome in run.results():
            assert outcome.produced
            messages = dict(
                server.client.get(f"/history/{prompt_id_of(outcome.job)}").popitem()[1]["status"]["messages"]
            )
            took = messages["execution_success"]["timestamp"] - messages["execution_start"]["timestamp"]
            queue.append(outcome.seconds - took / 1000)
            with Image.open(BytesIO(outcome.produced.files[0])) as image:
                beside.append(outcome.seconds - json.loads(image.info[OWN_RECORD])["generation_time_seconds"])
    return {
        "overhead_comfyui_ms": 1000 * statistics.median(queue[1:]),
        "comfyui_beside_sampling_ms": 1000 * statistics.median(beside[1:]),
    }


def cancel(name: str, executor: Executor, idle: Callable[[], bool], steps: int) -> Figures:
    """Cancel in the middle of a job: steps that still ran, time until nothing does.

    At a size at which a step takes longer than the messages by which it is ended.
    """
    listed, plan = planned(3, steps, CANCEL_SIDE)
    seen: list[tuple[float, int]] = []

    def told(state: RunProgress) -> None:
        if done := sum(worker.step[0] for worker in state.workers):
            seen.append((time.monotonic(), done))

    with JobRun(executor, plan.fit, on_progress=told) as run:
        run.submit(listed)
        at: list[float] = []

        def stop() -> None:
            while len(seen) < 2 or seen[-1][1] < 8:
                time.sleep(0.01)
            at.append(time.monotonic())
            run.cancel()

        thread = threading.Thread(target=stop)
        thread.start()
        done = len(list(run.results()))
        thread.join()
        while not idle():
            time.sleep(0.01)
        ended = time.monotonic()
    (first, one), (last, two) = seen[0], seen[-1]
    step = (last - first) / max(1, two - one)
    return {
        f"cancel_{name}_seconds": ended - at[0],
        f"cancel_{name}_step_seconds": step,
        f"cancel_{name}_steps": (ended - at[0]) / step,
        f"cancel_{name}_finished": done,
    }


def full_disk(folder: Path, steps: int) -> Figures:
    """Fill the disk of a batch, make room, and go on. None where no small disk can be made here."""
    disk, listed = folder / "disk", folder / "disk.jsonl"
    disk.mkdir()
    listed.write_text(line(12, steps))
    size = f"size={NEEDED_BYTES + 400 * 1024}"  # below `NEEDED_BYTES` free no picture is begun
    if subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)], check=False).returncode:
        return {"disk_stopped_cleanly": None, "disk_resumed": None}
    try:
        coordinator = Coordinator(disk / "out", listed)
        coordinator.wait(lambda: False)
        stopped = coordinator.process.returncode == 1 and 0 < coordinator.made() < 12
        before = check(disk / "out")
        subprocess.run(["mount", "-o", f"remount,size={2 * NEEDED_BYTES}", str(disk)], check=True)
        coordinator.start()
        coordinator.wait(lambda: False)
        after = check(disk / "out")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    whole = after["pictures"] == after["rows"] == 12 and not after["half"] + after["double"]
    return {"disk_stopped_cleanly": int(stopped and not before["half"]), "disk_resumed": int(whole)}


def main() -> None:
    options = parser("Batches on many workers.")
    names = ("overhead", "ray", "servers", "speeds", "cancel", "disk")
    options.add_argument("--parts", nargs="*", choices=names, default=list(names))
    options.add_argument("--jobs", type=int, default=200)
    options.add_argument("--steps", type=int, default=4)
    options.add_argument("--kill-every", type=float, default=5.0)
    options.add_argument("--hang", type=float, default=60.0)
    chosen = options.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    figures: Figures = {"jobs": chosen.jobs, "load_at_start": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ[HOME_VARIABLE] = str(folder / "home")
        Path(folder, "home").mkdir()
        figures |= _parts(chosen, folder)
    figures["load_at_end"] = os.getloadavg()[0]
    report(figures, chosen.json)


def _parts(chosen: Any, folder: Path) -> Figures:
    from intelligence.generation.execution.comfyui_executor import ComfyUIExecutor
    from intelligence.generation.execution.ray_executor import RayExecutor

    parts, jobs, steps, few = chosen.parts, chosen.jobs, chosen.steps, min(chosen.jobs, 40)
    figures: Figures = {}
    if "overhead" in parts:
        figures |= overhead(folder, few, steps)
    if "disk" in parts:
        figures |= full_disk(folder, steps)
    if "speeds" in parts:
        figures |= speeds(few, 5 * steps)
    if "ray" in parts:
        figures |= ray_kills(folder, jobs, chosen.kill_every, steps)
    if "cancel" in parts:
        figures |= cancel("local", LocalExecutor(HostOfList()), lambda: True, 60)
        figures |= cancel("ray", RayExecutor(1), lambda: True, 60)
    if {"servers", "overhead", "cancel"} & {*parts}:
        with servers(folder, 2 if "servers" in parts else 1) as running:
            if "overhead" in parts:
                figures |= server_overhead(running, few, steps)
            if "cancel" in parts:
                client = running[0].client
                idle = lambda: not client.get("/queue")["queue_running"]  # noqa: E731
                figures |= cancel("comfyui", ComfyUIExecutor([running[0].url]), idle, 60)
            if "servers" in parts:
                figures |= server_kills(folder, running, jobs, chosen.hang, steps)
    return figures


if __name__ == "__main__":
    main()
