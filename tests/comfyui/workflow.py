"""Turns a workflow as the page saves it (UI format) into a prompt for the API, and edits prompts.

The page does this in the browser. This small version knows what our example workflows use: links, widgets by position,
the `control_after_generate` widget that stands behind a seed, muted nodes, notes and reroutes.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .client import Prompt

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
NOT_RUN = {"Note", "MarkdownNote", "Reroute"}
MUTED, BYPASSED = 2, 4
CHECKPOINT_LOADER = "CheckpointLoaderSimple"
"""Its outputs are those of EmbeddedDemoModel."""


def load(path: Path, object_info: dict[str, Any]) -> Prompt:
    """The prompt of a workflow file."""
    return to_prompt(json.loads(path.read_text(encoding="utf-8")), object_info)


def to_prompt(workflow: dict[str, Any], object_info: dict[str, Any]) -> Prompt:
    """Translate a workflow. Raises ValueError for what a prompt from it would silently lose."""
    links = {link[0]: (str(link[1]), link[2]) for link in workflow["links"]}
    nodes = {str(node["id"]): node for node in workflow["nodes"]}
    prompt: Prompt = {}
    for node_id, node in nodes.items():
        kind = node["type"]
        if kind in NOT_RUN or node.get("mode") == MUTED:
            continue
        if kind not in object_info or node.get("mode") == BYPASSED:
            raise ValueError(f"node {node_id} ({kind}) is unknown to the server, or bypassed")
        inputs = dict(_widget_values(object_info[kind], node.get("widgets_values") or []))
        for slot in node.get("inputs", ()):
            if slot.get("link") is not None:
                inputs[slot["name"]] = list(_source(links[slot["link"]], nodes, links))
        title = node.get("title") or object_info[kind]["display_name"]
        prompt[node_id] = {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}
    return prompt


def node_id(prompt: Prompt, class_type: str) -> str:
    """Id of the one node of a type."""
    found = [key for key, node in prompt.items() if node["class_type"] == class_type]
    if len(found) != 1:
        raise ValueError(f"{len(found)} nodes of type {class_type}, not one")
    return found[0]


def changed(prompt: Prompt, edits: dict[str, dict[str, Any]]) -> Prompt:
    """A copy of the prompt with other inputs: node type (or id) → input → value."""
    result = copy.deepcopy(prompt)
    for node, inputs in edits.items():
        result[node if node in prompt else node_id(prompt, node)]["inputs"].update(inputs)
    return result


def with_checkpoint(workflow: dict[str, Any], name: str) -> dict[str, Any]:
    """A copy of a workflow (UI format) that loads this checkpoint, also in place of the other loaders."""
    result = copy.deepcopy(workflow)
    for node in result["nodes"]:
        if node["type"] in ("EmbeddedDemoModel", "CheckpointOrFirst", CHECKPOINT_LOADER):
            widget = {"name": "ckpt_name", "type": "COMBO", "link": None, "widget": {"name": "ckpt_name"}}
            node.update(type=CHECKPOINT_LOADER, inputs=[widget], widgets_values=[name])
            node["properties"]["Node name for S&R"] = CHECKPOINT_LOADER
    return result


def _source(start: tuple[str, int], nodes: dict[str, Any], links: dict[int, tuple[str, int]]) -> tuple[str, int]:
    origin, slot = start
    while nodes[origin]["type"] == "Reroute":
        origin, slot = links[nodes[origin]["inputs"][0]["link"]]
    return origin, slot


def _widget_values(info: dict[str, Any], values: list[Any]) -> Iterator[tuple[str, Any]]:
    position = 0
    for group in ("required", "optional"):
        for name in info["input_order"].get(group, ()):
            kind, *rest = info["input"][group][name]
            options = rest[0] if rest else {}
            if options.get("forceInput") or not (isinstance(kind, list) or kind in WIDGETS):
                continue
            if position < len(values):
                yield name, values[position]
            has_control = options.get("control_after_generate") or (kind == "INT" and name in ("seed", "noise_seed"))
            position += 2 if has_control else 1
