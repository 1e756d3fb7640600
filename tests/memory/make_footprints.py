"""Writes intelligence/memory/footprints.json anew: `python -m tests.memory.make_footprints` (about 3 minutes).

Needs torch, diffusers and transformers for the networks, and a ComfyUI checkout for its VAE decoder.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from intelligence.memory import footprints, simulator
from tests.comfyui import locate

REPOSITORY = Path(__file__).parents[2]
SDXL = REPOSITORY / "intelligence" / "generation" / "data" / "sdxl"
TABLE = REPOSITORY / "intelligence" / "memory" / "footprints.json"

UNET_SIDES = (256, 512, 768, 1024, 1280, 1536, 2048)
VAE_SIDES = (128, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)

SDXL_CONFIGS: dict[str, dict[str, Any]] = {
    name: json.loads((SDXL / name / "config.json").read_text(encoding="utf-8")) for name in footprints.COMPONENTS
}
_UNET = {"_class_name": "UNet2DConditionModel", "block_out_channels": [320, 640, 1280, 1280]}
_CLIP = {"architectures": ["CLIPTextModel"]}
_SD1 = {
    "unet": {**_UNET, "cross_attention_dim": 768, "attention_head_dim": 8},
    "text_encoder": {**_CLIP, "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12},
}
_SD2 = {
    "unet": {
        **_UNET,
        "cross_attention_dim": 1024,
        "attention_head_dim": [5, 10, 20, 20],
        "use_linear_projection": True,
    },
    "text_encoder": {
        **_CLIP,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_attention_heads": 16,
        "num_hidden_layers": 23,
        "hidden_act": "gelu",
    },
}
NETWORKS = {
    "sdxl": SDXL_CONFIGS,
    "sd1": {**_SD1, "vae": SDXL_CONFIGS["vae"]},
    "sd2": {**_SD2, "vae": SDXL_CONFIGS["vae"]},
}
"""SD1 and SD2 where their model cards' configurations differ from diffusers' defaults; all have one VAE network."""

COMFYUI_VAE = {
    "double_z": True,
    "z_channels": 4,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 128,
    "ch_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "attn_resolutions": [],
    "dropout": 0.0,
}
"""What comfy/sd.py builds for the VAE of every Stable Diffusion model."""


def comfyui_vae(checkout: Path) -> footprints.Rows:
    """Rows of ComfyUI's decoder. Puts the checkout on the path, so call it in a process of its own."""
    sys.path.insert(0, str(checkout))
    import comfy.cli_args

    comfy.cli_args.args.cpu = True
    import comfy.ldm.modules.diffusionmodules.model as networks
    import torch
    from comfy.ldm.models.autoencoder import AutoencoderKL

    with torch.device("meta"):
        vae = AutoencoderKL(ddconfig=COMFYUI_VAE, embed_dim=4).to(torch.bfloat16)
    vae.decoder.mid.attn_1.optimized_attention = networks.pytorch_attention  # what ComfyUI takes on a GPU

    def footprint(side: int) -> simulator.Footprint:
        latent = torch.empty(1, 4, side // 8, side // 8, device="meta", dtype=torch.bfloat16)
        return simulator.simulate(vae, vae.decode, [latent])

    return footprints.rows((side, footprint(side)) for side in VAE_SIDES)


def main() -> None:
    from intelligence.generation.standalone import quiet, require_standalone

    require_standalone("the simulation")
    checkout = locate.installation(locate.checkout())
    command = [checkout.python, "-m", "tests.memory.make_footprints", checkout.path]
    comfyui = json.loads(subprocess.check_output(command, cwd=REPOSITORY, text=True).splitlines()[-1])
    with quiet():
        table = {name: footprints.measure(configs, UNET_SIDES, VAE_SIDES) for name, configs in NETWORKS.items()}
    for entry in table.values():
        entry["vae"]["comfyui"] = comfyui
    TABLE.write_text(json.dumps(table, separators=(",", ":")).replace("]],", "]],\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(comfyui_vae(Path(sys.argv[1]))))
    else:
        main()
