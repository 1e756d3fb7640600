"""Settings, budgets and what is learned of time, in a real server."""

from __future__ import annotations

from .client import Prompt, Run
from .examples import example
from .server import Server
from .workflow import changed, node_id

AUTO = {"steps": 0, "cfg": 0.0, "sampler": "auto", "scheduler": "auto"}


def settings(server: Server, prompt: Prompt) -> str:
    """Text of Param Optimize for its choice; nothing is sampled."""
    run = server.client.run(prompt, targets=[node_id(prompt, "ParamOptimize")])
    return text(prompt, run)


def text(prompt: Prompt, run: Run) -> str:
    assert run.status == "success", run.error
    return "\n".join(run.outputs[node_id(prompt, "ParamOptimize")]["text"])


def test_timing_is_learned_and_impossible_limit_is_named(server: Server) -> None:
    prompt = example(server.client, IntelligentSampler={"seed": 77})
    server.client.complete(prompt)
    assert "cautious guess" not in settings(server, changed(prompt, {"ParamOptimize": {"steps": 3}}))
    hurried = changed(prompt, {"ParamOptimize": {**AUTO, "max_time_seconds": 0.01}})
    assert "the limit of 0.01 s cannot be met; the nearest plan is 8 steps at 128x128" in settings(server, hurried)
