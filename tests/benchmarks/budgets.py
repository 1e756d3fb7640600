"""Time budgets: is each kept that can be, and is each announced that cannot?

After three calibration runs every size is tried at every priority: without a limit; with one that nothing keeps, whose
run shows what the nearest plan takes; then with limits between these two, which can be kept (`feasible`), and with
limits below what the nearest plan took, which cannot.

Wants what `time_prediction` wants.
"""

from __future__ import annotations

import itertools
import statistics
import time

from intelligence.config import Priority

from .report import parser, report
from .timed import CALIBRATION, Measured, Runner, add_host, runner

SIZES = ((128, 128), (192, 128), (192, 192), (256, 192))
TIGHTNESS = (0.1, 0.35, 0.6, 1.0)
"""Where a limit that can be kept lies between those that just can and just need be."""

MARGIN = 1.15
"""A limit can be kept when it leaves so much more than the nearest plan took: equal runs lie that far apart."""

IMPOSSIBLE = (0.5, 0.8)
"""Limits that cannot be kept, in shares of what the nearest plan took."""


def situation(machine: Runner, size: tuple[int, int], priority: Priority) -> tuple[list[Measured], list[Measured]]:
    """(runs with limits that can be kept, runs with limits that cannot)."""
    settings = {"width": size[0], "height": size[1], "images": 1, "priority": priority.value}

    def limited(seconds: float) -> Measured:
        return machine.run({**settings, "max_time_seconds": round(seconds, 3)})

    free, nearest = limited(1e4), limited(0.001)
    low, high = MARGIN * nearest.seconds, MARGIN * free.seconds
    feasible = [limited(low + share * (high - low)) for share in TIGHTNESS]
    return feasible, [nearest, *(limited(share * nearest.seconds) for share in IMPOSSIBLE)]


def measure(machine: Runner) -> dict[str, float | int]:
    """All figures."""
    started = time.monotonic()
    for settings in CALIBRATION:
        machine.run(settings)
    feasible: list[Measured] = []
    impossible: list[Measured] = []
    for size, priority in itertools.product(SIZES, Priority):
        can, cannot = situation(machine, size, priority)
        feasible += can
        impossible += cannot
    broken = [run for run in [*feasible, *impossible] if not run.held]
    return {
        "feasible": len(feasible),
        "feasible_kept": statistics.mean(run.held for run in feasible),
        "feasible_doubted": statistics.mean(run.told_before for run in feasible),
        "feasible_warned_for_nothing": statistics.mean(run.told_meanwhile and run.held for run in feasible),
        "feasible_share_used": statistics.median(
            run.seconds / (run.parameters.max_time_seconds or 1) for run in feasible
        ),
        "impossible": len(impossible),
        "impossible_told_before": statistics.mean(run.told_before for run in impossible),
        "impossible_told": statistics.mean(run.told_before or run.told_meanwhile for run in impossible),
        "broken": len(broken),
        "broken_told": statistics.mean(run.told_before or run.told_meanwhile for run in broken),
        "seconds": time.monotonic() - started,
    }


def main() -> None:
    arguments = parser(__doc__ or "")
    add_host(arguments)
    options = arguments.parse_args()
    with runner(options.host) as machine:
        report(measure(machine), options.json)


if __name__ == "__main__":
    main()
