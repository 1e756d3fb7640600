"""Prompts as they are queued: facts that validation lacks, and the outputs that run where LoRAs are only suggested."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from comfy_execution.utils import get_executing_context

from ...intelligence.config import OnUnconfirmed, OperationMode
from .bypassed_nodes import fill_bypassed
from .core_nodes import core_nodes

RECOMMEND, OPTIMIZE = "LoRARecommend", "ParamOptimize"
RECOMMENDATIONS = 4
"""Output of LoRARecommend that suggestions pass through; they block its others."""

PROMPT_ID, PROMPT, EXTRA_DATA = 1, 2, 3
"""Places in an item of ComfyUI's queue."""

TARGETS = "partial_execution_targets"

_queued: ContextVar[Mapping[str, Any] | None] = ContextVar("queued", default=None)


def register() -> None:
    """Have ComfyUI's server hand over each prompt before it is validated."""
    from server import PromptServer

    PromptServer.instance.add_on_prompt_handler(_on_prompt)


def queued_input(node_id: str, name: str) -> str | None:
    """Return the text of a widget in the prompt that this request is queueing; None: linked, or no such prompt."""
    value = _inputs((_queued.get() or {}).get(node_id)).get(name)
    return value if isinstance(value, str) else None


def runnable_outputs(prompt: Mapping[str, Any]) -> list[str] | None:
    """Return the output nodes that run while suggestions wait for the user; None: nothing waits.

    The other outputs would be blocked when they run, but not before ComfyUI has loaded their models for that.
    """
    waiting = {key for key, node in prompt.items() if _suggests_only(node)}
    if not waiting:
        return None
    optimizers = {key for key, node in prompt.items() if _kind(node) == OPTIMIZE}
    blocked: set[str] = set()
    showing = {*waiting, *(key for key in optimizers if _reads(prompt[key], waiting, RECOMMENDATIONS))}
    while True:
        found = {
            key
            for key, node in prompt.items()
            if key not in showing
            and any(
                origin in blocked or (origin in showing and not (origin in waiting and slot == RECOMMENDATIONS))
                for origin, slot in links(node)
            )
        }
        if found <= blocked:
            break
        blocked |= found
    classes = core_nodes().NODE_CLASS_MAPPINGS
    outputs = (key for key, node in prompt.items() if getattr(classes.get(_kind(node)), "OUTPUT_NODE", False))
    return [key for key in outputs if key not in blocked]


def running_prompt() -> Mapping[str, Any]:
    """Return the prompt that is executed where this is called; empty where none is."""
    found: Mapping[str, Any] = _running(PROMPT)
    return found


def running_extra_data() -> Mapping[str, Any]:
    """Return the extra data of the prompt that is executed where this is called; empty where none is."""
    found: Mapping[str, Any] = _running(EXTRA_DATA)
    return found


def links(node: Any) -> Iterator[tuple[str, int]]:
    """Yield (node id, output) of every link into a node of a prompt."""
    for value in _inputs(node).values():
        if isinstance(value, list) and len(value) == 2 and isinstance(value[1], int):
            yield str(value[0]), value[1]


def _running(part: int) -> Any:
    from server import PromptServer

    context = get_executing_context()
    running = [*PromptServer.instance.prompt_queue.currently_running.values()] if context else []
    return next((item[part] for item in running if context and item[PROMPT_ID] == context.prompt_id), {})


def _on_prompt(request: dict[str, Any]) -> dict[str, Any]:
    prompt = request.get("prompt")
    if not isinstance(prompt, dict):
        return request
    workflow = ((request.get("extra_data") or {}).get("extra_pnginfo") or {}).get("workflow")
    if isinstance(workflow, dict):
        fill_bypassed(prompt, workflow)
    _queued.set(prompt)
    runnable = runnable_outputs(prompt)
    if runnable is None:
        return request
    asked = request.get(TARGETS)
    targets = [key for key in runnable if not isinstance(asked, list) or key in asked]
    return {**request, TARGETS: targets} if targets else request


def _suggests_only(node: Any) -> bool:
    inputs = _inputs(node)
    return (
        _kind(node) == RECOMMEND
        and inputs.get("mode") == OperationMode.ASSISTED
        and inputs.get("on_unconfirmed") == OnUnconfirmed.SUGGEST_ONLY
        and not str(inputs.get("selection", "")).strip()
    )


def _reads(node: Any, origins: set[str], slot: int) -> bool:
    return any(origin in origins and at == slot for origin, at in links(node))


def _kind(node: Any) -> str:
    return str(node.get("class_type", "")) if isinstance(node, Mapping) else ""


def _inputs(node: Any) -> Mapping[str, Any]:
    inputs = node.get("inputs") if isinstance(node, Mapping) else None
    return inputs if isinstance(inputs, Mapping) else {}
