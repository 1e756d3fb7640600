"""A thousand interrupted runs in one server: does each stop within a step, does anything pile up, is the next right?

Most are interrupted inside one prompt, by a probe that calls IntelligentSampler again and again; some from outside,
each a prompt of its own that the HTTP route interrupts.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from ..comfyui import locate
from ..comfyui.sampling import PROBE, Bench
from ..comfyui.server import Server
from .report import parser, report

EULER = {"sampler_name": "euler", "scheduler": "normal"}


def inside(bench: Bench, runs: int) -> dict[str, float | int | bool | str]:
    """Interrupted by the probe, each in its second step; then one run to the end, beside one in a fresh prompt."""
    bench.ours("ours", EULER, seed=7, cfg_cutoff=0.28)
    inputs = {name: bench.prompt["ours"]["inputs"][name] for name in ("model", "positive", "negative", "vae", "plan")}
    bench.add("interrupts", "ProbeInterrupts", **inputs, runs=runs)
    bench.equal("equal", ["ours", 1], ["interrupts", 0])
    run = bench.client.run(bench.prompt, timeout=3000)
    if run.status != "success":
        raise RuntimeError(run.error)
    found = {name: values[0] for name, values in run.outputs["interrupts"].items()}
    early, late = found["early"], found["late"]
    return {
        "interrupted": found["interrupted"],
        "most_model_calls": found["most_calls"],
        "next_run_equal": run.outputs["equal"]["equal"][0],
        **{f"{what}_after_a_tenth": value for what, value in early.items()},
        **{f"{what}_after_all": value for what, value in late.items()},
        "grown": found["grown"],
    }


def outside(server: Server, runs: int) -> dict[str, float | int]:
    """Interrupted over HTTP, each a prompt of a thousand steps."""
    client = server.client
    stopped, slowest = 0, 0.0
    for number in range(runs):
        bench = Bench(client)
        bench.ours("ours", {**EULER, "num_steps": 1000}, seed=number)
        bench.told("ours")
        queued = client.queue(bench.prompt)
        while not client.get("/queue")["queue_running"]:
            time.sleep(0.02)
        time.sleep(0.3)
        asked = time.perf_counter()
        client.interrupt()
        events = [event for event, _ in client.wait(queued["prompt_id"], 60)["status"]["messages"]]
        slowest = max(slowest, time.perf_counter() - asked)
        stopped += events[-1] == "execution_interrupted"
    return {"http_runs": runs, "http_interrupted": stopped, "http_slowest_seconds": slowest}


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--runs", type=int, default=1000)
    arguments.add_argument("--http-runs", type=int, default=20)
    options = arguments.parse_args()
    try:
        installation = locate.installation(locate.checkout())
    except locate.Unavailable as reason:
        sys.exit(f"interrupts: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        packs = {"intelligent-generation": locate.PACK, "probe": PROBE}
        server = Server(Path(folder) / "server", installation, packs)
        server.start()
        try:
            started = time.perf_counter()
            figures = inside(Bench(server.client), options.runs)
            figures["seconds_per_run"] = (time.perf_counter() - started) / options.runs
            figures |= outside(server, options.http_runs)
        finally:
            server.stop()
    report(figures, options.json)


if __name__ == "__main__":
    main()
