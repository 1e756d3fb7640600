"""The example workflows as prompts that a test can run in seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import checkpoint, workflow
from .client import Client, Prompt

FOLDER = Path(__file__).parents[2] / "example_workflows"
AUTO, SUGGESTIONS = "Auto text to image", "Suggestions only"
SMALL = {"width": 128, "height": 128, "steps": 2}


def example(client: Client, name: str = AUTO, **edits: dict[str, Any]) -> Prompt:
    """An example workflow with the random checkpoint, at 128² and 2 steps; `edits`: node type → input → value."""
    graph = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    prompt = workflow.to_prompt(workflow.with_checkpoint(graph, checkpoint.NAME), client.object_info())
    return workflow.changed(workflow.changed(prompt, {"ParamOptimize": SMALL}), edits)


def kinds(prompt: Prompt, ids: Any) -> set[str]:
    """Types of the nodes with these ids."""
    return {prompt[key]["class_type"] for key in ids}
