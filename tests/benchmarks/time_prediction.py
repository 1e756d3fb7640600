"""Time predicted against time taken.

Three calibration runs, then a grid of sizes, steps, samplers and batches, whose runs the pack goes on learning from, as
it does for everyone, with repeats of the calibration among them. Two figures each: what was said before the run
(`online`), and what the three calibration runs alone would have said (`three_runs`).

Wants a quiet machine, or one thread of real-time priority on a shared one (`OMP_NUM_THREADS=1 chrt -f 5 python -m …`):
`repeat_spread` is how far equal runs lay apart, and no prediction can be nearer than that.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence

from intelligence.parameters import ParameterOptimizer, TimeEstimate

from .report import parser, report
from .timed import CALIBRATION, Runner, Settings, add_host, runner

SIZES = ((128, 128), (192, 128), (192, 192), (192, 256), (256, 256), (320, 192))
STEPS = (3, 5, 8, 12)
SAMPLERS = ("euler", "euler_ancestral", "dpmpp_2m", "heun", "uni_pc_bh2")
IMAGES = (1, 1, 2)
CFGS = (1.0, 6.0, 6.0)


def grid(count: int) -> list[Settings]:
    """`count` different settings, the same ones every time."""
    rng = random.Random(0)
    return [
        {
            **dict(zip(("width", "height"), rng.choice(SIZES), strict=True)),
            "steps": rng.choice(STEPS),
            "sampler": rng.choice(SAMPLERS),
            "images": rng.choice(IMAGES),
            "cfg": rng.choice(CFGS),
        }
        for _ in range(count)
    ]


def quality(name: str, found: Sequence[tuple[TimeEstimate, float]]) -> dict[str, float]:
    """How good predictions were: error, coverage, and how wide the interval was."""
    errors = [abs(estimate.seconds / seconds - 1) for estimate, seconds in found]
    return {
        f"{name}_median_error": statistics.median(errors),
        f"{name}_p90_error": sorted(errors)[int(0.9 * len(errors))],
        f"{name}_coverage_90": statistics.mean(estimate.low <= taken <= estimate.high for estimate, taken in found),
        f"{name}_half_width": statistics.median((e.high - e.low) / 2 / e.seconds for e, _ in found),
    }


def measure(machine: Runner, count: int) -> dict[str, float | int]:
    """All figures, of `count` runs of the grid."""
    started = time.monotonic()
    calibration = [machine.run(settings) for settings in CALIBRATION]
    tested, again = [], []
    for index, settings in enumerate(grid(count)):
        tested.append(machine.run(settings))
        if index % 4 == 3:
            again.append(machine.run(CALIBRATION[index // 4 % 3]))
    three = ParameterOptimizer(timings=lambda key: [run.timing for run in calibration])
    repeated = [run.seconds / calibration[index % 3].seconds for index, run in enumerate(again) if index % 3]
    return {
        "runs": len(tested),
        **quality("online", [(run.online, run.seconds) for run in tested]),
        **quality(
            "three_runs",
            [(three.estimate(run.parameters, run.parameters.forward_items or 0), run.seconds) for run in tested],
        ),
        "forward_items_as_predicted": statistics.mean(
            run.parameters.forward_items == run.timing.items for run in tested
        ),
        "repeat_spread": max((abs(ratio - 1) for ratio in repeated), default=0.0),
        "seconds": time.monotonic() - started,
    }


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--runs", type=int, default=16, help="runs of the grid")
    add_host(arguments)
    options = arguments.parse_args()
    with runner(options.host) as machine:
        figures = measure(machine, options.runs)
    report(figures, options.json)


if __name__ == "__main__":
    main()
