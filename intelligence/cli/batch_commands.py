"""Commands that make many pictures from a job list."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInputError
from ..given_files import MAX_GIVEN_BYTES, given_text
from ..units import counted
from .terminal import Answer

if TYPE_CHECKING:
    from ..generation.execution.batch_run import BatchSummary
    from ..generation.execution.job_list import JobLine
    from ..generation.execution.job_records import Executor, Job, RunProgress

STANDARD_INPUT = "-"


def batch(options: argparse.Namespace) -> Answer:
    from ..generation.execution.batch_run import BatchRun, JobPlanner
    from ..generation.execution.contact_sheet import write_contact_sheet
    from ..generation.execution.job_records import Limits
    from ..generation.standalone import quiet_process
    from ..learning import LearningEngine

    lines = _lines(options)
    if options.dry_run:
        with quiet_process():
            return _foretold([job for line in lines for job in JobPlanner().jobs(line.runs, 0)])
    executor = _executor(options)
    limits = Limits(errors=options.retries + 1, timeout=options.timeout)
    with quiet_process(), BatchRun(Path(options.out)) as run:
        if options.again:
            run.store.try_again()
        jobs = run.plan(lines)
        try:
            with _bar(options, len(jobs)) as told:
                summary = run.run(jobs, executor, limits, told)
        finally:
            pictures, aside = run.store.pictures(), run.store.set_aside()
            sheet = write_contact_sheet(run.folder, pictures, aside, LearningEngine()) if pictures or aside else None
    data = {**summary.to_dict(), "contact_sheet": str(sheet or "")}
    return data, _told(summary, sheet)


def _lines(options: argparse.Namespace) -> list[JobLine]:
    from ..generation.execution.job_list import read_job_list

    if options.prompt is not None:
        if options.jobs is not None:
            raise InvalidInputError("give a job list, or --prompt alone")
        line: dict[str, Any] = {"run": {"prompt": options.prompt}}
        if options.base_model:
            line["base_model"] = options.base_model
        return read_job_list([json.dumps(line)], options.sweep)
    if options.jobs is None:
        raise InvalidInputError("give a job list (- for standard input), or --prompt TEXT with --sweep")
    if options.base_model:
        raise InvalidInputError("--base-model belongs to --prompt; in a list each line names its own base_model")
    text = _standard_input() if options.jobs == STANDARD_INPUT else given_text(Path(options.jobs))
    try:
        return read_job_list(text.split("\n"), options.sweep)
    except InvalidInputError as error:
        raise InvalidInputError(f"{options.jobs}: {error}") from None


def _standard_input() -> str:
    try:
        text = sys.stdin.read(MAX_GIVEN_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{STANDARD_INPUT}: cannot be read ({error})") from None
    if len(text) > MAX_GIVEN_BYTES:
        raise InvalidInputError(f"{STANDARD_INPUT}: cannot be read (larger than {MAX_GIVEN_BYTES >> 20} MB)")
    return text


def _executor(options: argparse.Namespace) -> Executor:
    from ..config import user_settings

    if options.workers is not None and options.executor != "ray":
        raise InvalidInputError("--workers belongs to --executor ray")
    if options.executor == "comfyui":
        from ..generation.execution.comfyui_executor import ComfyUIExecutor

        return ComfyUIExecutor(user_settings().comfyui_servers)
    if options.executor == "ray":
        from ..generation.execution.ray_executor import RayExecutor

        return RayExecutor(options.workers, user_settings().ray_address)
    from ..generation.execution.batch_run import HostOfList
    from ..generation.execution.local_executor import LocalExecutor

    return LocalExecutor(HostOfList())


def _foretold(jobs: list[Job]) -> Answer:
    """Return what a list would make, without making or storing anything."""
    unique = {job.key: job for job in jobs}.values()
    setups = {job.setup for job in unique}
    seconds = sum(job.seconds for job in unique)
    pictures = sum(len(job.seeds) for job in unique)
    data = {
        "jobs": len(unique),
        "pictures": pictures,
        "same_as_another": len(jobs) - len(unique),
        "setups": len(setups),
        "predicted_seconds": seconds,
    }
    same = f", {data['same_as_another']} the same as another" if data["same_as_another"] else ""
    made = f"{counted(pictures, 'picture', 'pictures')} in {counted(len(unique), 'job', 'jobs')}"
    text = f"{made}{same}, {counted(len(setups), 'set', 'sets')} of checkpoint and LoRAs, about "
    return data, text + f"{_duration(seconds)} on this machine. Nothing was made."


@contextmanager
def _bar(options: argparse.Namespace, total: int) -> Iterator[Callable[[RunProgress], None]]:
    """Yield what shows a run's progress: pictures, each worker, time left; on a terminal only."""
    from tqdm import tqdm

    hidden = options.json or not sys.stderr.isatty()
    with tqdm(
        total=total, unit="job", disable=hidden, leave=False, bar_format="{l_bar}{bar}| {n}/{total}{postfix}"
    ) as bar:

        def told(state: RunProgress) -> None:
            left = "" if state.seconds_left is None else f"{_duration(state.seconds_left)} left, "
            each = ", ".join(
                f"{worker.name} {worker.done}" + (f" ({worker.step[0]}/{worker.step[1]})" if worker.step[1] else "")
                for worker in state.workers
            )
            bar.set_postfix_str(left + each, refresh=False)
            bar.update(state.done + state.failed - bar.n)
            bar.refresh()

        yield told


def _told(summary: BatchSummary, sheet: Path | None) -> str:
    before = f" ({summary.made_before} of them before)" if summary.made_before else ""
    lines = [
        f"{summary.done} of {summary.total} jobs done{before}, {summary.failed} set aside, {summary.retried} retried"
    ]
    if summary.done > summary.made_before:
        lines.append(
            f"{_duration(summary.seconds)}, {summary.pictures_per_second:.2f} jobs/s, "
            f"{_duration(summary.device_seconds)} of device time"
        )
    lines += [
        f"  {worker.name}: {worker.pictures} done, {worker.pictures_per_second:.2f}/s, "
        f"{_duration(worker.busy_seconds)} at work ({worker.device or 'device unknown'})"
        for worker in summary.workers
        if worker.pictures
    ]
    lines += [f"  set aside: job {row.number}: {row.error}" for row in summary.set_aside]
    if summary.set_aside:
        lines.append("  --again tries these once more")
    return "\n".join([*lines, str(sheet or "")]).rstrip()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
