"""The second pass of IntelligentSampler: equal to the same graph of core nodes, told and counted."""

from __future__ import annotations

import io
import json

import pytest
import torch
from PIL import Image

from .bench import Bench, generation, is_equal
from .client import Prompt
from .server import Server
from .test_identity import both, latents
from .upscale_models import write_upscale_model
from .workflow import changed, node_id


def with_core_second_pass(prompt: Prompt, size: tuple[int, int], steps: int) -> Prompt:
    """The prompt with LatentUpscale and a second KSampler behind the core one, which the comparison reads."""
    width, height = size
    enlarge = {"upscale_method": "bilinear", "width": width, "height": height, "crop": "disabled"}
    inputs = {**prompt["core"]["inputs"], "latent_image": ["enlarged", 0], "steps": steps, "denoise": 0.5}
    made: Prompt = {
        **prompt,
        "enlarged": {"class_type": "LatentUpscale", "inputs": {"samples": ["core", 0], **enlarge}},
        "second": {"class_type": "KSampler", "inputs": inputs},
    }
    return changed(made, {"decode": {"samples": ["second", 0]}, "core_latent": {"samples": ["second", 0]}})


def with_core_upscale_model(prompt: Prompt, name: str, size: tuple[int, int], steps: int) -> Prompt:
    """The prompt with VAEDecode, an upscale model, ImageScale and VAEEncode in front of the second KSampler."""
    made = with_core_second_pass(prompt, size, steps)
    vae, (width, height) = made["decode"]["inputs"]["vae"], size
    exact = {"upscale_method": "lanczos", "width": width, "height": height, "crop": "disabled"}
    made |= {
        "first": {"class_type": "VAEDecode", "inputs": {"samples": ["core", 0], "vae": vae}},
        "upscaler": {"class_type": "UpscaleModelLoader", "inputs": {"model_name": name}},
        "larger": {
            "class_type": "ImageUpscaleWithModel",
            "inputs": {"upscale_model": ["upscaler", 0], "image": ["first", 0]},
        },
        "exact": {"class_type": "ImageScale", "inputs": {"image": ["larger", 0], **exact}},
        "enlarged": {"class_type": "VAEEncode", "inputs": {"pixels": ["exact", 0], "vae": vae}},
    }
    return changed(made, {"second": {"denoise": 0.4}})


def test_second_pass_of_a_large_size_equals_core_nodes(server: Server) -> None:
    prompt = both(server, width=384, height=512, steps=4, sampler="euler_ancestral", scheduler="normal")
    prompt = changed(prompt, {"latent": {"width": 96, "height": 128}})
    core, ours = latents(server, with_core_second_pass(prompt, (384, 512), steps=2))
    assert ours.shape[-2:] == (64, 48)
    assert torch.equal(core, ours)


def in_tiles(prompt: Prompt, tile: int) -> Prompt:
    """The prompt with these tiles in our plan, and a core upscale model that has no memory for larger ones."""
    plan = prompt[node_id(prompt, "IntelligentSampler")]["inputs"]["plan"]
    tiled = {"class_type": "ProbeMemory", "inputs": {"plan": plan, "changes": json.dumps({"upscale_tile": tile})}}
    limited = {"class_type": "ProbeTiles", "inputs": {"upscale_model": ["upscaler", 0], "tile": tile}}
    made = {**prompt, "tiled": tiled, "limited": limited}
    return changed(made, {"IntelligentSampler": {"plan": ["tiled", 0]}, "larger": {"upscale_model": ["limited", 0]}})


@pytest.mark.parametrize("tile", [0, 128])
def test_second_pass_by_an_upscale_model_equals_core_nodes(server: Server, tile: int) -> None:
    name = "2x-tiny-UltraSharp.safetensors"
    file = server.base / "models" / "upscale_models" / name
    write_upscale_model(file)
    prompt = both(server, width=344, height=344, steps=5, sampler="euler", scheduler="normal")
    prompt = changed(prompt, {"latent": {"width": 128, "height": 128}, "IntelligentSampler": {"upscaler": name}})
    prompt = with_core_upscale_model(prompt, name, (344, 344), steps=2)
    try:
        core, ours = latents(server, in_tiles(prompt, tile) if tile else prompt)
    finally:
        file.unlink()
    assert ours.shape[-2:] == (43, 43)
    assert torch.equal(core, ours)


def test_second_pass_from_a_latent_equals_core_nodes(server: Server) -> None:
    prompt = both(server, steps=4, sampler="dpmpp_2m", scheduler="karras")
    start = {"class_type": "KSampler", "inputs": {**prompt["core"]["inputs"], "seed": 5}}
    prompt = changed(
        {**prompt, "start": start},
        {
            "core": {"latent_image": ["start", 0], "denoise": 0.6},
            "IntelligentSampler": {"denoise": 0.6, "second_pass": "on"},
        },
    )
    prompt[node_id(prompt, "IntelligentSampler")]["inputs"]["latent"] = ["start", 0]
    core, ours = latents(server, with_core_second_pass(prompt, (192, 192), steps=2))
    assert ours.shape[-2:] == (24, 24)
    assert torch.equal(core, ours)


def test_scouted_seed_of_two_passes_is_finished(server: Server) -> None:
    bench, changes = Bench(server.client), {"sampler_name": "dpmpp_2m", "num_steps": 8}
    common = {"vae": bench.vae, "second_pass": "on"}
    bench.ours("ours", changes, seed=40, scout=2, **common)
    bench.told("ours")
    shown = bench.run().outputs["ours"]
    for image in shown["images"]:
        assert Image.open(io.BytesIO(server.client.view(image))).size == (64, 64)

    bench.prompt.pop("ours")
    bench.prompt.pop("ours_told")
    bench.ours("whole", changes, seed=41, **common)
    bench.told("whole")
    bench.run()  # what is learned of its time makes nothing of the scouted steps void
    bench.ours("ours", changes, seed=40, scout=2, pick=2, **common)
    bench.told("ours")
    bench.equal("equal", ["ours", 1], ["whole", 1])
    found = bench.run()
    assert is_equal(found)
    picked, whole = generation(found), generation(found, "whole")
    assert picked["forward_items"] == whole["forward_items"] - shown["forward_items"][0] // 2
    second = picked["plan"]["recommendations"]["suggested_params"]["second_pass"]
    assert (second["width"], second["height"]) == (64, 64)
