"""IntelligentSampler and the core KSampler at equal settings: equal latents and images, bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from safetensors.torch import load_file

from .bench import PLAIN
from .client import Prompt
from .examples import SMALL, example
from .server import Server
from .workflow import changed, node_id

PAIRS = [
    ("euler", "normal"),
    ("euler_ancestral", "normal"),
    ("dpmpp_2m", "karras"),
    ("dpmpp_2m_sde", "exponential"),
    ("uni_pc", "simple"),
    ("dpm_2", "beta"),
    ("lcm", "sgm_uniform"),
    ("heun", "kl_optimal"),
]
"""uni_pc and dpm_2 drop the penultimate sigma; the ancestral and SDE samplers draw noise of their own."""


def both(server: Server, make: Callable[..., Prompt] = example, **settings: object) -> Prompt:
    """The example with a core KSampler and decode beside our sampler, on the same MODEL and conditionings."""
    prompt = make(
        server.client,
        PromptAnalyze={"prompt": "the mirkwood witch in a forest"},
        ParamOptimize={**SMALL, "steps": 3, **settings},
        IntelligentSampler={"seed": 123456789, **PLAIN},
        SaveGeneration={"filename_prefix": "tests/identity"},
    )
    ours = prompt[node_id(prompt, "IntelligentSampler")]["inputs"]
    parameters = node_id(prompt, "ParamOptimize")
    images = prompt[parameters]["inputs"]["images"]
    return {
        **prompt,
        "latent": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": [parameters, 6], "height": [parameters, 7], "batch_size": images},
        },
        "core": {
            "class_type": "KSampler",
            "inputs": {
                **{name: ours[name] for name in ("model", "positive", "negative", "seed")},
                "latent_image": ["latent", 0],
                "steps": [parameters, 1],
                "cfg": [parameters, 2],
                "sampler_name": [parameters, 3],
                "scheduler": [parameters, 4],
                "denoise": 1.0,
            },
        },
        "decode": {"class_type": "VAEDecode", "inputs": {"samples": ["core", 0], "vae": ours["vae"]}},
        "core_latent": save_latent(["core", 0]),
        "our_latent": save_latent([node_id(prompt, "IntelligentSampler"), 1]),
        "core_image": save_image(["decode", 0]),
        "our_image": save_image([node_id(prompt, "IntelligentSampler"), 0]),
    }


def save_latent(source: list) -> dict:
    return {"class_type": "SaveLatent", "inputs": {"samples": source, "filename_prefix": "tests/latent"}}


def save_image(source: list) -> dict:
    return {"class_type": "SaveImage", "inputs": {"images": source, "filename_prefix": "tests/image"}}


def latents(server: Server, prompt: Prompt) -> tuple[torch.Tensor, torch.Tensor]:
    run = server.client.complete(prompt)
    found = []
    for key in ("core_latent", "our_latent"):
        (entry,) = run.outputs[key]["latents"]
        found.append(load_file(server.base / "output" / entry["subfolder"] / entry["filename"])["latent_tensor"])
    images = [
        [server.client.view(image) for image in run.outputs[key]["images"]] for key in ("core_image", "our_image")
    ]
    assert images[0] == images[1]
    return found[0], found[1]


@pytest.mark.parametrize(("sampler", "scheduler"), PAIRS)
def test_sampler_equals_ksampler(server: Server, sampler: str, scheduler: str) -> None:
    core, ours = latents(server, both(server, sampler=sampler, scheduler=scheduler))
    assert torch.equal(core, ours)


def test_sampler_equals_ksampler_at_chosen_settings(server: Server) -> None:
    core, ours = latents(server, both(server))
    assert torch.equal(core, ours)


def test_sampler_equals_ksampler_for_batch_of_one_seed(server: Server) -> None:
    prompt = changed(both(server, images=2), {"IntelligentSampler": {"seeds_per_image": False}})
    core, ours = latents(server, prompt)
    assert core.shape[0] == 2
    assert torch.equal(core, ours)


def test_sampler_equals_ksampler_from_a_latent(server: Server) -> None:
    prompt = both(server)
    start = {"class_type": "KSampler", "inputs": {**prompt["core"]["inputs"], "seed": 5}}
    prompt = changed(
        {**prompt, "start": start},
        {"core": {"latent_image": ["start", 0], "denoise": 0.5}, "IntelligentSampler": {"denoise": 0.5}},
    )
    prompt[node_id(prompt, "IntelligentSampler")]["inputs"]["latent"] = ["start", 0]
    core, ours = latents(server, prompt)
    assert torch.equal(core, ours)
