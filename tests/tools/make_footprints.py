"""Writes intelligence/memory/footprints.json anew: `python -m tests.tools.make_footprints` (about 10 minutes).

Needs torch, diffusers and transformers for the networks, and a ComfyUI checkout for its VAE decoder.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from intelligence.generation import embedded_weights
from intelligence.memory.footprints import Footprint, Rows
from intelligence.units import PIXELS_PER_MEGAPIXEL
from tests.comfyui import locate
from tests.tools import simulator
from tests.tools.transformer_networks import TRANSFORMERS, Transformer

REPOSITORY = Path(__file__).parents[2]
SDXL = REPOSITORY / "intelligence" / "generation" / "data" / "sdxl"
TABLE = REPOSITORY / "intelligence" / "memory" / "footprints.json"

COMPONENTS = ("text_encoder", "text_encoder_2", "unet", "vae")
"""Networks of a diffusers folder, by the folder of their `config.json`."""

TRANSFORMER_SIDES = (512, 1024, 1536, 2048)
UNET_SIDES = (256, 512, 768, 1024, 1280, 1536, 2048)
VAE_SIDES = (128, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)

Configs = dict[str, dict[str, Any]]


def read_configs(folder: Path) -> Configs:
    """The networks' `config.json` of a diffusers folder."""
    return {name: json.loads((folder / name / "config.json").read_text(encoding="utf-8")) for name in COMPONENTS}


SDXL_CONFIGS = read_configs(SDXL)


def sdxl_with(**unet: Any) -> Configs:
    """SDXL with another UNet."""
    return {**SDXL_CONFIGS, "unet": {**SDXL_CONFIGS["unet"], **unet}}


_UNET = {"_class_name": "UNet2DConditionModel", "block_out_channels": [320, 640, 1280, 1280]}
_CLIP = {"architectures": ["CLIPTextModel"]}
SD1_CONFIGS: Configs = {
    "unet": {**_UNET, "cross_attention_dim": 768, "attention_head_dim": 8},
    "text_encoder": {**_CLIP, "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12},
    "vae": SDXL_CONFIGS["vae"],
}
SD2_CONFIGS: Configs = {
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
    "vae": SDXL_CONFIGS["vae"],
}
REFINER_CONFIGS: Configs = sdxl_with(
    block_out_channels=[384, 768, 1536, 1536],
    down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    up_block_types=["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    transformer_layers_per_block=4,
    attention_head_dim=[6, 12, 24, 24],
    cross_attention_dim=1280,
    projection_class_embeddings_input_dim=2560,
)
del REFINER_CONFIGS["text_encoder"]

_ONE_RESNET = "UNetMidBlock2D"
NETWORKS: dict[str, tuple[str, Configs]] = {
    "SDXL": ("sdxl", SDXL_CONFIGS),
    "SD 1.5": ("sd1", SD1_CONFIGS),
    "SD 2": ("sd2", SD2_CONFIGS),
    "SDXL refiner": ("sdxl", REFINER_CONFIGS),
    "SSD-1B": (
        "sdxl",
        sdxl_with(
            transformer_layers_per_block=[1, [2, 2], [4, 4]],
            reverse_transformer_layers_per_block=[[4, 4, 10], [2, 1, 1], 1],
            mid_block_type=_ONE_RESNET,
        ),
    ),
    "Segmind Vega": (
        "sdxl",
        sdxl_with(
            transformer_layers_per_block=[1, [1, 1], [2, 2]],
            reverse_transformer_layers_per_block=[[2, 2, 2], [1, 1, 1], 1],
            mid_block_type=_ONE_RESNET,
        ),
    ),
    "KOALA 1B": ("sdxl", sdxl_with(transformer_layers_per_block=[1, 2, 6], layers_per_block=1)),
    "KOALA 700M": (
        "sdxl",
        sdxl_with(transformer_layers_per_block=[1, 2, 5], layers_per_block=1, mid_block_type=None),
    ),
}
"""Title → architecture and configurations, where the model cards differ from diffusers' defaults or from SDXL. All
share one VAE network. Models with another's UNet (Playground, inpainting with 9 channels) are found by its weights.
"""

EMBEDDED_CONFIGS: Configs = {
    "unet": embedded_weights.unet_config(),
    "vae": embedded_weights.vae_config(),
    "text_encoder": embedded_weights.text_encoder_config(embedded_weights.TEXT_ENCODERS[0]),
    "text_encoder_2": embedded_weights.text_encoder_config(embedded_weights.TEXT_ENCODERS[1]),
}

AUTOENCODERS = {
    "sd": SDXL_CONFIGS["vae"],
    "embedded": EMBEDDED_CONFIGS["vae"],
    "wan": {"_class_name": "AutoencoderKLQwenImage"},
}
"""By the name that the table gives them. FLUX's have more latent channels, which weigh next to nothing."""

COMFYUI_VAES = {
    "sd": {
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
    },
    "embedded": embedded_weights.vae_ddconfig(),
}
"""Decoders that comfy/sd.py builds for the VAE of every Stable Diffusion model, and for the embedded model's."""


def measure(title: str, architecture: str, configs: Mapping[str, Mapping[str, Any]], vae: str) -> dict[str, Any]:
    """The entry of a model with a UNet, simulated at square images; `vae` names its VAE in the table."""
    unet = simulator.build(configs["unet"], "float16")
    encoders = [config for name, config in configs.items() if name.startswith("text_")]

    def forward(side: int, items: int, attention: str) -> Footprint:
        return simulator.unet_footprint(unet, side, side, items, attention)

    about = {"title": title, "architecture": architecture, "channels": unet.config.block_out_channels[0]}
    return {**about, **_entry(unet, forward, UNET_SIDES, encoders, configs["vae"]), "vae": vae}


def measure_transformer(title: str, model: Transformer) -> dict[str, Any]:
    """The entry of a model with a transformer."""
    transformer = simulator.build(model.config, "float16")

    def forward(side: int, items: int, attention: str) -> Footprint:
        return simulator.transformer_footprint(transformer, model.inputs(transformer.config, side, items), attention)

    about = {"title": title, "architecture": model.architecture, "channels": model.width, "transformer": True}
    vae = AUTOENCODERS[model.vae]
    return {**about, **_entry(transformer, forward, TRANSFORMER_SIDES, model.encoders, vae), "vae": model.vae}


def _entry(
    denoiser: Any,
    forward: Callable[[int, int, str], Footprint],
    sides: Sequence[int],
    encoders: Sequence[Mapping[str, Any]],
    vae: Mapping[str, Any],
) -> dict[str, Any]:
    texts = [simulator.build(config, "float16") for config in encoders]
    modules = {"text": texts, "unet": [denoiser], "vae": [simulator.build(vae, "float16")]}
    sizes = {stage: [simulator.weights(module) for module in found] for stage, found in modules.items()}
    (own,) = sizes["unet"]
    return {
        "weights": {stage: round(sum(part.total for part in parts), 2) for stage, parts in sizes.items()},
        "largest": {stage: round(max(part.largest for part in parts), 2) for stage, parts in sizes.items()},
        "linear": round(own.linear, 2),
        "largest_linear": round(own.largest_linear, 2),
        "linear_rows": own.linear_rows,
        "text": [round(max(values), 4) for values in zip(*map(simulator.text_footprint, texts), strict=True)],
        "unet": {
            attention: [rows((side, forward(side, items, attention)) for side in sides) for items in (1, 2)]
            for attention in ("flash", "math")
        },
    }


def decoder_rows(config: Mapping[str, Any]) -> Rows:
    """Rows of diffusers' decoder."""
    vae = simulator.build(config, "float16")
    return rows((side, simulator.vae_footprint(vae, side, side)) for side in VAE_SIDES)


def rows(measured: Iterable[tuple[int, Footprint]]) -> Rows:
    """Rows of footprints by side in pixels. A larger picture never takes less, as rounding in the allocator may."""
    made: list[tuple[float, ...]] = []
    for side, footprint in measured:
        row = (side * side / PIXELS_PER_MEGAPIXEL, *(round(value, 4) for value in footprint))
        made.append(tuple(map(max, row, made[-1])) if made else row)
    return tuple(made)


def comfyui_rows(checkout: Path) -> dict[str, Rows]:
    """Rows of ComfyUI's decoders, by VAE. Puts the checkout on the path, so call it in a process of its own."""
    sys.path.insert(0, str(checkout))
    import comfy.cli_args

    comfy.cli_args.args.cpu = True
    import comfy.ldm.modules.diffusionmodules.model as networks
    import torch
    from comfy.ldm.models.autoencoder import AutoencoderKL

    def decoder_rows(config: Mapping[str, Any]) -> Rows:
        with torch.device("meta"):
            vae = AutoencoderKL(ddconfig=dict(config), embed_dim=4).to(torch.bfloat16)
        vae.decoder.mid.attn_1.optimized_attention = networks.pytorch_attention  # what ComfyUI takes on a GPU

        def footprint(side: int) -> Footprint:
            latent = torch.empty(1, 4, side // 8, side // 8, device="meta", dtype=torch.bfloat16)
            return simulator.simulate(vae, vae.decode, [latent])

        return rows((side, footprint(side)) for side in VAE_SIDES)

    return {name: decoder_rows(config) for name, config in COMFYUI_VAES.items()}


def main(titles: Sequence[str]) -> None:
    """Simulate the models of these titles all, and the VAEs, without any; the others keep their entries."""
    from intelligence.generation.standalone import quiet, require_standalone

    require_standalone("the simulation")
    networks = {**NETWORKS, "the embedded model": ("demo", EMBEDDED_CONFIGS)}
    known = json.loads(TABLE.read_text(encoding="utf-8")) if titles else {"models": [], "vaes": {}}
    entries, vaes = {entry["title"]: entry for entry in known["models"]}, known["vaes"]
    with quiet():
        for title in titles or (*networks, *TRANSFORMERS):
            if title in TRANSFORMERS:
                entries[title] = measure_transformer(title, TRANSFORMERS[title])
            else:
                architecture, configs = networks[title]
                vae = "embedded" if configs is EMBEDDED_CONFIGS else "sd"
                entries[title] = measure(title, architecture, configs, vae)
            print(title, entries[title]["weights"], file=sys.stderr)
        if not titles:
            vaes = {vae: {"diffusers": decoder_rows(config)} for vae, config in AUTOENCODERS.items()}
            for vae, found in _comfyui_rows_apart().items():
                vaes[vae]["comfyui"] = found
    table = {"models": [entries[title] for title in (*networks, *TRANSFORMERS)], "vaes": vaes}
    text = json.dumps(table, separators=(",", ":")).replace("]],", "]],\n").replace("]]},", "]]},\n")
    TABLE.write_text(text + "\n", encoding="utf-8")


def _comfyui_rows_apart() -> Any:
    checkout = locate.installation(locate.checkout())
    command = [checkout.python, "-m", "tests.tools.make_footprints", "--comfyui", checkout.path]
    return json.loads(subprocess.check_output(command, cwd=REPOSITORY, text=True).splitlines()[-1])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--comfyui"]:
        print(json.dumps(comfyui_rows(Path(sys.argv[2]))))
    else:
        main(sys.argv[1:])
