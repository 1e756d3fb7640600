"""Time budgets on a machine that turns busy: is the limit held, and by what?

    python -m tests.benchmarks.busy --host diffusers --json

After calibration, the same settings run with a limit that the machine held a moment ago. Processes that only compute
fill its cores from the start of the run, or from a third of its time on. Each such run is made with `hold_time_limit`
and without, where nothing of it changes in flight.
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
BURN = "while True: pass"


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


def measure(machine: Runner, repeats: int, processes: int) -> dict[str, float | int]:
    """Return all figures."""
    for settings in CALIBRATION:
        machine.run(settings)
    runs: dict[bool, list[Measured]] = {True: [], False: []}
    for _ in range(repeats):
        for start in STARTS:
            for hold in runs:
                quiet = machine.run(SETTINGS)
                limit = {"max_time_seconds": round(SPARE * quiet.seconds, 3), "hold_time_limit": hold}
                with busy(start * quiet.seconds, processes):
                    runs[hold].append(machine.run({**SETTINGS, **limit}))

    def used(run: Measured) -> float:
        return run.seconds / (run.parameters.max_time_seconds or 1)

    broken = [run for run in runs[True] if not run.held]
    return {
        "runs": len(runs[True]),
        "kept": statistics.mean(run.held for run in runs[True]),
        "kept_unchanged": statistics.mean(run.held for run in runs[False]),
        "share_used_median": statistics.median(map(used, runs[True])),
        "share_used_max": max(map(used, runs[True])),
        "share_used_unchanged_median": statistics.median(map(used, runs[False])),
        "broken": len(broken),
        "broken_told": sum(run.told_before or run.told_meanwhile for run in broken),
    }


def main() -> None:
    arguments = parser(__doc__ or "")
    add_host(arguments)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = arguments.parse_args()
    with runner(options.host) as machine:
        report(measure(machine, options.repeats, options.processes), options.json)


if __name__ == "__main__":
    main()
