"""Settings, budgets and what is learned of time, in a real server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from .client import Prompt, Run
from .examples import example
from .server import Server
from .workflow import changed, node_id

DUSK = {"prompt": "a lighthouse at dusk"}
AUTO = {"steps": 0, "cfg": 0.0, "sampler": "auto", "scheduler": "auto"}
SPEED_LORA = "sdxl_lightning_4step_lora.safetensors"


def settings(server: Server, prompt: Prompt) -> str:
    """Text of Param Optimize for its choice; nothing is sampled."""
    run = server.client.run(prompt, targets=[node_id(prompt, "ParamOptimize")])
    return text(prompt, run)


def text(prompt: Prompt, run: Run) -> str:
    assert run.status == "success", run.error
    return "\n".join(run.outputs[node_id(prompt, "ParamOptimize")]["text"])


@pytest.mark.parametrize(
    ("family", "said"),
    [
        ("auto", ["SDXL: the title in its header, 'Random SDXL', names SDXL", "20 steps, CFG 7, dpmpp_2m/karras"]),
        ("pony", ["Pony: chosen by you", "25 steps, CFG 7, euler_ancestral/normal"]),
        ("lightning", ["Lightning: chosen by you", "4 steps, CFG 1, euler/sgm_uniform"]),
        ("noobai_vpred", ["26 steps, CFG 5, euler/normal", "RescaleCFG 0.7"]),
    ],
)
def test_family_is_inferred_or_named(server: Server, family: str, said: list[str]) -> None:
    shown = settings(server, example(server.client, PromptAnalyze=DUSK, ParamOptimize={**AUTO, "model_family": family}))
    for part in said:
        assert part in shown


def test_family_named_in_lora_recommend_decides_settings(server: Server) -> None:
    prompt = example(server.client, PromptAnalyze=DUSK, ParamOptimize=AUTO, LoRARecommend={"model_family": "pony"})
    shown = settings(server, prompt)
    assert "Pony: chosen by you" in shown and "25 steps, CFG 7, euler_ancestral/normal" in shown
    assert "taken for" not in shown
    both = changed(prompt, {"ParamOptimize": {"model_family": "illustrious"}})
    shown = settings(server, both)
    assert "taken for Pony when LoRAs and quality tags were chosen" in shown and "Illustrious: chosen by you" in shown


@pytest.fixture
def speed_lora(server: Server) -> Iterator[str]:
    """A LoRA with the name of a distillation, for this test alone."""
    folder = server.base / "models" / "loras"
    path = folder / SPEED_LORA
    shutil.copy(next(folder.rglob("*mirkwood*.safetensors")), path)
    yield path.name
    path.unlink()


def test_speed_lora_of_core_loader_changes_settings(server: Server, speed_lora: str) -> None:
    prompt = example(server.client, PromptAnalyze=DUSK, ParamOptimize=AUTO)
    chooser = prompt[node_id(prompt, "LoRARecommend")]["inputs"]
    prompt["speed"] = {
        "class_type": "LoraLoaderModelOnly",
        "inputs": {"model": chooser["model"], "lora_name": speed_lora, "strength_model": 1.0},
    }
    chooser["model"] = ["speed", 0]
    assert "4 steps, CFG 1, euler/sgm_uniform" in settings(server, prompt)
    off = changed(prompt, {"speed": {"strength_model": 0.0}})
    assert "20 steps, CFG 7, dpmpp_2m/karras" in settings(server, off)


def test_timing_is_learned_and_impossible_limit_is_named(server: Server) -> None:
    prompt = example(server.client, IntelligentSampler={"seed": 77})
    server.client.complete(prompt)
    assert "cautious guess" not in settings(server, changed(prompt, {"ParamOptimize": {"steps": 3}}))
    hurried = changed(prompt, {"ParamOptimize": {**AUTO, "max_time_seconds": 0.01}})
    assert "the limit of 0.01 s cannot be met; the nearest plan is 8 steps at 128x128" in settings(server, hurried)
