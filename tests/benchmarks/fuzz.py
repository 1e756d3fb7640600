"""Forged inputs for minutes: python -m tests.benchmarks.fuzz --minutes 2 --json

Each target of `tests/tools/fuzz_targets.py` is given damaged copies of sound inputs, and noise, in a process that only
reads, for minutes of processor (of what makes and of what reads them), so that a busy machine tries as many; where
`--longest` minutes by the clock are over before, or at Ctrl-C, fewer, and the minutes of processor are told. Told of
each too: inputs, the share that was refused, crashes (errors that are not the pack's), hangs (more than 100 ms run or
slept each time that it is read; not those in which others had the processor), and growth of the reading process in MB
after the first tenth.
`--guided`: atheris makes the inputs, by what they reach in the code; what it finds odd is read again in an ordinary
process.
"""

from __future__ import annotations

import importlib.util
import math
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Event

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.benchmarks.report import parser, report
from tests.tools.fuzz_reader import READ, REFUSED, STUCK, Read, Reader
from tests.tools.fuzz_targets import TARGETS, inputs

HANG_SECONDS = 0.1
BATCH = settings(
    max_examples=300,
    deadline=None,
    database=None,
    suppress_health_check=tuple(HealthCheck),
    phases=(Phase.generate,),
)
"""Inputs of one seed; hypothesis repeats itself within much longer runs."""

AGAIN = 5
"""Times that a slow input is read again: a virtual machine counts what its host takes from it as the reader's."""

Figures = dict[str, float | int | str | bool | None]


class Findings:
    """What became of the inputs of one target."""

    def __init__(self, name: str, reader: Reader) -> None:
        self.name, self.reader = name, reader
        self.inputs = self.refused = self.hangs = 0
        self.crashes: set[str] = set()
        self.slowest = 0.0

    def read(self, inputs: Sequence[bytes]) -> None:
        """Read inputs; keep those in files with which something is wrong."""
        for data, found in zip(inputs, self.reader.read(inputs), strict=True):
            self._add(data, found)

    def _add(self, data: bytes, found: Read) -> None:
        spent = found.seconds
        for _ in range(AGAIN if found.ended != STUCK else 0):
            if spent > HANG_SECONDS:
                spent = min(spent, self.reader.read([data])[0].seconds)
        self.inputs += 1
        self.refused += found.ended == REFUSED
        self.slowest = max(self.slowest, spent)
        if spent > HANG_SECONDS:
            self.hangs += 1
            self._keep(f"hang-{self.hangs}", data)
        kind = found.ended.partition(":")[0]
        if kind not in (READ, REFUSED, STUCK, *self.crashes):
            self.crashes.add(kind)
            self._keep(kind, data)

    def _keep(self, kind: str, data: bytes) -> None:
        file = Path(tempfile.gettempdir()) / f"fuzz-{self.name}-{kind}.bin"
        file.write_bytes(data)
        print(f"{self.name}: {kind} by {file}", flush=True)

    def figures(self) -> Figures:
        return {
            f"{self.name}_inputs": self.inputs,
            f"{self.name}_refused": self.refused / max(1, self.inputs),
            f"{self.name}_crashes": len(self.crashes),
            f"{self.name}_hangs": self.hangs,
            f"{self.name}_slowest_ms": self.slowest * 1000,
        }


def made_inputs(name: str, number: int) -> list[bytes]:
    """Return the inputs of one seed."""
    made: list[bytes] = []

    @seed(number)
    @BATCH
    @given(inputs(name))
    def make(data: bytes) -> None:
        made.append(data)

    make()
    return made


def forged(name: str, seconds: float, number: int, longest: float = math.inf) -> Figures:
    """Return the figures of one target with inputs of hypothesis: seconds of processor, `longest` by the clock.

    An interrupt (Ctrl-C) ends it after the inputs that were made.
    """
    start_mb, begun, last = 0.0, time.process_time(), time.monotonic() + longest
    interrupted = Event()
    signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    with closing(Reader(name)) as reader:
        findings = Findings(name, reader)
        spent = 0.0
        while spent < seconds and time.monotonic() < last and not interrupted.is_set():
            findings.read(made_inputs(name, number))
            number += 1
            spent = time.process_time() - begun + reader.processor_seconds
            if not start_mb and (spent > seconds / 10 or time.monotonic() > last - 0.9 * longest):
                start_mb = reader.memory_mb()
        growth = reader.memory_mb() - start_mb if start_mb else 0.0
    return {**findings.figures(), f"{name}_minutes": spent / 60, f"{name}_growth_mb": growth}


def guided(name: str, seconds: float, number: int) -> Figures:
    """Return the figures of one target with inputs of atheris."""
    with tempfile.TemporaryDirectory() as folder, closing(Reader(name)) as reader:
        found, corpus = Path(folder) / "found", Path(folder) / "corpus"
        for made in (found, corpus):
            made.mkdir()
        for place, sound in enumerate(TARGETS[name][1]):
            (corpus / str(place)).write_bytes(sound)
        command = [sys.executable, "-m", "tests.tools.guided_fuzz", name, str(found), str(corpus)]
        limits = [f"-max_total_time={seconds:.0f}", f"-seed={number + 1}", "-timeout=60", "-rss_limit_mb=4096"]
        artifacts = f"-artifact_prefix={tempfile.gettempdir()}/fuzz-{name}-"
        ran = subprocess.run(
            [*command, *limits, "-print_final_stats=1", artifacts],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if ran.returncode:
            print(f"{name}: {ran.stderr[-3000:]}", flush=True)
        findings = Findings(name, reader)
        findings.read([file.read_bytes() for file in sorted(found.iterdir())])
        executed = re.findall(r"stat::number_of_executed_units:\s*(\d+)", ran.stderr)
    figures = findings.figures() | {f"{name}_inputs": int(executed[0]) if executed else 0}
    figures[f"{name}_crashes"] = len(findings.crashes) + bool(ran.returncode)
    return {key: value for key, value in figures.items() if not key.endswith(("_refused", "_slowest_ms"))}


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--minutes", type=float, default=2.0, help="of processor, for each target")
    options.add_argument("--targets", nargs="*", choices=list(TARGETS), default=list(TARGETS))
    options.add_argument("--longest", type=float, default=math.inf, help="minutes by the clock, for each target")
    options.add_argument("--seed", type=int, default=None, help="default: another one each time")
    options.add_argument("--guided", action="store_true", help="by atheris, which must be installed")
    asked = options.parse_args()
    if asked.guided and importlib.util.find_spec("atheris") is None:
        sys.exit("fuzz: --guided needs atheris: pip install atheris")
    first = random.randrange(10**6) * 1000 if asked.seed is None else asked.seed
    figures: Figures = {"seed": first}
    run: Callable[[str, float, int], Figures] = guided if asked.guided else partial(forged, longest=asked.longest * 60)
    for name in asked.targets:
        figures |= run(name, asked.minutes * 60, first)
    report(figures, asked.json)


if __name__ == "__main__":
    main()
