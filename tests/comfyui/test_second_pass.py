"""The second pass of IntelligentSampler: equal to the same graph of core nodes, told and counted."""

from __future__ import annotations

from typing import Any

import torch

from .client import Prompt
from .server import Server
from .test_identity import both, latents
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


def told(server: Server, prompt: Prompt) -> dict[str, Any]:
    """What Explain's node says of the run."""
    explain = node_id(prompt, "Explain")
    return server.client.complete(prompt).outputs[explain]


def test_second_pass_of_a_large_size_equals_core_nodes(server: Server) -> None:
    prompt = both(server, width=384, height=512, steps=4, sampler="euler_ancestral", scheduler="normal")
    prompt = changed(prompt, {"latent": {"width": 192, "height": 256}})
    core, ours = latents(server, with_core_second_pass(prompt, (384, 512), steps=2))
    assert ours.shape[-2:] == (64, 48)
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
