"""Sizes of the embedded demo model, a small SDXL, and its weights as the package holds them.

diffusers' `UNet2DConditionModel` and `AutoencoderKL` and transformers' `CLIPTextModel` and
`CLIPTextModelWithProjection` load the unpacked files; ComfyUI builds the same networks from its own classes. The sizes
keep to ComfyUI's fixed parts: size conditions embedded in 256 channels each, attention in the middle of the VAE, 77
tokens, a square text projection, the latent scale 0.13025.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple


class TextEncoder(NamedTuple):
    """A CLIP text encoder."""

    width: int
    layers: int
    heads: int
    activation: str


TEXT_ENCODERS = (TextEncoder(64, 3, 2, "quick_gelu"), TextEncoder(128, 4, 4, "gelu"))
"""SDXL's CLIP-L and OpenCLIP-G in small."""

VOCABULARY, TOKENS = 49408, 77
CONTEXT = sum(encoder.width for encoder in TEXT_ENCODERS)
POOLED = TEXT_ENCODERS[1].width

UNET_WIDTHS = (64, 128, 192)
UNET_DEPTHS = (0, 1, 1)
"""Transformer blocks of each resolution's attention; 0: none there."""
HEAD_WIDTH = 32
SIZE_CHANNELS = 256
"""Channels that embed each of the six size conditions; `Timestep(256)` in ComfyUI."""
SIZE_AND_TEXT = 6 * SIZE_CHANNELS + POOLED

VAE_WIDTHS = (32, 32, 64, 128)
LATENT_CHANNELS = 4
LATENT_SCALE = 0.13025
NORM_GROUPS = 8

NATIVE_SIDE = 128
"""Pixels."""

SCALE = ".scale"
"""End of the name of a tensor of factors, one a row, by which rows of whole numbers are multiplied."""
TOKEN_IDS = "token_ids"
"""Ids of the tokens whose rows are stored; the row after theirs is that of every other token."""
TOKEN_ROWS = "text_model.embeddings.token_embedding.weight"


def unet_config() -> dict[str, Any]:
    """Return the UNet's `config.json`."""
    attends = [depth > 0 for depth in UNET_DEPTHS]
    return {
        "_class_name": "UNet2DConditionModel",
        "sample_size": NATIVE_SIDE // 8,
        "in_channels": LATENT_CHANNELS,
        "out_channels": LATENT_CHANNELS,
        "block_out_channels": list(UNET_WIDTHS),
        "down_block_types": ["CrossAttnDownBlock2D" if cross else "DownBlock2D" for cross in attends],
        "up_block_types": ["CrossAttnUpBlock2D" if cross else "UpBlock2D" for cross in reversed(attends)],
        "layers_per_block": 1,
        "transformer_layers_per_block": list(UNET_DEPTHS),
        "attention_head_dim": [width // HEAD_WIDTH for width in UNET_WIDTHS],
        "norm_num_groups": NORM_GROUPS,
        "cross_attention_dim": CONTEXT,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": SIZE_CHANNELS,
        "projection_class_embeddings_input_dim": SIZE_AND_TEXT,
    }


def vae_config() -> dict[str, Any]:
    """Return the VAE's `config.json`."""
    return {
        "_class_name": "AutoencoderKL",
        "block_out_channels": list(VAE_WIDTHS),
        "down_block_types": ["DownEncoderBlock2D"] * len(VAE_WIDTHS),
        "up_block_types": ["UpDecoderBlock2D"] * len(VAE_WIDTHS),
        "layers_per_block": 1,
        "norm_num_groups": NORM_GROUPS,
        "latent_channels": LATENT_CHANNELS,
        "sample_size": NATIVE_SIDE,
        "scaling_factor": LATENT_SCALE,
    }


def vae_ddconfig() -> dict[str, Any]:
    """Return the VAE's configuration in the terms of latent diffusion's code (`ddconfig`), which ComfyUI reads."""
    return {
        "ch": VAE_WIDTHS[0],
        "ch_mult": [width // VAE_WIDTHS[0] for width in VAE_WIDTHS],
        "num_res_blocks": 1,
        "z_channels": LATENT_CHANNELS,
        "double_z": True,
        "attn_resolutions": [],
        "in_channels": 3,
        "out_ch": 3,
        "resolution": NATIVE_SIDE,
        "dropout": 0.0,
    }


def text_encoder_config(encoder: TextEncoder) -> dict[str, Any]:
    """Return a text encoder's `config.json`."""
    return {
        "architectures": ["CLIPTextModelWithProjection" if encoder is TEXT_ENCODERS[1] else "CLIPTextModel"],
        "model_type": "clip_text_model",
        "vocab_size": VOCABULARY,
        "max_position_embeddings": TOKENS,
        "hidden_size": encoder.width,
        "intermediate_size": 4 * encoder.width,
        "projection_dim": encoder.width,
        "num_hidden_layers": encoder.layers,
        "num_attention_heads": encoder.heads,
        "hidden_act": encoder.activation,
        "bos_token_id": 49406,
        "eos_token_id": 49407,
        "pad_token_id": 1,
    }


def unpack(path: Path) -> dict[str, dict[str, Any]]:
    """Return float16 tensors by component ("unet", "text_encoder" …) and name, of the file that the package holds.

    It is a safetensors file of names like "unet/conv_in.weight": int8 with a factor a row, or float16.
    """
    import torch
    from safetensors.torch import load_file

    packed = load_file(path)
    ids = packed.pop(TOKEN_IDS).long()
    components: dict[str, dict[str, Any]] = {}
    for name, tensor in packed.items():
        if name.endswith(SCALE):
            continue
        component, _, key = name.partition("/")
        values = tensor.float()
        if tensor.dtype is torch.int8:
            values *= packed[name + SCALE]
        if key == TOKEN_ROWS:
            stored, values = values, values[-1].repeat(VOCABULARY, 1)
            values[ids] = stored[:-1]
        components.setdefault(component, {})[key] = values.half()
    return components
