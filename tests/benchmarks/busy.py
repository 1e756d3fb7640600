"""Time budgets on a machine that turns busy: is the limit held, and by what?

    python -m tests.benchmarks.busy --host diffusers --json

After calibration, the same settings run with a limit that the machine held a moment ago. Processes that only compute
fill its cores from the start of the run, or from a third of its time on. Each such run is made with `hold_time_limit`;
the first `--unchanged` ones also without, where nothing of it changes in flight.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

from .report import parser, report
from .timed import CALIBRATION, Measured, Runner, add_host, runner

SETTINGS = {"width": 192, "height": 192, "images": 1, "priority": "QUALITY"}
SPARE = 1.5
"""Limit, in times of what the settings took on the machine as it was."""
STARTS = (0.0, 0.35)
"""Share of that time after which the other processes begin."""
BURN = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


@contextmanager
def busy(after: float, processes: int) -> Iterator[None]:
    """Fill the cores with `processes` from `after` seconds on."""
    burning: list[subprocess.Popen[bytes]] = []

    def burn() -> None:
        burning.extend(subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(processes))

    timer = Timer(after, burn)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for process in burning:
            process.kill()
            process.wait()


def measure(machine: Runner, repeats: int, unchanged: int, processes: int) -> dict[str, float | int]:
    """Return all figures."""
    for settings in CALIBRATION:
        machine.run(settings)
    runs: dict[bool, list[Measured]] = {True: [], False: []}
    steps: list[int] = []
    for number in range(repeats):
        for start in STARTS:
            for hold in (True, False) if number < unchanged else (True,):
                quiet = machine.run(SETTINGS)
                steps.append(quiet.parameters.num_steps)
                limit = {"max_time_seconds": round(SPARE * quiet.seconds, 3), "hold_time_limit": hold}
                with busy(start * quiet.seconds, processes):
                    runs[hold].append(machine.run({**SETTINGS, **limit}))

    held = runs[True]

    def used(run: Measured) -> float:
        return run.seconds / (run.parameters.max_time_seconds or 1)

    broken = [run for run in held if not run.held]
    return {
        "runs": len(held),
        "kept": statistics.mean(run.held for run in held),
        "kept_unchanged": statistics.mean(run.held for run in runs[False]),
        "share_used_median": statistics.median(map(used, held)),
        "share_used_max": max(map(used, held)),
        "share_used_unchanged_median": statistics.median(map(used, runs[False])),
        "steps_quiet": statistics.median(steps),
        "steps_median": statistics.median(run.parameters.num_steps for run in held),
        "steps_fewest": min(run.parameters.num_steps for run in held),
        "broken": len(broken),
        "broken_told": sum(run.told_before or run.told_meanwhile for run in broken),
    }


def main() -> None:
    arguments = parser(__doc__ or "")
    add_host(arguments)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--unchanged", type=int, default=1)
    arguments.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = arguments.parse_args()
    with runner(options.host, quick=True) as machine:  # how a run changes counts, not its length
        report(measure(machine, options.repeats, options.unchanged, options.processes), options.json)


if __name__ == "__main__":
    main()
