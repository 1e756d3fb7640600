"""Tells the page in which steps of a run guidance is on."""

from __future__ import annotations

from comfy_execution.utils import get_executing_context

from ...intelligence.parameters import OptimizedParameters

EVENT = "intelligent_generation.guidance"


def tell_guidance(parameters: OptimizedParameters, sigmas: tuple[float, ...]) -> None:
    """Send the guided steps, counted from 1, of the node that is executed: first, last (0: none) and number of all."""
    from server import PromptServer

    if (context := get_executing_context()) is None:
        return
    guided = parameters.guided_steps(sigmas)
    told = {"first": guided.start, "last": guided.stop - 1, "steps": len(sigmas) - 1}
    server = PromptServer.instance
    server.send_sync(EVENT, {"node": context.node_id, "prompt_id": context.prompt_id, **told}, server.client_id)
