"""All that a graphics card owes, in order of worth: python -m tests.benchmarks.gpu_day --out DIR

Each step is another benchmark, run as a process of its own, whose figures are written to DIR as soon as they are there.
What DIR holds is not run again, so that a second call goes on where the first was stopped. `--rehearse` runs the same
commands on a CPU, each as small as it can be.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from intelligence.memory import detect_resources
from tests.benchmarks.report import parser, report

REPOSITORY = Path(__file__).parents[2]
MIN_SECONDS = 20
"""No step is begun with less time than this left."""


_ERROR = re.compile(r"[\w.]*(?:Error|Exception|Interrupt)\b")
"""Begin of the line that names an error, before what a server may have said."""


@dataclass(frozen=True)
class Step:
    """A benchmark to run."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    rehearsal: tuple[str, ...] = ()
    """Arguments that make it small."""

    def command(self, *, rehearse: bool) -> list[str]:
        """Return the command line."""
        arguments = self.rehearsal if rehearse else self.arguments
        return [sys.executable, "-m", f"tests.benchmarks.{self.module}", "--json", *arguments]


_GRID = ("--no-race", "--dtypes")
_SMALL_GRID = ("--no-race", "--seconds", "1", "--dtypes")
STEPS = (
    Step("memory_float16", "memory_grid", (*_GRID, "float16"), (*_SMALL_GRID, "float16")),
    Step("memory_race", "memory_grid", ("--dtypes", ""), ("--seconds", "1", "--dtypes", "")),
    Step("time_prediction", "time_prediction", (), ("--runs", "1")),
    Step("identity", "sampler_identity", (), ("--runs", "0", "--pairs", "1")),
    Step("priorities", "sampler_cost", (), ("--rounds", "1")),
    Step("memory_float8", "memory_grid", (*_GRID, "float8"), (*_SMALL_GRID, "float8")),
    Step("memory_int8_nf4", "memory_grid", (*_GRID, "int8,nf4"), (*_SMALL_GRID, "int8")),
)
"""The most wanted first: whether plans hold, then times, then that nothing changes a picture, then other formats."""


def machine() -> dict[str, Any]:
    """Return the card, the libraries and the day, which every file of figures begins with."""
    import torch

    found = detect_resources()
    return {
        "machine": found.name or platform.processor(),
        "device": found.device,
        "memory_gib": round(found.total_gb, 1),
        "torch": torch.__version__,
        "date": datetime.now(UTC).date().isoformat(),
    }


def run(step: Step, out: Path, about: Mapping[str, Any], seconds: float, *, rehearse: bool) -> str:
    """Run one step and write its figures, or what it said instead. Returns `done` or the reason why it is not."""
    begun = time.monotonic()
    try:
        ended = subprocess.run(
            step.command(rehearse=rehearse),
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=True,
        )
        figures = json.loads(ended.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return f"no figures within {seconds:.0f} s"
    except (subprocess.CalledProcessError, ValueError, IndexError) as failure:
        said = getattr(failure, "stderr", None) or str(failure)
        (out / f"{step.name}.log").write_text(said, encoding="utf-8")
        lines = said.strip().splitlines() or [type(failure).__name__]
        return next((line for line in reversed(lines) if _ERROR.match(line)), lines[-1])
    written = {**about, "command": " ".join(step.command(rehearse=rehearse)[1:]), **figures}
    written["run_seconds"] = round(time.monotonic() - begun, 1)
    unfinished = out / f"{step.name}.json.part"
    unfinished.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(out / f"{step.name}.json")
    return "done"


def run_all(steps: Sequence[Step], out: Path, seconds: float, *, rehearse: bool) -> dict[str, str]:
    """Run the steps whose figures are not in `out` yet, until the time is up. Returns what became of each."""
    out.mkdir(parents=True, exist_ok=True)
    about, until = machine(), time.monotonic() + seconds
    ended: dict[str, str] = {}
    for step in steps:
        left = until - time.monotonic()
        if (out / f"{step.name}.json").exists():
            ended[step.name] = "done before"
        elif left < MIN_SECONDS:
            ended[step.name] = "not begun: the time is up"
        else:
            ended[step.name] = run(step, out, about, left, rehearse=rehearse)
        print(f"{step.name}: {ended[step.name]}", file=sys.stderr, flush=True)
    return ended


def arguments() -> argparse.ArgumentParser:
    """Return the parser of this command."""
    made = parser(__doc__ or "")
    made.add_argument("--out", type=Path, required=True, help="folder of the figures, one JSON file a step")
    made.add_argument("--seconds", type=float, default=3600.0, help="stop after so long")
    made.add_argument("--only", default="", help="of the steps only these, by commas")
    made.add_argument("--rehearse", action="store_true", help="each step as small as it can be, also on a CPU")
    return made


def main() -> None:
    options = arguments().parse_args()
    names = {name for name in options.only.split(",") if name}
    steps = [step for step in STEPS if not names or step.name in names]
    report(run_all(steps, options.out, options.seconds, rehearse=options.rehearse), options.json)


if __name__ == "__main__":
    main()
