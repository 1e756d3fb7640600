"""Forged inputs for minutes: python -m tests.benchmarks.fuzz --minutes 2 --json

Each target of `tests/tools/fuzz_targets.py` is given damaged copies of sound inputs, and noise. Told of each: inputs,
the share that was refused, crashes (errors that are not the pack's), hangs (more than 100 ms of processor, run again to
be sure), and growth of memory in MB after the first tenth.
"""

from __future__ import annotations

import gc
import random
import tempfile
import time
import warnings
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.benchmarks.report import parser, report
from tests.tools.fuzz_targets import TARGETS, inputs, read_or_refuse

HANG_SECONDS = 0.1
BATCH = settings(
    max_examples=300,
    deadline=None,
    database=None,
    suppress_health_check=tuple(HealthCheck),
    phases=(Phase.generate,),
)
"""Inputs of one seed; hypothesis repeats itself within much longer runs."""


def memory_mb(process: int | str = "self") -> float:
    """Return the resident memory of a process, where the system tells it."""
    gc.collect()
    status = Path(f"/proc/{process}/statm")
    return int(status.read_text().split()[1]) * 4096 / 1e6 if status.exists() else 0.0


def took(name: str, data: bytes, folder: Path) -> tuple[float, str]:
    """Return seconds of processor, and `read`, `refused`, or another error."""
    begun = time.process_time()
    try:
        ended = "read" if read_or_refuse(name, data, folder) else "refused"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        ended = f"{type(error).__name__}: {error}"[:200]
    return time.process_time() - begun, ended


def fuzz(name: str, seconds: float, first_seed: int) -> dict[str, float | int | str | bool | None]:
    """Return the figures of one target."""
    counts = {"inputs": 0, "refused": 0, "hangs": 0}
    crashes: dict[str, bytes] = {}
    slowest, start_mb = 0.0, 0.0
    begun, number = time.monotonic(), first_seed

    def one(data: bytes) -> None:
        nonlocal slowest
        with tempfile.TemporaryDirectory() as folder:
            spent, ended = took(name, data, Path(folder))
            if spent > HANG_SECONDS:
                spent = min(spent, took(name, data, Path(folder))[0])
        counts["inputs"] += 1
        counts["refused"] += ended == "refused"
        counts["hangs"] += spent > HANG_SECONDS
        slowest = max(slowest, spent)
        if ended not in ("read", "refused"):
            crashes.setdefault(ended.partition(":")[0], data)

    while time.monotonic() - begun < seconds:
        seed(number)(BATCH(given(inputs(name))(one)))()
        number += 1
        if not start_mb and time.monotonic() - begun > seconds / 10:
            start_mb = memory_mb()
    for kind, data in crashes.items():
        file = Path(tempfile.gettempdir()) / f"fuzz-{name}-{kind}.bin"
        file.write_bytes(data)
        print(f"{name}: {kind} by {file}")
    return {
        f"{name}_inputs": counts["inputs"],
        f"{name}_refused": counts["refused"] / max(1, counts["inputs"]),
        f"{name}_crashes": len(crashes),
        f"{name}_hangs": counts["hangs"],
        f"{name}_slowest_ms": slowest * 1000,
        f"{name}_growth_mb": memory_mb() - start_mb,
    }


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--minutes", type=float, default=2.0, help="of each target")
    options.add_argument("--targets", nargs="*", choices=list(TARGETS), default=list(TARGETS))
    options.add_argument("--seed", type=int, default=None, help="default: another one each time")
    asked = options.parse_args()
    first = random.randrange(10**6) * 1000 if asked.seed is None else asked.seed
    figures: dict[str, float | int | str | bool | None] = {"seed": first}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in asked.targets:
            figures |= fuzz(name, asked.minutes * 60, first)
    report(figures, asked.json)


if __name__ == "__main__":
    main()
