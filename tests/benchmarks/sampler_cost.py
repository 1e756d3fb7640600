"""What SPEED and BALANCED cost for a photo, against 30 steps with guidance, and how well their solvers do.

Forward items are counted at the model while the real checkpoint samples; wall time is set beside them. The solvers'
errors are measured where the true solution is known, with core's own samplers.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

from ..comfyui import locate
from ..comfyui.sampling import AS_PLANNED, PROBE, Bench
from ..comfyui.server import Server
from .report import parser, report

PHOTO = "RAW photo of an old fisherman at a harbour, photorealistic, 85mm"
SIDE = 256
REFERENCE = {"num_steps": 30, "guidance_scale": 7.0, "sampler_name": "dpmpp_2m", "scheduler": "karras"}
WITNESSES = {"normal_30": ("dpmpp_2m", "normal", 30), "karras_20": ("dpmpp_2m", "karras", 20)}


def planned(made: Bench, priority: str) -> list:
    """The plan for a priority, with nothing but the size set."""
    inputs = made.prompt["parameters"]["inputs"]
    parameters = made.add("chosen", "ParamOptimize", **{**inputs, "priority": priority, "images": 1})
    return [made.add("chosen_plan", "MemoryPlan", model=made.model, vae=made.vae, parameters=[parameters, 0]), 1]


def sampled(made: Bench, plan: list | None, seed: int) -> dict:
    """The GENERATION of one image by `plan`, or by the reference."""
    if plan is None:
        made.ours("ours", REFERENCE, seed=seed)
    else:
        made.ours("ours", seed=seed, plan=plan, **AS_PLANNED)
        del made.prompt["ours_plan"]
    made.told("ours")
    run = made.client.run(made.prompt)
    if run.status != "success":
        raise RuntimeError(run.error)
    return run.outputs["ours_told"]["generation"][0]


def error(made: Bench, plan: list) -> tuple[float, dict[str, float]]:
    """The solver's error by `plan`, and that of each witness."""
    made.add("mixture", "ProbeMixture", model=made.model, plan=plan, others=json.dumps(list(WITNESSES.values())))
    run = made.client.run(made.prompt)
    if run.status != "success":
        raise RuntimeError(run.error)
    found = run.outputs["mixture"]
    return found["plan"][0], dict(zip(WITNESSES, found["others"], strict=True))


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    try:
        installation = locate.installation(locate.checkout())
    except locate.Unavailable as reason:
        sys.exit(f"sampler_cost: {reason}")
    items: dict[str, int] = {}
    predicted: dict[str, int] = {}
    seconds: dict[str, list[float]] = {"REFERENCE": [], "SPEED": [], "BALANCED": []}
    figures: dict[str, float | int | str] = {}
    with tempfile.TemporaryDirectory() as folder:
        packs = {"intelligent-generation": locate.PACK, "probe": PROBE}
        server = Server(Path(folder) / "server", installation, packs)
        server.start()
        try:
            for round_number in range(options.rounds + 1):
                for name in seconds:
                    made = Bench(server.client, PHOTO, SIDE)
                    plan = None if name == "REFERENCE" else planned(made, name)
                    told = sampled(made, plan, 100 + round_number)
                    items[name] = told["forward_items"]
                    settings = told["plan"]["recommendations"]["suggested_params"]
                    predicted[name] = settings["forward_items"]
                    figures[f"{name.lower()}_settings"] = " ".join(
                        str(settings[key]) for key in ("num_steps", "sampler_name", "scheduler")
                    )
                    if round_number:  # the first round loads and warms up
                        seconds[name].append(told["generation_time_seconds"])
            for name in ("SPEED", "BALANCED"):
                made = Bench(server.client, PHOTO, SIDE)
                figures[f"{name.lower()}_error"], witnesses = error(made, planned(made, name))
                figures |= {f"{witness}_error": value for witness, value in witnesses.items()}
        finally:
            server.stop()
    for name in ("SPEED", "BALANCED"):
        figures[f"{name.lower()}_items"] = items[name]
        figures[f"{name.lower()}_items_predicted"] = predicted[name]
        share = items[name] / items["REFERENCE"]
        wall = statistics.median(
            mine / theirs for mine, theirs in zip(seconds[name], seconds["REFERENCE"], strict=True)
        )
        figures[f"{name.lower()}_items_share"] = share
        figures[f"{name.lower()}_wall_share"] = wall
        figures[f"{name.lower()}_wall_against_items_percent"] = 100 * (wall / share - 1)
    report({"reference_items": items["REFERENCE"], **figures}, options.json)


if __name__ == "__main__":
    main()
