"""A thousand interrupted runs in one server: does each stop within a step, does anything pile up, is the next right?

Most are interrupted inside one prompt, by a probe that calls the core KSampler and IntelligentSampler again and again
and counts what each leaves behind; some from outside, each a prompt of its own that the HTTP route interrupts.
"""

from __future__ import annotations

import time

from ..comfyui.bench import Bench
from ..comfyui.client import Client
from ..comfyui.graphs import CHECKPOINT
from .comfyui_server import serving
from .report import parser, report

EULER = {"sampler_name": "euler", "scheduler": "normal"}


def inside(client: Client, runs: int, patched: bool) -> dict[str, float | int | bool | str]:
    """Interrupted by the probe, each in its second step; then one run to the end, beside one in a fresh prompt.

    `patched`: the MODEL comes through another node. Core leaves something behind for each of its runs then.
    """
    bench = Bench(client, loader=CHECKPOINT)
    if patched:
        bench.model = [bench.add("patched", "RescaleCFG", model=bench.model, multiplier=0.0), 0]
    bench.interrupts(runs)
    shown = bench.run(timeout=6000).outputs
    figures: dict[str, float | int | bool | str] = {"next_run_equal": shown["equal"]["equal"][0]}
    for who in ("core", "ours"):
        found = shown["interrupts"][who][0]
        early, late = found["early"], found["late"]
        figures |= {
            f"{who}_interrupted": found["interrupted"],
            f"{who}_most_model_calls": found["most_calls"],
            f"{who}_objects_per_run": found["objects_per_run"],
            f"{who}_grown": found["grown"],
        }
    figures |= {f"ours_{what}_grown": late[what] - early[what] for what in late if what != "objects"}
    name = "patched" if patched else "loaded"
    return {f"{name}_{what}": value for what, value in figures.items()}


def outside(client: Client, runs: int) -> dict[str, float | int]:
    """Interrupted over HTTP, each a prompt of a thousand steps."""
    stopped, slowest = 0, 0.0
    for number in range(runs):
        bench = Bench(client, loader=CHECKPOINT)
        bench.ours("ours", {**EULER, "num_steps": 1000}, seed=number)
        bench.told("ours")
        queued = client.queue(bench.prompt)
        client.wait_until_running()
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
    arguments.add_argument("--patched-runs", type=int, default=200, help="with a MODEL that came through another node")
    options = arguments.parse_args()
    with serving() as server:
        started = time.perf_counter()
        figures = inside(server.client, options.runs, patched=False)
        figures["loaded_seconds"] = time.perf_counter() - started
        figures |= inside(server.client, options.patched_runs, patched=True)
        figures |= outside(server.client, options.http_runs)
    report(figures, options.json)


if __name__ == "__main__":
    main()
