"""Rows that cite a template of ComfyUI, against the samplers in that template, as the installed package holds it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from intelligence.parameters.profiles import BUILT_IN

templates = pytest.importorskip("comfyui_workflow_templates_json", reason="ComfyUI's templates are not installed")

FOLDER = Path(templates.__file__).with_name("templates")

CITED = re.compile(r"^ComfyUI template ([\w.]+)(?:: shift \d+|, base: Flux2Scheduler|, distilled)?$")
"""Sources whose settings all stand in the template's nodes; others tell of a LoRA or a second source beside it."""

ROWS = {
    f"{family} {look}": (found[1], row)
    for family, profile in json.loads(BUILT_IN.read_text(encoding="utf-8"))["families"].items()
    for look, priorities in profile["looks"].items()
    for row in (priorities["BALANCED"],)
    if (found := CITED.match(row["source"])) and (FOLDER / f"{found[1]}.json").exists()
}


def widgets(template: str) -> dict[str, list[list[Any]]]:
    """Return node type → values of its widgets, of a template and the subgraphs in it."""
    graph = json.loads((FOLDER / f"{template}.json").read_text(encoding="utf-8"))
    graphs = [graph, *graph.get("definitions", {}).get("subgraphs", [])]
    found: dict[str, list[list[Any]]] = {}
    for node in (node for each in graphs for node in each.get("nodes", [])):
        found.setdefault(node["type"], []).append(node.get("widgets_values") or [])
    return found


def test_most_rows_of_the_table_are_cited_from_templates() -> None:
    assert len(ROWS) >= 15


@pytest.mark.parametrize("template, row", ROWS.values(), ids=ROWS)
def test_row_equals_its_template(template: str, row: dict[str, Any]) -> None:
    found = widgets(template)
    if "KSampler" in found:
        sampled = [(values[2], round(values[3], 1), values[4], values[5]) for values in found["KSampler"]]
        assert (row["steps"], row["cfg"], row["sampler"], row["scheduler"]) in sampled
    else:
        schedulers = found.get("BasicScheduler", []) + found.get("Flux2Scheduler", [])
        assert any(row["steps"] in values for values in schedulers)
        samplers = [values[0].removesuffix("_gpu") for values in found["KSamplerSelect"]]  # where its noise is drawn
        assert row["sampler"] in samplers
        scales = [values[-1] for name in ("CFGGuider", "SamplerCustom") for values in found.get(name, [])]
        assert row["cfg"] == 1 or row["cfg"] in scales
    shifts = [values[0] for name in ("ModelSamplingSD3", "ModelSamplingAuraFlow") for values in found.get(name, [])]
    if shifts:
        assert round(row["shift"], 3) in [round(shift, 3) for shift in shifts]
    if "FluxGuidance" in found:
        assert [row["guidance"]] in found["FluxGuidance"]
