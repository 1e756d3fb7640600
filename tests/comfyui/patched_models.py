"""Patches a model of ComfyUI's in many ways and asks the pack what is on it. For ComfyUI's process only."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import comfy.sd
import comfy.utils
import meta_models
from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete, RescaleCFG
from comfy_extras.nodes_pag import PerturbedAttentionGuidance
from comfy_extras.nodes_sag import SelfAttentionGuidance


def patched_ways(loras: str, model_patches: Any, paths: dict[str, str]) -> dict[str, Any]:
    """Return what is found on a MODEL, by the way in which it was patched.

    Args:
        loras: folder of the LoRAs.
        model_patches: the pack's module.
        paths: name of a LoRA → its file.
    """
    plain, clip = meta_models.model("sd1"), meta_models.clip("sd1")

    def load(model: Any, *names: str, strength: float = 0.8, bypass: bool = False, keep: str = "") -> Any:
        loader = comfy.sd.load_bypass_lora_for_models if bypass else comfy.sd.load_lora_for_models
        for name in names:
            tensors = comfy.utils.load_torch_file(paths.get(name, name), safe_load=True)
            tensors = {key: tensor for key, tensor in tensors.items() if keep in key}
            model, _ = loader(model, clip, tensors, strength, strength)
        return model

    def found(model: Any, hints: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        return [asdict(lora) for lora in model_patches.applied_loras(model, hints)]

    patched = ModelSamplingDiscrete().patch(plain, "lcm", True)[0]
    patched = RescaleCFG().patch(patched, 0.7)[0]
    patched = PerturbedAttentionGuidance.execute(patched, 3.0).result[0]
    patched = SelfAttentionGuidance.execute(patched, 0.5, 2.0).result[0]
    outside = f"{loras}/../outside.safetensors"
    result = {
        "none": found(plain),
        "one": found(load(plain, "first")),
        "twin": found(load(plain, "second")),
        "two": found(load(load(plain, "first"), "lokr", strength=-0.5)),
        "four": found(load(plain, "first", "second", "lokr", "diffusers")),
        "outside": found(load(plain, outside)),
        "outside with a hint": found(load(plain, outside), ("outside.safetensors",)),
        "some blocks": found(load(plain, "first", keep="down_blocks")),
        "some blocks of one outside": found(load(plain, outside, keep="down_blocks")),
        "some blocks of one outside with a hint": found(
            load(plain, outside, keep="down_blocks"), ("outside.safetensors",)
        ),
        "patches of all": [asdict(patch) for patch in model_patches.sampling_patches(patched)],
        "patches of none": [asdict(patch) for patch in model_patches.sampling_patches(plain)],
    }
    if hasattr(comfy.sd, "load_bypass_lora_for_models"):
        result["bypassed"] = found(load(plain, "first", bypass=True))
    return result
