"""A bypassed LoRA Recommend: the page passes MODEL and CLIP through it by their types, and drops its other outputs.

They are filled in here as in MANUAL mode without LoRAs: the prompts as they were typed, and the analysis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

RECOMMEND, ANALYZE = "LoRARecommend", "PromptAnalyze"
BYPASSED = 4
"""Mode of a node in a workflow."""

PASSED = {2: "prompt", 3: "negative_prompt", 4: None}
"""Output of LoRA Recommend → the input of Prompt Analyze that stands for it; None: the analysis itself."""


def fill_bypassed(prompt: dict[str, Any], workflow: Mapping[str, Any]) -> None:
    """Add the inputs that nodes of `prompt` lack because they hang on a bypassed LoRA Recommend.

    Args:
        prompt: in API format, as the page made it; changed in place.
        workflow: in UI format.
    """
    for graph, prefix in _graphs(workflow):
        nodes = {str(node["id"]): node for node in graph["nodes"]}
        links = dict(map(_link, graph.get("links") or ()))
        for node in nodes.values():
            if node.get("type") != RECOMMEND or node.get("mode") != BYPASSED:
                continue
            analysis = next((one.get("link") for one in node.get("inputs", ()) if one.get("name") == "analysis"), None)
            source = f"{prefix}{links[analysis][0]}" if analysis in links else ""
            if prompt.get(source, {}).get("class_type") != ANALYZE:
                continue
            for slot, name in PASSED.items():
                value = [source, 0] if name is None else _text(prompt[source]["inputs"].get(name, ""))
                for link in node["outputs"][slot].get("links") or ():
                    _, target, place = links[link]
                    inputs = prompt.get(f"{prefix}{target}", {}).get("inputs")
                    if inputs is not None and target in nodes:
                        inputs.setdefault(nodes[target]["inputs"][place]["name"], value)


def _text(value: Any) -> Any:
    from ...intelligence.prompt.lora_tags import strip_lora_tags

    return strip_lora_tags(value) if isinstance(value, str) else value


def _graphs(
    graph: Mapping[str, Any], prefix: str = "", definitions: Mapping[str, Any] | None = None
) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield the graph and those inside its subgraph nodes, each with the start of its nodes' ids in a prompt."""
    if definitions is None:
        definitions = {one["id"]: one for one in (graph.get("definitions") or {}).get("subgraphs") or ()}
    yield graph, prefix
    for node in graph["nodes"]:
        if (inner := definitions.get(node.get("type"))) is not None:
            yield from _graphs(inner, f"{prefix}{node['id']}:", definitions)


def _link(link: Any) -> tuple[Any, tuple[str, str, int]]:
    """Return a link's id, and its origin, target and the target's slot."""
    if isinstance(link, Mapping):
        return link["id"], (str(link["origin_id"]), str(link["target_id"]), link["target_slot"])
    return link[0], (str(link[1]), str(link[3]), link[4])
