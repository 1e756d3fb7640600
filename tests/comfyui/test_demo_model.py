"""The embedded demo model in ComfyUI: diffusers' numbers, its LoRAs listed, never saved as a checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from intelligence.config import HOME_VARIABLE
from intelligence.generation.embedded import EmbeddedModel, ensure_embedded

from . import demo_run, locate

MAX_DIFFERENCE = 1e-5
"""Relative to the largest output."""


@pytest.fixture(scope="module")
def expected(embedded_home: Path) -> dict[str, Any]:
    """Outputs of diffusers, by the names of `demo_run.run`."""
    import diffusers
    import torch

    model = ensure_embedded()
    pipe = diffusers.StableDiffusionXLPipeline.from_pretrained(model.folder, torch_dtype=torch.float32)
    plain = run(pipe)
    for path in model.lora_paths:
        if path.stem in demo_run.LORA_STRENGTHS:
            pipe.load_lora_weights(path.parent, weight_name=path.name, adapter_name=path.stem)
    pipe.set_adapters(list(demo_run.LORA_STRENGTHS), list(demo_run.LORA_STRENGTHS.values()))
    with_loras = run(pipe)
    return plain | {f"lora_{name}": tensor for name, tensor in with_loras.items() if name not in ("decoded", "encoded")}


def run(pipe: Any) -> dict[str, Any]:
    import torch

    given = demo_run.inputs()
    with torch.no_grad():
        prompt, negative, pooled, negative_pooled = pipe.encode_prompt(
            demo_run.PROMPT.replace("(violet:1.0)", "violet"), negative_prompt=demo_run.NEGATIVE
        )
        made = {"prompt": prompt, "negative": negative, "prompt_pooled": pooled, "negative_pooled": negative_pooled}
        for width, height in demo_run.SIZES:
            sizes = torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float32)
            made[f"unet_{width}"] = pipe.unet(
                given[f"latent_{width}"],
                demo_run.TIMESTEP,
                encoder_hidden_states=prompt,
                added_cond_kwargs={"text_embeds": pooled, "time_ids": sizes},
            ).sample
        made["decoded"] = pipe.vae.decode(given[f"latent_{demo_run.SIZES[0][0]}"]).sample
        made["encoded"] = pipe.vae.encode(given["image"]).latent_dist.mode()
    return made


@pytest.fixture(scope="module", params=["installation", "old_installation"])
def ran(
    request: pytest.FixtureRequest, embedded_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, str]]:
    """Outputs and facts of a ComfyUI."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    installation: locate.Installation = request.getfixturevalue(request.param)
    base = tmp_path_factory.mktemp("demo")
    (base / "pack").symlink_to(locate.PACK, target_is_directory=True)
    out = base / "outputs.safetensors"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(
        [installation.python, demo_run.__file__, installation.path, base, out],
        env={**environment, HOME_VARIABLE: str(embedded_home)},
        check=True,
    )
    with safe_open(out, "pt") as file:
        return load_file(out), file.metadata()


def test_load_demo_model_agrees_with_diffusers(ran: tuple[dict[str, Any], dict[str, str]], expected: dict) -> None:
    outputs, _ = ran
    assert outputs.keys() == expected.keys()
    assert len(outputs) == 14
    apart = {
        name: float((outputs[name] - expected[name]).abs().max() / expected[name].abs().max()) for name in expected
    }
    assert max(apart.values()) <= MAX_DIFFERENCE, apart


def test_demo_loras_patch_every_layer_and_change_output(ran: tuple[dict[str, Any], dict[str, str]]) -> None:
    outputs, facts = ran
    unet, text = json.loads(facts["patched"])
    assert [unet, text] == [*json.loads(facts["lora_keys"]), 0]
    for name in ("unet_128", "unet_160"):
        assert (outputs[name] - outputs[f"lora_{name}"]).abs().max() > 0.05 * outputs[name].abs().max()


def test_demo_loras_are_listed_by_comfyui(ran: tuple[dict[str, Any], dict[str, str]], embedded_home: Path) -> None:
    model: EmbeddedModel = ensure_embedded()
    listed = [str(path.relative_to(model.lora_folder.parent)) for path in model.lora_paths]
    assert json.loads(ran[1]["loras"]) == sorted(listed)


def test_save_checkpoint_refuses_demo_model(ran: tuple[dict[str, Any], dict[str, str]]) -> None:
    _, facts = ran
    assert facts["save"].startswith("UnsupportedModelError: The embedded demo model cannot be saved")
    assert json.loads(facts["saved"]) == []
