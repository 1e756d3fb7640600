"""Links between our nodes and those of other packs, and what is patched again."""

from __future__ import annotations

import itertools
import os

import torch
from safetensors.torch import load

from .client import Client, Prompt, Run
from .examples import SMALL, example
from .server import Server
from .workflow import changed, node_id

MAGIC = "anime girl with magical powers"
WITCH = "the mirkwood witch in a forest"
PIXEL_ART = "embedded_demo/pixel_art.safetensors"
seeds = itertools.count(5000)


def node(kind: str, **inputs: object) -> dict[str, object]:
    return {"class_type": kind, "inputs": inputs}


def with_probes(client: Client, **edits: dict[str, object]) -> Prompt:
    """The example with probes behind LoRARecommend."""
    prompt = example(client, **{"PromptAnalyze": {"prompt": MAGIC}, "IntelligentSampler": {"seed": 1}, **edits})
    recommend = node_id(prompt, "LoRARecommend")
    return {
        **prompt,
        "model": node("ProbeModel", model=[recommend, 0], clip=[recommend, 1]),
        "stack": node("ProbeStack", stack=[recommend, 5]),
    }


def patches(run: Run) -> tuple[str, ...]:
    assert run.status == "success", run.error
    return (*run.outputs["model"]["patches"], *run.outputs["model"]["clip"])


def test_equal_choice_keeps_patched_models(client: Client) -> None:
    """Another threshold makes the choice anew; while the same comes out, the MODELs stay those that are loaded."""
    prompt = with_probes(client, LoRARecommend={"variations": 2}, IntelligentSampler={"seed": next(seeds)})
    first = client.run(prompt)
    assert len(set(patches(first))) == 4
    again = client.run(changed(prompt, {"LoRARecommend": {"min_confidence": 0.29}}))
    assert node_id(prompt, "LoRARecommend") in again.executed
    assert patches(again) == patches(first)


def test_changed_lora_file_is_patched_again(client: Client, server: Server) -> None:
    prompt = with_probes(client, PromptAnalyze={"prompt": WITCH}, IntelligentSampler={"seed": next(seeds)})
    before = patches(client.run(prompt))
    file = server.base / "models" / "loras" / "characters" / "mirkwood_witch.safetensors"
    stat = file.stat()
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
    selection = {"LoRARecommend": {"selection": '[{"lora": "mirkwood_witch", "strength": 0.9}]'}}
    assert patches(client.run(changed(prompt, selection))) != before


def test_unloaded_model_is_freed(client: Client) -> None:
    prompt = with_probes(client, IntelligentSampler={"seed": next(seeds)})
    client.complete(prompt)
    assert client.run({"1": node("ProbeAlive", again=1)}).outputs["1"]["alive"][0] >= 1
    client.free()
    assert client.run({"1": node("ProbeAlive", again=2)}).outputs["1"]["alive"] == [0]


def test_lora_stack_input_and_output(client: Client) -> None:
    prompt = with_probes(client, PromptAnalyze={"prompt": WITCH}, IntelligentSampler={"seed": next(seeds)})
    prompt["stacker"] = node("ProbeStacker", name=PIXEL_ART, strength=0.6)
    prompt[node_id(prompt, "LoRARecommend")]["inputs"]["lora_stack"] = ["stacker", 0]
    run = client.complete(prompt)
    rows = {name: strengths for name, *strengths in run.outputs["stack"]["stack"]}
    assert rows[PIXEL_ART] == [0.6, 0.3]
    assert rows["characters/mirkwood_witch.safetensors"][0] > 0
    off = changed(prompt, {"LoRARecommend": {"mode": "MANUAL"}, "stacker": {"strength": 0.0}})
    run = client.run(off)
    assert patches(run) != () and run.outputs["stack"]["stack"] == [[PIXEL_ART, 0.0, 0.0]]


def test_one_choice_feeds_two_samplers(client: Client) -> None:
    prompt = with_probes(client, IntelligentSampler={"seed": next(seeds)})
    sampler = prompt[node_id(prompt, "IntelligentSampler")]["inputs"]
    prompt["second"] = node("IntelligentSampler", **{**sampler, "seed": next(seeds)})
    prompt["shown"] = node("Explain", generation=["second", 2])
    run = client.complete(prompt)
    texts = [run.outputs[key]["text"][0].split("\n")[0] for key in ("shown", "9")]
    lora = [[part for part in text.split(" | ") if part.startswith("LoRAs")] for text in texts]
    assert lora[0] == lora[1] != [["LoRAs: none"]]


def test_variations_of_two_nodes_are_refused(client: Client) -> None:
    prompt = with_probes(
        client,
        LoRARecommend={"variations": 2},
        ParamOptimize={**SMALL, "variations": 2},
        IntelligentSampler={"seed": next(seeds)},
    )
    run = client.run(prompt)
    assert run.status == "error"
    assert "Set `variations` to 1" in run.error


def test_one_pass_in_smaller_forward_batches_makes_the_same_images(client: Client) -> None:
    """Three images in batches of two are the three of one batch, but for batched arithmetic."""
    edits = {
        "ParamOptimize": {**SMALL, "images": 3, "sampler": "euler"},
        "IntelligentSampler": {"seed": 7, "one_pass": True},
    }
    whole = with_probes(client, **edits)
    sampler = node_id(whole, "IntelligentSampler")
    whole["latent"] = node("SaveLatent", samples=[sampler, 1], filename_prefix="links")
    split = {**changed(whole, {}), "split": node("ProbeSplit", plan=[node_id(whole, "MemoryPlan"), 1], batch_size=2)}
    split[sampler]["inputs"]["plan"] = ["split", 0]
    found = [_latent(client, prompt) for prompt in (whole, split)]
    assert found[0].shape[0] == 3
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0.02)


def _latent(client: Client, prompt: Prompt) -> torch.Tensor:
    run = client.complete(prompt)
    assert len(run.outputs[node_id(prompt, "SaveGeneration")]["images"]) == 3
    (entry,) = run.outputs["latent"]["latents"]
    return load(client.view(entry))["latent_tensor"]
