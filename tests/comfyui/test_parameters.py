"""Settings, budgets and what is learned of time, in a real server."""

from __future__ import annotations

from .bench import Graph
from .client import Prompt, Run
from .examples import example
from .lora_patterns import write, z_image
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


def test_settings_before_loading_follow_the_header_of_a_diffusion_model(server: Server) -> None:
    """Base and Turbo of Z-Image have equal shapes; the file's own name is in its header, `merge_q8` tells nothing."""
    folder = server.base / "models" / "diffusion_models"
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {f"{name}.weight": (rows, columns) for name, rows, columns in z_image()}
    write(folder / "merge_q8.safetensors", shapes, {"modelspec.title": "Z-Image Base"})
    graph = Graph(server.client)
    graph.add("loader", "UNETLoader", unet_name="merge_q8.safetensors", weight_dtype="default")
    graph.add("analysis", "PromptAnalyze", prompt="a lighthouse at dusk")
    suggested = {"mode": "ASSISTED", "on_unconfirmed": "suggest_only", "analysis": ["analysis", 0]}
    graph.add("loras", "LoRARecommend", model=["loader", 0], **suggested)
    graph.add("parameters", "ParamOptimize", model=["loader", 0], recommendations=["loras", 4])
    (found,) = graph.run().outputs["parameters"]["settings"]
    (folder / "merge_q8.safetensors").unlink()
    assert (found["steps"], found["cfg"], found["sampler"]) == (25, 4, "res_multistep")
