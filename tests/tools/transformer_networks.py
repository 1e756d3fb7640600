"""Transformers that images are made with, their text encoders and autoencoders, as `make_footprints` simulates them.

Configurations where the model cards differ from diffusers' defaults; text encoders as comfy/text_encoders builds them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

LATENT_SIDE = 8
TOKEN_SIDE = 16
"""Pixels a side of an image for one number of its latent, and for one token."""
WAN_5B_LATENT_SIDE = 16

Config = dict[str, Any]
Inputs = dict[str, Any]


@dataclass(frozen=True)
class Transformer:
    """A model with a transformer, as configurations."""

    architecture: str
    config: Config
    width: int
    """Features of a token."""
    inputs: Callable[[Mapping[str, Any], int, int], Inputs]
    """Configuration, pixels a side and items → the arguments of a forward, on the meta device."""
    encoders: tuple[Config, ...]
    vae: str
    """Name of its autoencoder in `make_footprints.AUTOENCODERS`."""


def _meta(*shape: int, dtype: str = "float16") -> Any:
    import torch

    return torch.empty(*shape, device="meta", dtype=getattr(torch, dtype))


def _tokens(side: int) -> int:
    return (side // TOKEN_SIDE) ** 2


def _flux(config: Mapping[str, Any], side: int, items: int, text: int = 512, ids: int = 3) -> Inputs:
    tokens, width = _tokens(side), config["joint_attention_dim"]
    inputs = {
        "hidden_states": _meta(items, tokens, config["in_channels"]),
        "encoder_hidden_states": _meta(items, text, width),
        "timestep": _meta(items),
        "img_ids": _meta(tokens, ids),
        "txt_ids": _meta(text, ids),
    }
    if "pooled_projection_dim" in config:
        inputs["pooled_projections"] = _meta(items, config["pooled_projection_dim"])
    if config.get("guidance_embeds"):
        inputs["guidance"] = _meta(items)
    return inputs


def _flux2(config: Mapping[str, Any], side: int, items: int) -> Inputs:
    return {**_flux(config, side, items, ids=4), "guidance": _meta(items)}


def _sd3(config: Mapping[str, Any], side: int, items: int) -> Inputs:
    return {
        "hidden_states": _latent(config, side, items),
        "encoder_hidden_states": _meta(items, 154, config["joint_attention_dim"]),
        "pooled_projections": _meta(items, config["pooled_projection_dim"]),
        "timestep": _meta(items),
    }


def _latent(config: Mapping[str, Any], side: int, items: int) -> Any:
    return _meta(items, config["in_channels"], side // LATENT_SIDE, side // LATENT_SIDE)


def _qwen(config: Mapping[str, Any], side: int, items: int, text: int = 256) -> Inputs:
    across = side // TOKEN_SIDE
    return {
        "hidden_states": _meta(items, _tokens(side), config["in_channels"]),
        "encoder_hidden_states": _meta(items, text, config["joint_attention_dim"]),
        "timestep": _meta(items),
        "img_shapes": [[(1, across, across)]] * items,
    }


def _z_image(config: Mapping[str, Any], side: int, items: int) -> Inputs:
    latent = _meta(config["in_channels"], 1, side // LATENT_SIDE, side // LATENT_SIDE)
    text = _meta(256, config["cap_feat_dim"])
    return {"x": [latent] * items, "t": _meta(items), "cap_feats": [text] * items}


def _lumina(config: Mapping[str, Any], side: int, items: int) -> Inputs:
    import torch

    return {
        "hidden_states": _latent(config, side, items),
        "timestep": _meta(items),
        "encoder_hidden_states": _meta(items, 256, config["cap_feat_dim"]),
        "encoder_attention_mask": torch.ones(items, 256, dtype=torch.bool),  # its sums are read
    }


def _krea(config: Mapping[str, Any], side: int, items: int, text: int = 256) -> Inputs:
    tokens = _tokens(side)
    return {
        "hidden_states": _meta(items, tokens, config["in_channels"]),
        "encoder_hidden_states": _meta(items, text, config["num_text_layers"], config["text_hidden_dim"]),
        "timestep": _meta(items),
        "position_ids": _meta(text + tokens, 3),
    }


def _ernie(config: Mapping[str, Any], side: int, items: int) -> Inputs:
    across = side // TOKEN_SIDE
    return {
        "hidden_states": _meta(items, config["in_channels"], across, across),
        "timestep": _meta(items),
        "text_bth": _meta(items, 256, config["text_in_dim"]),
        "text_lens": _meta(items, dtype="int64"),
    }


def _video(config: Mapping[str, Any], side: int, items: int, text: int = 512) -> Inputs:
    width = config.get("text_dim") or config["text_embed_dim"]
    across = side // (WAN_5B_LATENT_SIDE if config["in_channels"] == 48 else LATENT_SIDE)
    return {
        "hidden_states": _meta(items, config["in_channels"], 1, across, across),
        "timestep": _meta(items),
        "encoder_hidden_states": _meta(items, text, width),
    }


def _t5(vocabulary: int = 32128, kind: str = "T5EncoderModel") -> Config:
    sizes = {"d_model": 4096, "d_ff": 10240, "d_kv": 64, "num_heads": 64, "num_layers": 24}
    return {"architectures": [kind], **sizes, "feed_forward_proj": "gated-gelu", "vocab_size": vocabulary}


def _decoder(kind: str, vocabulary: int, width: int, inner: int, layers: int, heads: int, shared: int) -> Config:
    """A language model as `comfy/text_encoders/llama.py` lists them."""
    return {
        "architectures": [kind],
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": shared,
        "head_dim": 256 if kind == "Gemma2Model" else 128,
    }


T5, UMT5 = _t5(), _t5(256384, "UMT5EncoderModel")
CLIP_L = {
    "architectures": ["CLIPTextModel"],
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
}
CLIP_G = {
    "architectures": ["CLIPTextModelWithProjection"],
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_attention_heads": 20,
    "num_hidden_layers": 32,
    "projection_dim": 1280,
}
QWEN3_06B = _decoder("Qwen3Model", 151936, 1024, 3072, 28, 16, 8)
QWEN3_4B = _decoder("Qwen3Model", 151936, 2560, 9728, 36, 32, 8)
QWEN3_8B = _decoder("Qwen3Model", 151936, 4096, 12288, 36, 32, 8)
QWEN25_7B = _decoder("Qwen2Model", 152064, 3584, 18944, 28, 28, 4)
LLAMA_8B = _decoder("LlamaModel", 128320, 4096, 14336, 32, 32, 8)
MISTRAL_24B = _decoder("MistralModel", 131072, 5120, 32768, 40, 32, 8)
MINISTRAL_3B = _decoder("MistralModel", 131072, 3072, 9216, 26, 32, 8)
GEMMA_2B = _decoder("Gemma2Model", 256000, 2304, 9216, 26, 8, 4)


def _of(name: str, **different: Any) -> Config:
    return {"_class_name": f"{name}Transformer2DModel", **different}


TRANSFORMERS = {
    "SD3.5 large": Transformer(
        "sd35_large",
        _of(
            "SD3",
            num_layers=38,
            num_attention_heads=38,
            caption_projection_dim=2432,
            pos_embed_max_size=192,
            qk_norm="rms_norm",
        ),
        2432,
        _sd3,
        (CLIP_L, CLIP_G, T5),
        "sd",
    ),
    "SD3.5 medium": Transformer(
        "sd3",
        _of(
            "SD3",
            num_layers=24,
            num_attention_heads=24,
            caption_projection_dim=1536,
            pos_embed_max_size=384,
            qk_norm="rms_norm",
            dual_attention_layers=list(range(13)),
        ),
        1536,
        _sd3,
        (CLIP_L, CLIP_G, T5),
        "sd",
    ),
    "FLUX.1": Transformer("flux", _of("Flux", guidance_embeds=True), 3072, _flux, (CLIP_L, T5), "sd"),
    "FLUX.2 dev": Transformer("flux2_dev", _of("Flux2"), 6144, _flux2, (MISTRAL_24B,), "sd"),
    "FLUX.2 Klein 9B": Transformer(
        "flux2_klein_9b",
        _of("Flux2", num_layers=8, num_single_layers=24, num_attention_heads=32, joint_attention_dim=12288),
        4096,
        _flux2,
        (QWEN3_8B,),
        "sd",
    ),
    "FLUX.2 Klein 4B": Transformer(
        "flux2_klein_4b",
        _of("Flux2", num_layers=5, num_single_layers=20, num_attention_heads=24, joint_attention_dim=7680),
        3072,
        _flux2,
        (QWEN3_4B,),
        "sd",
    ),
    "Chroma": Transformer("chroma", _of("Chroma"), 3072, _flux, (T5,), "sd"),
    "Qwen-Image": Transformer("qwen_image", _of("QwenImage"), 3072, _qwen, (QWEN25_7B,), "wan"),
    "Z-Image": Transformer("z_image", _of("ZImage"), 3840, _z_image, (QWEN3_4B,), "sd"),
    "Krea 2": Transformer("krea2", _of("Krea2"), 6144, _krea, (QWEN3_4B,), "wan"),
    "ERNIE-Image": Transformer(
        "ernie_image",
        _of(
            "ErnieImage",
            hidden_size=4096,
            num_attention_heads=32,
            num_layers=36,
            ffn_hidden_size=12288,
            text_in_dim=3072,
        ),
        4096,
        _ernie,
        (MINISTRAL_3B,),
        "sd",
    ),
    "Lumina 2": Transformer("lumina2", _of("Lumina2", cap_feat_dim=2304), 2304, _lumina, (GEMMA_2B,), "sd"),
    "Anima": Transformer(
        "anima",
        {
            "_class_name": "CosmosTransformer3DModel",
            "num_attention_heads": 16,
            "in_channels": 17,
            "concat_padding_mask": False,
            "extra_pos_embed_type": None,
        },
        2048,
        _video,
        (QWEN3_06B,),
        "wan",
    ),
    "Wan 2.2 14B": Transformer("wan_14b", {"_class_name": "WanTransformer3DModel"}, 5120, _video, (UMT5,), "wan"),
    "Wan 2.2 5B": Transformer(
        "wan_5b",
        {
            "_class_name": "WanTransformer3DModel",
            "num_attention_heads": 24,
            "num_layers": 30,
            "ffn_dim": 14336,
            "in_channels": 48,
            "out_channels": 48,
        },
        3072,
        _video,
        (UMT5,),
        "wan",
    ),
}
"""Title → model. Editions of one shape share an entry."""
