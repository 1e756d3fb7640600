"""Graphs in ComfyUI's API format: how the picture of one was made."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeGuard

MODEL_INPUTS = ("ckpt_name", "unet_name", "model_name")
SETTINGS = {
    "steps": ("steps",),
    "cfg": ("cfg",),
    "sampler": ("sampler_name", "sampler"),
    "scheduler": ("scheduler",),
    "seed": ("seed", "noise_seed"),
    "denoise": ("denoise",),
    "width": ("width", "empty_latent_width"),
    "height": ("height", "empty_latent_height"),
}
"""Setting → the inputs of nodes that hold it."""

TEXT_INPUTS = ("text", "text_g", "prompt", "t5xxl", "clip_l", "text_l", "string", "value")
PROMPTS = ((("positive", "conditioning"), TEXT_INPUTS), (("negative",), ("negative_prompt", "negative", *TEXT_INPUTS)))
"""Of the positive and of the negative prompt: inputs that the conditioning comes by, and those that hold its text."""

ENCODES_NOTHING = "ConditioningZeroOut"

Graph = Mapping[str, Any]


@dataclass(frozen=True)
class GraphFacts:
    positive: str = ""
    negative: str = ""
    model: str = ""
    loras: tuple[tuple[str, float], ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


def graph_facts(graph: Graph) -> GraphFacts | None:
    """Return what the graph's last sampler runs with; None: it has no sampler."""
    nodes = {
        str(key): {} if node.get("class_type") == ENCODES_NOTHING else node["inputs"]
        for key, node in graph.items()
        if _is_node(node)
    }
    sampler = next((node_id for node_id in _from_outputs(nodes) if _is_sampler(nodes[node_id])), None)
    if sampler is None:
        return None
    upstream = [nodes[node_id] for node_id in _upstream(nodes, sampler)]
    settings = {name: _first(nodes, upstream, inputs) for name, inputs in SETTINGS.items()}
    positive, negative = (_prompt(nodes, sampler, *names) for names in PROMPTS)
    return GraphFacts(
        positive,
        negative,
        str(_first(nodes, upstream, MODEL_INPUTS) or ""),
        tuple(_loras(upstream)),
        {name: value for name, value in settings.items() if value is not None},
    )


def _is_node(node: Any) -> bool:
    return isinstance(node, Mapping) and isinstance(node.get("inputs"), Mapping)


def _is_link(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], (str, int))


def _is_sampler(inputs: Mapping[str, Any]) -> bool:
    takes_prompt = _is_link(inputs.get("positive")) or _is_link(inputs.get("guider"))
    names = ("seed", "noise_seed", "noise", "sampler_name", "plan")
    return takes_prompt and any(name in inputs for name in names)


def _from_outputs(nodes: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield every node, from those that nothing takes from back to those that take from nothing."""
    taken = {str(value[0]) for inputs in nodes.values() for value in inputs.values() if _is_link(value)}
    seen: set[str] = set()
    for end in [key for key in nodes if key not in taken] or list(nodes):
        for node_id in _upstream(nodes, end):
            if node_id not in seen:
                seen.add(node_id)
                yield node_id


def _upstream(nodes: Mapping[str, Mapping[str, Any]], start: str) -> list[str]:
    """Return `start` and the nodes that it depends on, nearest first."""
    found, waiting = [start], deque([start])
    seen = {start}
    while waiting:
        for value in nodes[waiting.popleft()].values():
            source = str(value[0]) if _is_link(value) else ""
            if source in nodes and source not in seen:
                seen.add(source)
                found.append(source)
                waiting.append(source)
    return found


def _first(nodes: Mapping[str, Mapping[str, Any]], upstream: list[Mapping[str, Any]], names: tuple[str, ...]) -> Any:
    """Return the nearest plain value of an input of these names, through links to nodes that hold one value."""
    for inputs in upstream:
        for name in names:
            value = inputs.get(name)
            if _is_link(value):
                source = nodes.get(str(value[0]), {})
                value = next((each for each in source.values() if isinstance(each, (str, int, float))), None)
                value = value if len(source) <= 2 else None
            if isinstance(value, (str, int, float)) and not isinstance(value, bool) and value not in ("", "auto"):
                return value
    return None


def _prompt(
    nodes: Mapping[str, Mapping[str, Any]], sampler: str, inputs: tuple[str, ...], texts: tuple[str, ...]
) -> str:
    """Return the text nearest to the conditioning that the sampler, or its guider, takes by one of `inputs`."""
    for node_id in _upstream(nodes, sampler):
        sources = [str(link[0]) for name in inputs if _is_link(link := nodes[node_id].get(name))]
        if sources:
            found = (nodes[inner].get(name) for inner in _upstream(nodes, sources[0]) for name in texts)
            return next((text.strip() for text in found if isinstance(text, str) and text.strip()), "")
    return ""


def _loras(upstream: list[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    for inputs in upstream:
        found = {name: strength for name, strength in _loaded(inputs) if name not in ("", "None")}
        yield from found.items()


def _loaded(inputs: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the LoRAs that a node loads: core's inputs, numbered ones of stackers, and dictionaries of other packs."""
    if isinstance(name := inputs.get("lora_name"), str):
        yield name, _strength(inputs, ("strength_model", "strength", "lora_wt", "model_weight"))
    for key, value in inputs.items():
        if isinstance(value, str) and (number := _NUMBERED.fullmatch(key)):
            off = str(inputs.get(f"switch_{number[1]}", "On")).lower() in ("off", "false")
            if not (off or _past_count(inputs, number[1])):
                yield value, _strength(inputs, tuple(name + number[1] for name in _NUMBERED_STRENGTHS))
        elif isinstance(value, Mapping) and isinstance(value.get("lora"), str):  # rgthree's Power Lora Loader
            if value.get("on", True):
                yield value["lora"], _strength(value, ("strength",))
        elif key == "loras":  # Lora Manager; some versions keep the list under `__value__`
            listed = value.get("__value__") if isinstance(value, Mapping) else value
            for one in listed if isinstance(listed, list) else ():
                if isinstance(one, Mapping) and isinstance(one.get("name"), str) and one.get("active", True):
                    yield one["name"], _strength(one, ("strength",))


_NUMBERED = re.compile(r"lora_(?:name_)?(\d{1,2})")
_NUMBERED_STRENGTHS = ("strength_", "lora_wt_", "model_weight_", "model_str_", "strength_model_")


def _past_count(inputs: Mapping[str, Any], number: str) -> bool:
    """Return True for a stacker's slot behind those in use."""
    count = inputs.get("lora_count", inputs.get("num_loras"))
    return isinstance(count, int) and int(number) > count


def _strength(inputs: Mapping[str, Any], names: Sequence[str]) -> float:
    value = next((inputs[name] for name in names if isinstance(inputs.get(name), (int, float, str))), 1.0)
    return strength_of(value)


def strength_of(value: Any) -> float:
    """Return a number, or a text that is one, as a strength; 1 for all else."""
    with suppress(TypeError, ValueError, OverflowError):
        if math.isfinite(number := float(value)):
            return number
    return 1.0
