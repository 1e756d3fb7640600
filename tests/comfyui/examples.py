"""The example workflows as prompts that a test can run in seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import checkpoint, workflow
from .client import Client, Prompt

FOLDER = Path(__file__).parents[2] / "example_workflows"
AUTO, SUGGESTIONS = "Prompt to picture", "LoRAs and settings for KSampler"
SMALL = {"width": 128, "height": 128, "steps": 2}


def ui_workflow(name: str = AUTO) -> dict[str, Any]:
    """An example workflow as its file holds it, in UI format: with the embedded demo model."""
    graph: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return graph


def example(client: Client, name: str = AUTO, **edits: dict[str, Any]) -> Prompt:
    """An example workflow at 128² and 2 steps; `edits`: node type → input → value."""
    return _small(client, ui_workflow(name), edits)


def checkpoint_example(client: Client, name: str = AUTO, **edits: dict[str, Any]) -> Prompt:
    """The same with the random checkpoint in the demo model's place."""
    return _small(client, workflow.with_checkpoint(ui_workflow(name), checkpoint.NAME), edits)


def _small(client: Client, graph: dict[str, Any], edits: dict[str, dict[str, Any]]) -> Prompt:
    prompt = workflow.to_prompt(graph, client.object_info())
    return workflow.changed(workflow.changed(prompt, {"ParamOptimize": SMALL}), edits)


def kinds(prompt: Prompt, ids: Any) -> set[str]:
    """Types of the nodes with these ids."""
    return {prompt[key]["class_type"] for key in ids}
