"""Runs the embedded demo model through ComfyUI's classes and saves every output.

    python demo_run.py CHECKOUT PARENT OUT.safetensors

PARENT holds the pack as `pack`; the pack's data folder comes by the environment. INPUTS are made here, so that a test
can give them to diffusers. Run as a program, because the repository's `nodes` would stand before ComfyUI's.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

PROMPT = "anime girl with magical powers, (violet:1.0) eyes"
NEGATIVE = ""
LORA_STRENGTHS = {"pixel_art": 0.8, "magic_effects": 0.45}
SIZES = ((128, 128), (160, 96))
"""Width and height of the images whose latents go through the UNet."""
TIMESTEP = 500.0


def inputs() -> dict[str, Any]:
    """Return a latent of each of SIZES, and an image of the first in [-1, 1]."""
    import torch

    generator = torch.Generator().manual_seed(3)
    made = {f"latent_{w}": torch.randn(1, 4, h // 8, w // 8, generator=generator) for w, h in SIZES}
    return {**made, "image": torch.rand(1, 3, SIZES[0][1], SIZES[0][0], generator=generator) * 2 - 1}


def run(model: Any, clip: Any, vae: Any) -> dict[str, Any]:
    """Return text, pooled text, UNet and VAE outputs by name."""
    import comfy.model_management
    import torch

    made, given = {}, inputs()
    for name, text in (("prompt", PROMPT), ("negative", NEGATIVE)):
        ((made[name], extra),) = clip.encode_from_tokens_scheduled(clip.tokenize(text))
        made[f"{name}_pooled"] = extra["pooled_output"]
    comfy.model_management.load_models_gpu([model])
    network = model.model.diffusion_model
    for width, height in SIZES:
        size = {"width": width, "height": height, "device": "cpu"}
        y = model.model.encode_adm(pooled_output=made["prompt_pooled"], **size)
        with torch.no_grad():
            made[f"unet_{width}"] = network(
                given[f"latent_{width}"], torch.tensor([TIMESTEP]), context=made["prompt"], y=y
            )
    autoencoder = vae.first_stage_model
    with torch.no_grad():
        made["decoded"] = autoencoder.decode(given[f"latent_{SIZES[0][0]}"])
        made["encoded"] = autoencoder.encode(given["image"])
    return {name: tensor.float().contiguous() for name, tensor in made.items()}


def save_error(model: Any, clip: Any, vae: Any) -> str:
    """Return the error of the core node Save Checkpoint."""
    from comfy_extras.nodes_model_merging import CheckpointSave

    try:
        CheckpointSave().save(model, clip, vae, "checkpoints/demo")
    except Exception as error:  # noqa: BLE001 - which error it is, the test says
        return f"{type(error).__name__}: {error}"
    return ""


def main(checkout: str, parent: str, out: str) -> None:
    """Save the outputs without and with LoRAs, and facts beside them as header entries."""
    spec = importlib.util.spec_from_file_location("launcher", Path(__file__).with_name("launcher.py"))
    launcher = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(launcher)
    launcher.declare_torchvision_operators()
    launcher.stand_in_for_torchaudio()
    sys.path[0] = checkout
    sys.path.append(parent)
    os.chdir(checkout)
    sys.argv = [sys.argv[0], "--cpu", "--base-directory", parent]
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.sd
    import comfy.utils
    import folder_paths
    import utils.extra_config  # noqa: F401 - as main.py does, before another `utils` is found
    from pack.nodes.host.demo_model import load_demo_model
    from safetensors.torch import save_file

    model, clip, vae = load_demo_model()
    outputs = run(model, clip, vae)
    patched, patched_clip = model, clip
    names = {Path(name).stem: name for name in folder_paths.get_filename_list("loras")}
    for lora, strength in LORA_STRENGTHS.items():
        weights = comfy.utils.load_torch_file(folder_paths.get_full_path("loras", names[lora]))
        patched, patched_clip = comfy.sd.load_lora_for_models(patched, patched_clip, weights, strength, strength)
    with_loras = run(patched, patched_clip, vae)
    outputs |= {f"lora_{name}": with_loras[name] for name in with_loras if name not in ("decoded", "encoded")}
    lora_files = sorted(names.values())
    facts = {
        "save": save_error(model, clip, vae),
        "saved": json.dumps([str(path) for path in Path(parent, "output").rglob("*") if path.is_file()]),
        "loras": json.dumps(lora_files),
        "patched": json.dumps([len(patched.patches), len(patched_clip.patcher.patches)]),
        "lora_keys": json.dumps([weights_count(folder_paths.get_full_path("loras", lora_files[0]))]),
    }
    save_file(outputs, out, metadata=facts)


def weights_count(path: str) -> int:
    """Return how many layers a LoRA file changes."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return sum(name.endswith(".alpha") for name in file.keys())  # noqa: SIM118 - no mapping


if __name__ == "__main__":
    main(*sys.argv[1:])
