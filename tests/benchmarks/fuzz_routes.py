"""Forged requests to a real server for minutes: python -m tests.benchmarks.fuzz_routes --minutes 10 --json

Told: requests, answers of 500 and above, the slowest answer, how late a beat on the server's event loop came (every
5 ms), and growth of the server's memory in MB after the first tenth.
"""

from __future__ import annotations

import random
import time

from hypothesis import given, seed

from tests.benchmarks.comfyui_server import serving
from tests.benchmarks.event_loop import PROBE, lateness
from tests.benchmarks.fuzz import BATCH
from tests.benchmarks.report import parser, report
from tests.tools.forged_requests import Forged, requests, send
from tests.tools.fuzz_reader import memory_mb


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--seed", type=int, default=None, help="default: another one each time")
    asked = options.parse_args()
    number = random.randrange(10**6) * 1000 if asked.seed is None else asked.seed
    figures: dict[str, float | int | str | bool | None] = {"seed": number}
    with serving(PROBE, checkpoints=False) as server:
        server.client.library_after_scan()
        address = server.url.removeprefix("http://")
        counts = {"requests": 0, "refused": 0, "errors": 0}
        slowest, started_mb = 0.0, 0.0

        def one(request: Forged) -> None:
            nonlocal slowest
            begun = time.perf_counter()
            status, body = send(address, request)
            slowest = max(slowest, time.perf_counter() - begun)
            counts["requests"] += 1
            counts["refused"] += 400 <= status < 500
            if status >= 500:
                counts["errors"] += 1
                print(request, status, body[:300])

        server.client.get("/probe/late")
        begun, seconds = time.monotonic(), asked.minutes * 60
        while time.monotonic() - begun < seconds:
            seed(number)(BATCH(given(requests())(one)))()
            number += 1
            if not started_mb and time.monotonic() - begun > seconds / 10:
                started_mb = memory_mb(server.pid)
        figures |= {**counts, "slowest_ms": slowest * 1000, "growth_mb": memory_mb(server.pid) - started_mb}
        figures |= lateness("fuzz", server.client.get("/probe/late"))
        figures["tracebacks"] = server.log().count("Traceback")
    report(figures, asked.json)


if __name__ == "__main__":
    main()
