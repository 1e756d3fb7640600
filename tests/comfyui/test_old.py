"""The oldest supported ComfyUI runs the example workflows too."""

from __future__ import annotations

import pytest

from .examples import AUTO, SUGGESTIONS, checkpoint_example, example
from .server import Server
from .workflow import node_id


@pytest.mark.parametrize("name", [AUTO, SUGGESTIONS])
def test_examples_run_on_oldest_comfyui(old_server: Server, name: str) -> None:
    assert "IMPORT FAILED" not in old_server.log()
    prompt = example(old_server.client, name, PromptAnalyze={"prompt": "the mirkwood witch in a forest"})
    run = old_server.client.complete(prompt)
    assert "mirkwood_witch" in run.outputs[node_id(prompt, "LoRARecommend")]["text"][0]
    assert old_server.client.run(prompt).executed == ()


def test_model_evidence_reads_loader_on_oldest_comfyui(old_server: Server) -> None:
    """0.8.0 keeps no record of the file in the loaded model: the graph tells."""
    prompt = checkpoint_example(old_server.client, ParamOptimize={"steps": 1}, IntelligentSampler={"seed": 4})
    run = old_server.client.run(prompt)
    generation = run.outputs[node_id(prompt, "Feedback")]["feedback"][0]["generation_id"]
    stored = old_server.client.get(f"/intelligent_generation/generations/{generation}")
    assert stored["base_model_id"] == "random_sdxl.safetensors"
