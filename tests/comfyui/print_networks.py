"""Prints the modules of ComfyUI's diffusion networks as JSON, in ComfyUI's process.

    python print_networks.py CHECKOUT HOME [--facts]

With `--facts` it prints instead what the pack's host finds in a loaded model of each. ComfyUI's own detection has to
find each network's class again.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from comfy_process import become_comfyui


def describe(name: str) -> dict[str, Any]:
    """Return the shapes of all tensors, and name in a LoRA → (tensor, part of it)."""
    import comfy.lora
    import comfy.model_detection
    import meta_models
    import torch

    model, prefix = meta_models.network(name), "diffusion_model."
    shapes = {key: list(value.shape) for key, value in model.state_dict().items() if key.startswith(prefix)}
    tensors = {key.removeprefix(prefix): torch.empty(shape, device="meta") for key, shape in shapes.items()}
    found = comfy.model_detection.detect_unet_config(tensors, "")
    again = type(comfy.model_detection.model_config_from_unet_config(found, tensors)).__name__
    expected = type(model.model_config).__name__
    assert again == expected, f"{expected} is found as {again}"
    names = {
        lora_name: [target] if isinstance(target, str) else [target[0], target[1] and list(target[1])]
        for lora_name, target in comfy.lora.model_lora_keys_unet(model, {}).items()
    }
    return {"tensors": shapes, "names": names, "class": expected}


def facts(name: str) -> dict[str, Any]:
    """Return the fields of `ModelEvidence` that the pack's host reads from a loaded model."""
    import meta_models
    from pack.nodes.host.network_evidence import network_facts

    found = network_facts(meta_models.model(name))
    return {**found, "latent": list(vars(found["latent"]).values())}


def main() -> None:
    checkout, home, *flags = sys.argv[1:]
    become_comfyui(checkout, home)
    from network_configs import NETWORKS

    read, key = (facts, "expected") if "--facts" in flags else (describe, "architecture")
    print(json.dumps({name: {**read(name), key: architecture} for name, (architecture, *_) in NETWORKS.items()}))


if __name__ == "__main__":
    main()
