"""Memory plans carried out in a real server: what is decoded, split and placed, and what running out of memory does."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from safetensors.torch import load_file

from .bench import PLAIN, Bench, generation
from .client import Client, Prompt, Run
from .examples import SMALL, example
from .server import Server
from .workflow import node_id

EULER = {"sampler_name": "euler", "scheduler": "normal"}
again = itertools.count(1)


@pytest.fixture
def bench(client: Client) -> Bench:
    return Bench(client)


def with_memory(bench: Bench, key: str, **changes: Any) -> None:
    """Let the sampler at `key` follow a plan with other values in its memory plan."""
    plan = bench.prompt[key]["inputs"]["plan"]
    changed = bench.add(f"{key}_memory", "ProbeMemory", plan=plan, changes=json.dumps(changes))
    bench.prompt[key]["inputs"]["plan"] = [changed, 0]


def runs_out(bench: Bench, stage: str, **settings: Any) -> dict[str, list[Any]]:
    """MODEL and VAE behind which a stage runs out of memory."""
    inputs = {"model": bench.model, "clip": bench.clip, "vae": bench.vae}
    key = bench.add("fails", "ProbeRunsOut", **inputs, stage=stage, again=next(again), **settings)
    return {"model": [key, 0], "vae": [key, 2]}


# Decoding


@pytest.mark.parametrize(("tile", "width"), [(256, 320), (512, 576)])
def test_tiled_decode_equals_core(bench: Bench, tile: int, width: int) -> None:
    """The image is that of the core node VAEDecodeTiled, to the last bit."""
    bench.size = {"width": width, "height": 64}
    bench.prompt["parameters"]["inputs"].update(bench.size)
    bench.ours("ours", {**EULER, "num_steps": 1}, vae=bench.vae)
    with_memory(bench, "ours", tile_size=tile)
    core = [bench.add("core", "VAEDecodeTiled", samples=["ours", 1], vae=bench.vae, tile_size=tile), 0]
    whole = [bench.add("whole", "VAEDecode", samples=["ours", 1], vae=bench.vae), 0]
    bench.add("equal", "ProbeSameImages", one=["ours", 0], other=core)
    bench.add("different", "ProbeSameImages", one=["ours", 0], other=whole)
    found = bench.run()
    assert found.outputs["equal"]["equal"] == [True]
    assert found.outputs["equal"]["shape"] == [[1, 64, width, 3]]
    assert found.outputs["different"]["equal"] == [False]


def asks_for_a_tile(client: Client) -> None:
    bench = Bench(client)
    bench.size = {"width": 512, "height": 64}
    latent = [bench.add("empty", "EmptyLatentImage", batch_size=1, **bench.size), 0]
    plan = [bench.add("tiled", "ProbeMemory", plan=bench.plan, changes=json.dumps({"tile_size": 256})), 0]
    bench.add("asked", "ProbeAsked", latent=latent, vae=bench.vae, plan=plan)
    shown = client.complete(bench.prompt).outputs["asked"]
    assert shown["asked"] == [shown["whole"][0] / 2]  # 256 × 64 of 512 × 64


def test_tiled_decode_requests_memory_of_one_tile(client: Client) -> None:
    asks_for_a_tile(client)


# CFG split


def test_cfg_split_samples_conditionings_one_by_one(bench: Bench) -> None:
    """Prompt and negative prompt in forwards of their own: the same latent within rounding of float32."""
    model = [bench.add("forwards", "ProbeForwards", model=bench.model, again=next(again)), 0]
    bench.ours("ours", EULER, model=model)
    with_memory(bench, "ours", cfg_split=True)
    bench.told("ours")
    bench.add("forwarded", "ProbeForwarded", latent=["ours", 1])
    core = bench.core("core", "euler", "normal", bench.empty())
    bench.equal("equal", core, ["ours", 1])
    found = bench.run()
    assert found.outputs["forwarded"]["forwards"] == [1] * 6
    assert found.outputs["equal"]["apart"][0] < 1e-3 * found.outputs["equal"]["largest"][0]
    assert generation(found)["forward_items"] == 6
    assert generation(found)["plan"]["memory"]["cfg_split"] is True


def test_conditionings_shared_out_among_devices_stay_so(bench: Bench) -> None:
    """A plan that splits guidance leaves it to core's clones on other devices: two at once, as KSampler has it."""
    watched = [bench.add("forwards", "ProbeForwards", model=bench.model, again=next(again)), 0]
    model = [bench.add("shared", "ProbeTwoDevices", model=watched), 0]
    bench.ours("ours", EULER, model=model, cfg_cutoff=1.0)
    with_memory(bench, "ours", cfg_split=True)
    bench.told("ours")
    bench.add("forwarded", "ProbeForwarded", latent=["ours", 1])
    found = bench.run()
    guided = generation(found)["plan"]["recommendations"]["suggested_params"]["forward_items"] - 3
    assert found.outputs["forwarded"]["devices"] == ["cpu", "cpu:0"]
    assert found.outputs["forwarded"]["forwards"] == [1] * (3 + guided)
    assert generation(found)["forward_items"] == 3 + guided > 3


def test_core_sampler_follows_plan_of_its_model(bench: Bench) -> None:
    watched = [bench.add("forwards", "ProbeForwards", model=bench.model, again=next(again)), 0]
    split = [bench.add("split", "ProbeMemory", plan=bench.plan, changes=json.dumps({"cfg_split": True})), 0]
    bench.add("steered", "ProbeSteered", model=watched, plan=split)
    bench.add(
        "forwarded", "ProbeForwarded", latent=bench.core("core", "euler", "normal", bench.empty(), model=["steered", 0])
    )
    bench.add("plain", "ProbeSteered", model=["steered", 0], plan=bench.plan)
    bench.add("same", "ProbeSteered", model=["steered", 0], plan=split)
    bench.add("untouched", "ProbeSteered", model=bench.model, plan=bench.plan)
    found = bench.run()
    assert found.outputs["forwarded"]["forwards"] == [1] * 6
    assert found.outputs["plain"]["another"] == [True]  # the split is taken off again
    assert found.outputs["same"]["another"] == [False]
    assert found.outputs["untouched"]["another"] == [False]  # a plan that needs nothing does nothing


def test_scouting_works_with_cfg_split(bench: Bench) -> None:
    changes = {**EULER, "num_steps": 8}
    for key, inputs in (("ours", {"seed": 40, "scout": 2}), ("whole", {"seed": 41})):
        bench.ours(key, changes, **inputs)
        with_memory(bench, key, cfg_split=True)
        bench.told(key)
    scouted = bench.run()
    assert len(scouted.outputs["ours"]["images"]) == 2
    bench.prompt["ours"]["inputs"]["pick"] = 2
    bench.equal("equal", ["ours", 1], ["whole", 1])
    found = bench.run()
    assert found.outputs["equal"]["equal"] == [True]
    assert generation(found)["forward_items"] == 6 * 2


# Where weights lie


def limited(share: float, gb: float) -> dict[str, Any]:
    """A plan whose activations leave room for a share of a model of `gb`."""
    stages = {"text": 0.0, "unet": 0.25, "vae": 0.25}
    resident = dict.fromkeys(stages, 0.0)
    return {
        "strategy": "SEQUENTIAL",
        "budget_gb": 0.25 + share * gb,
        "stages": stages,
        "reserved_gb": stages,
        "resident": resident,
    }


def test_place_weights_keeps_what_plan_leaves_room_for(bench: Bench) -> None:
    """On a CPU that counts as a device of its own; the classic patcher then does the same as on a card."""
    own = [bench.add("own", "ProbeDevice", model=bench.model), 0]
    plain = bench.ours("plain", EULER, model=own)
    bench.add("whole", "ProbePlaced", model=own, latent=[plain, 1])
    size = bench.run().outputs["whole"]
    assert size["counted"] == size["size"]

    bench.ours("ours", EULER, model=own, seed=1)
    with_memory(bench, "ours", **limited(0.4, size["size"][0] / 2**30))
    bench.add("part", "ProbePlaced", model=own, latent=["ours", 1])
    bench.equal("equal", ["plain", 1], ["ours", 1])
    found = bench.run()
    (counted,), (placed,) = found.outputs["part"]["counted"], found.outputs["part"]["placed"]
    assert 0.3 * size["size"][0] < counted <= 0.4 * size["size"][0]
    assert placed == pytest.approx(counted, rel=0.01)
    assert found.outputs["equal"]["equal"] == [True]


def test_place_weights_moves_both_ways_after_other_models(bench: Bench) -> None:
    bench.add(
        "moves",
        "ProbeMoves",
        model=bench.model,
        vae=bench.vae,
        plan=bench.plan,
        shares="[2.0, 1.0, 0.5, 0.25, 0.75, 1.0]",
    )
    shown = bench.run().outputs["moves"]
    size, beside = shown["sizes"]
    assert beside < size
    assert shown["kept"] == [True, False, False, False, False, False]
    assert shown["counted"][:2] == [size, size]
    for share, counted, placed in zip((0.5, 0.25, 0.75), shown["counted"][2:], shown["placed"][2:], strict=False):
        assert (share - 0.1) * size < counted <= share * size
        assert placed == pytest.approx(counted, rel=0.01)
    assert shown["counted"][5] == size


def test_plan_for_other_device_is_refused(bench: Bench) -> None:
    bench.ours("ours")
    with_memory(bench, "ours", device="cuda")
    bench.told("ours")
    found = bench.client.run(bench.prompt)
    assert found.status == "error"
    assert "made for cuda, but this model samples on cpu" in found.error


# What is planned and shown


def test_sampler_replans_other_batches_and_sizes(bench: Bench) -> None:
    """Image by image, unless a batch shares its passes; a latent of another size is planned for."""
    bench.ours("ours", EULER, images=3)
    bench.ours("together", EULER, images=3, one_pass=True)
    bench.ours("batch", EULER, images=3, seeds_per_image=False)
    larger = [bench.add("larger", "EmptyLatentImage", width=128, height=64, batch_size=1), 0]
    bench.ours("other", EULER, latent=larger)
    for key in ("ours", "together", "batch", "other"):
        bench.told(key)
    found = bench.run()
    plans = {key: generation(found, key)["plan"]["memory"] for key in ("ours", "together", "batch", "other")}
    assert {key: plan["max_batch"] for key, plan in plans.items()} == {"ours": 1, "together": 3, "batch": 3, "other": 1}
    assert plans["ours"]["batch_size"] == 1
    assert plans["together"]["batch_size"] == 3
    assert plans["together"]["stages"]["unet"] > plans["ours"]["stages"]["unet"]
    assert plans["other"]["stages"]["vae"] > plans["ours"]["stages"]["vae"]
    assert plans["other"]["requested_tile"] == 0


def test_cached_memory_plan_still_reports(bench: Bench) -> None:
    bench.ours("ours")
    bench.told("ours")
    first = bench.run()
    second = bench.run()
    assert second.executed == ()
    assert "Budget" in first.outputs["plan"]["text"][0]
    assert second.outputs["plan"] == first.outputs["plan"]


# Running out of memory


def test_sampling_out_of_memory_retries_with_smaller_plan(bench: Bench) -> None:
    """In the second image of three: the first is not sampled again."""
    core = [bench.core(f"core_{seed}", "euler", "normal", bench.empty(), seed=seed) for seed in (5, 6, 7)]
    for seed, latent in zip((5, 6, 7), core, strict=True):
        bench.add(f"made_{seed}", "ProbeForwarded", latent=latent)
    bench.run()  # from the cache behind this: it is ours that runs out

    bench.ours("ours", EULER, images=3, seed=5, model=runs_out(bench, "sampling", after=3 + 1)["model"])
    bench.told("ours")
    for index, latent in enumerate(core):
        row = [bench.add(f"row_{index}", "LatentFromBatch", samples=["ours", 1], batch_index=index, length=1), 0]
        bench.equal(f"equal_{index}", latent, row)
    found = bench.run()
    told = generation(found)
    assert told["notes"] == ["out of memory while sampling: retrying with FULL_GPU, CFG split"]
    assert [text for _, text in found.texts] == told["notes"]
    assert told["plan"]["memory"]["cfg_split"] is True
    assert found.outputs["equal_0"]["equal"] == [True]
    for index in (1, 2):
        shown = found.outputs[f"equal_{index}"]
        assert shown["apart"][0] < 1e-3 * shown["largest"][0]


def test_scouting_out_of_memory_retries_with_smaller_plan(bench: Bench) -> None:
    model = runs_out(bench, "sampling", after=3)["model"]
    bench.ours("ours", {**EULER, "num_steps": 8}, seed=40, scout=2, model=model)
    bench.told("ours")
    found = bench.run()
    assert len(found.outputs["ours"]["images"]) == 2
    assert found.outputs["ours"]["forward_items"] == [2 * 2 * 2]
    assert "out of memory while sampling" in found.texts[0][1]


@pytest.mark.parametrize("tile", ["whole", "256"])
def test_decoding_out_of_memory_repeats_only_the_decode(bench: Bench, tile: str) -> None:
    """Whole, then in tiles; in tiles, for which there is nothing smaller, then again with all else unloaded."""
    bench.size = {"width": 320, "height": 192}
    bench.prompt["parameters"]["inputs"].update(bench.size)
    bench.prompt["plan"]["inputs"]["tile_size"] = tile
    latent = bench.core("core", "euler", "normal", bench.empty(), steps=1)
    image = [bench.add("decoded", "VAEDecodeTiled", samples=latent, vae=bench.vae, tile_size=256), 0]
    bench.add("made", "ProbeSameImages", one=image, other=image)
    bench.run()

    bench.ours("ours", {**EULER, "num_steps": 1}, vae=runs_out(bench, "decode")["vae"], second_pass="off")
    bench.told("ours")
    bench.equal("latents", latent, ["ours", 1])
    bench.add("images", "ProbeSameImages", one=["ours", 0], other=image)
    found = bench.run()
    told = generation(found)
    how = "FULL_GPU, VAE tiles of 256" if tile == "whole" else "all other models unloaded"
    assert told["notes"] == [f"out of memory while decoding: retrying with {how}"]
    assert told["plan"]["memory"]["tile_size"] == 256
    assert told["forward_items"] == 2
    assert found.outputs["latents"]["equal"] == [True]
    assert found.outputs["images"]["equal"] == [True]


@pytest.mark.parametrize("stage", ["sampling", "decode"])
def test_out_of_memory_twice_names_remedy_and_leaves_clean_server(bench: Bench, stage: str) -> None:
    inputs = runs_out(bench, stage, times=2)
    bench.ours("ours", EULER, seed=77, **inputs)
    bench.told("ours")
    found = bench.client.run(bench.prompt)
    assert found.status == "error"
    doing = "decoding" if stage == "decode" else "sampling"
    assert f"out of memory twice while {doing} at 64x64: " in found.error
    assert "fit" in found.error or "queue it again" in found.error
    assert "Traceback" not in found.error and "Allocation" not in found.error

    after = Bench(bench.client)
    core = after.core("core", "euler", "normal", after.empty(), seed=78)
    image = [after.add("decoded", "VAEDecode", samples=core, vae=after.vae), 0]
    after.ours("ours", EULER, seed=78, vae=after.vae)
    after.told("ours")
    after.equal("equal", core, ["ours", 1])
    after.add("images", "ProbeSameImages", one=["ours", 0], other=image)
    found = after.run()
    assert generation(found)["notes"] == []
    assert found.outputs["equal"]["equal"] == [True]
    assert found.outputs["images"]["equal"] == [True]


def test_out_of_memory_is_known_by_allocator_text(bench: Bench) -> None:
    says = "MPS backend out of memory (MPS allocated: 8.1 GB)"
    bench.ours("ours", EULER, seed=80, model=runs_out(bench, "sampling", says=says)["model"])
    bench.told("ours")
    assert "out of memory while sampling" in generation(bench.run())["notes"][0]


def test_other_errors_are_not_retried(bench: Bench) -> None:
    says = "mat1 and mat2 shapes cannot be multiplied"
    bench.ours("ours", EULER, seed=81, model=runs_out(bench, "sampling", says=says)["model"])
    bench.told("ours")
    found = bench.client.run(bench.prompt)
    assert found.status == "error"
    assert found.error.startswith(says)
    assert found.texts == ()


def chosen(client: Client, stage: str | None = None, times: int = 1, after: int = 0) -> Prompt:
    """The example, with a LoRA that the prompt names; behind its choice, `stage` runs out of memory."""
    prompt = example(
        client,
        PromptAnalyze={"prompt": "the mirkwood witch in a forest"},
        ParamOptimize={**SMALL, "steps": 3, "sampler": "euler"},
        IntelligentSampler={"seed": 123456789, **PLAIN},
        SaveGeneration={"filename_prefix": "tests/memory"},
    )
    sampler = node_id(prompt, "IntelligentSampler")
    prompt["latent"] = {"class_type": "SaveLatent", "inputs": {"samples": [sampler, 1], "filename_prefix": "memory"}}
    prompt["told"] = {"class_type": "ProbeGeneration", "inputs": {"generation": [sampler, 2]}}
    if stage is None:
        return prompt
    loras = node_id(prompt, "LoRARecommend")
    loader = node_id(prompt, "CheckpointOrFirst")
    passed = {(loras, 0): 0, (loras, 1): 1, (loader, 2): 2}
    for key, node in prompt.items():
        for name, value in node["inputs"].items():
            if isinstance(value, list) and (slot := passed.get(tuple(value))) is not None and key != loras:
                node["inputs"][name] = ["fails", slot]
    sources = {name: list(source) for name, source in zip(("model", "clip", "vae"), passed, strict=True)}
    settings = {"stage": stage, "times": times, "after": after, "again": next(again), "says": ""}
    return {**prompt, "fails": {"class_type": "ProbeRunsOut", "inputs": {**sources, **settings}}}


def test_lora_patching_out_of_memory_retries(server: Server) -> None:
    """Half of them are patched in when memory runs out; the second time all of them are."""
    client = server.client
    whole = client.complete(chosen(client))
    assert "lora" in whole.outputs["told"]["generation"][0]["plan"]["memory"]["stages"]
    client.free()
    found = client.complete(chosen(client, "lora", after=30))
    notes = found.outputs["told"]["generation"][0]["notes"]
    assert notes == ["out of memory while patching LoRAs in: retrying with all other models unloaded"]
    assert latent_of(server, found) == latent_of(server, whole)


def test_text_encoding_out_of_memory_fails_in_core_node(server: Server) -> None:
    """Core's CLIPTextEncode is not ours to repeat: the run fails, and the next one is right."""
    client = server.client
    whole = client.complete(chosen(client))
    client.free()
    found = client.run(chosen(client, "text"))
    assert found.status == "error"
    assert latent_of(server, client.complete(chosen(client, "text", times=0))) == latent_of(server, whole)


def latent_of(server: Server, found: Run) -> bytes:
    (entry,) = found.outputs["latent"]["latents"]
    path = server.base / "output" / entry["subfolder"] / entry["filename"]
    return load_file(path)["latent_tensor"].numpy().tobytes()


# The oldest supported ComfyUI


def test_oldest_comfyui_tiles_and_retries(old_server: Server) -> None:
    """Its own decode in tiles asks for the whole image's memory; a run that runs out goes on."""
    asks_for_a_tile(old_server.client)
    bench = Bench(old_server.client)
    bench.ours("ours", EULER, model=runs_out(bench, "sampling")["model"])
    bench.told("ours")
    assert generation(bench.run())["notes"] == ["out of memory while sampling: retrying with FULL_GPU, CFG split"]
