"""Costs of SPEED and BALANCED for a photo against 30 steps with guidance, and the errors of their solvers.

Forward items are counted at the model while the real checkpoint samples; wall and CPU time are set beside them, of
runs that take turns. The solvers' errors are measured where the true solution is known, with core's own samplers.
"""

from __future__ import annotations

import json

from ..comfyui.bench import Bench
from ..comfyui.graphs import CHECKPOINT
from .comfyui_server import serving
from .report import paired, parser, report

PHOTO = "RAW photo of an old fisherman at a harbour, photorealistic, 85mm"
SIDE = 256
REFERENCE = {
    "num_steps": 30,
    "guidance_scale": 7.0,
    "sampler_name": "dpmpp_2m",
    "scheduler": "karras",
    "sigmas": None,
    "rescale_cfg": 0.0,
}
WITNESSES = {"normal_30": ("dpmpp_2m", "normal", 30), "karras_20": ("dpmpp_2m", "karras", 20)}


def planned(made: Bench, priority: str) -> list:
    """The plan for a priority, with nothing but the size set."""
    inputs = made.prompt["parameters"]["inputs"]
    parameters = made.add(priority, "ParamOptimize", **{**inputs, "priority": priority.upper(), "images": 1})
    plan = made.add(f"{priority}_plan", "MemoryPlan", model=made.model, vae=made.vae, parameters=[parameters, 0])
    return [plan, 1]


def costs(made: Bench, plans: dict[str, list], rounds: int) -> dict[str, float | int | str]:
    """Measure each plan without decoding: forward items, and wall and CPU seconds against the reference."""
    conditionings = {"positive": made.positive, "negative": made.negative}
    made.add("costs", "ProbeCosts", model=made.model, vae=made.cheap, **conditionings, **plans, runs=rounds)
    found = made.run(timeout=6000).outputs["costs"]
    told = {name: found[name][0] for name in plans}
    reference = told.pop("reference")["forward_items"]
    figures: dict[str, float | int | str] = {"reference_items": reference}
    for name, generation in told.items():
        settings, items = generation["plan"]["recommendations"]["suggested_params"], generation["forward_items"]
        share = items / reference
        figures |= {
            f"{name}_settings": " ".join(str(settings[key]) for key in ("num_steps", "sampler_name", "scheduler")),
            f"{name}_items": items,
            f"{name}_items_predicted": settings["forward_items"],
            f"{name}_items_share": share,
        }
        for clock in ("wall", "cpu"):
            taken = paired(found[f"{name}_{clock}"], found[f"reference_{clock}"])
            figures[f"{name}_{clock}_share"] = taken
            figures[f"{name}_{clock}_against_items_percent"] = 100 * (taken / share - 1)
    return figures


def errors(made: Bench, plans: dict[str, list]) -> dict[str, float]:
    """The solvers' errors by each plan, and those of the witnesses."""
    others = json.dumps(list(WITNESSES.values()))
    for name, plan in plans.items():
        made.add(f"mixture_{name}", "ProbeMixture", model=made.model, plan=plan, others=others)
    shown = made.run().outputs
    found = {f"{name}_error": shown[f"mixture_{name}"]["plan"][0] for name in plans}
    witnesses = zip(WITNESSES, shown["mixture_speed"]["others"], strict=True)
    return found | {f"{witness}_error": value for witness, value in witnesses}


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()
    with serving() as server:
        made = Bench(server.client, PHOTO, SIDE, CHECKPOINT)
        plans = {name: planned(made, name) for name in ("speed", "balanced")}
        figures = errors(made, plans)
        reference = made.add("reference", "ProbePlan", plan=plans["speed"], changes=json.dumps(REFERENCE))
        figures = costs(made, {"reference": [reference, 0], **plans}, options.rounds) | figures
    report(figures, options.json)


if __name__ == "__main__":
    main()
