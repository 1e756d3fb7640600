"""Models of ComfyUI's own classes at full width, without weights: on the meta device. For ComfyUI's process only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.model_patcher
import comfy.sd
import comfy.supported_models as classes
import torch

META = torch.device("meta")


def unet(width: int, adm: int | None, **more: Any) -> dict[str, Any]:
    """SD 1.5's network, with another text width or more [comfy.model_detection.unet_config_from_diffusers_unet]."""
    return {
        "image_size": 32,
        "in_channels": 4,
        "out_channels": 4,
        "model_channels": 320,
        "num_res_blocks": [2, 2, 2, 2],
        "channel_mult": [1, 2, 4, 4],
        "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
        "transformer_depth_middle": 1,
        "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
        "use_spatial_transformer": True,
        "use_linear_in_transformer": width != 768,
        "context_dim": width,
        "adm_in_channels": adm,
        "legacy": False,
        "use_temporal_attention": False,
        **({"num_heads": 8} if width == 768 else {"num_head_channels": 64}),
        **({"num_classes": "sequential"} if adm else {}),
        **more,
    }


SDXL = {
    "num_res_blocks": [2, 2, 2],
    "channel_mult": [1, 2, 4],
    "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_middle": 10,
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
}
REFINER = {
    "model_channels": 384,
    "transformer_depth": [0, 0, 4, 4, 4, 4, 0, 0],
    "transformer_depth_middle": 4,
    "transformer_depth_output": [0, 0, 0, 4, 4, 4, 4, 4, 4, 0, 0, 0],
}


def flux(**more: Any) -> dict[str, Any]:
    return {
        "image_model": "flux",
        "axes_dim": [16, 56, 56],
        "num_heads": 24,
        "mlp_ratio": 4.0,
        "theta": 10000,
        "in_channels": 16,
        "out_channels": 16,
        "qkv_bias": True,
        "txt_ids_dims": [],
        "hidden_size": 3072,
        "context_in_dim": 4096,
        "vec_in_dim": 768,
        "patch_size": 2,
        "depth": 19,
        "depth_single_blocks": 38,
        **more,
    }


def flux2(hidden: int, depth: int, single: int, context: int) -> dict[str, Any]:
    return flux(
        image_model="flux2",
        axes_dim=[32, 32, 32, 32],
        num_heads=hidden // 128,
        mlp_ratio=3.0,
        theta=2000,
        in_channels=128,
        out_channels=128,
        patch_size=1,
        global_modulation=True,
        mlp_silu_act=True,
        qkv_bias=False,
        ops_bias=False,
        txt_ids_dims=[3],
        hidden_size=hidden,
        context_in_dim=context,
        vec_in_dim=None,
        depth=depth,
        depth_single_blocks=single,
        guidance_embed=False,
    )


def mmdit(depth: int, **more: Any) -> dict[str, Any]:
    return {
        "in_channels": 16,
        "patch_size": 2,
        "depth": depth,
        "input_size": None,
        "adm_in_channels": 2048,
        "pos_embed_scaling_factor": None,
        "num_patches": 36864,
        "pos_embed_max_size": 192,
        "context_embedder_config": {
            "target": "torch.nn.Linear",
            "params": {"in_features": 4096, "out_features": 64 * depth},
        },
        **more,
    }


def wan(dim: int, ffn: int, layers: int, channels: int = 16) -> dict[str, Any]:
    return {
        "image_model": "wan2.1",
        "model_type": "t2v",
        "dim": dim,
        "out_dim": channels,
        "in_dim": channels,
        "num_heads": dim // 128,
        "ffn_dim": ffn,
        "num_layers": layers,
        "patch_size": (1, 2, 2),
        "freq_dim": 256,
        "window_size": (-1, -1),
        "qk_norm": True,
        "cross_attn_norm": True,
        "eps": 1e-6,
    }


def lumina(dim: int, **more: Any) -> dict[str, Any]:
    return {"image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": dim, "qk_norm": True, **more}


LUMINA2 = {
    "cap_feat_dim": 2304,
    "n_layers": 26,
    "n_heads": 24,
    "n_kv_heads": 8,
    "axes_dims": [32, 32, 32],
    "axes_lens": [300, 512, 512],
    "rope_theta": 10000.0,
    "ffn_dim_multiplier": 4.0,
}
Z_IMAGE = {
    "cap_feat_dim": 2560,
    "n_layers": 30,
    "n_heads": 30,
    "n_kv_heads": 30,
    "axes_dims": [32, 48, 48],
    "axes_lens": [1536, 512, 512],
    "rope_theta": 256.0,
    "ffn_dim_multiplier": 8.0 / 3.0,
    "z_image_modulation": True,
    "time_scale": 1000.0,
    "pad_tokens_multiple": 32,
}
CHROMA = {"in_channels": 64, "out_channels": 64, "in_dim": 64, "out_dim": 3072, "hidden_dim": 5120, "n_layers": 5}
ANIMA = {
    "image_model": "anima",
    "max_img_h": 240,
    "max_img_w": 240,
    "max_frames": 128,
    "in_channels": 16,
    "out_channels": 16,
    "patch_spatial": 2,
    "patch_temporal": 1,
    "model_channels": 2048,
    "concat_padding_mask": True,
    "crossattn_emb_channels": 1024,
    "pos_emb_cls": "rope3d",
    "pos_emb_learnable": True,
    "pos_emb_interpolation": "crop",
    "min_fps": 1,
    "max_fps": 30,
    "use_adaln_lora": True,
    "adaln_lora_dim": 256,
    "num_blocks": 28,
    "num_heads": 16,
    "extra_per_block_abs_pos_emb": False,
    "rope_h_extrapolation_ratio": 4.0,
    "rope_w_extrapolation_ratio": 4.0,
    "rope_t_extrapolation_ratio": 1.0,
}
HIDREAM = {
    "image_model": "hidream",
    "attention_head_dim": 128,
    "axes_dims_rope": [64, 32, 32],
    "caption_channels": [4096, 4096],
    "max_resolution": [128, 128],
    "in_channels": 16,
    "llama_layers": [*range(32), *[31] * 16],
    "num_attention_heads": 20,
    "num_routed_experts": 4,
    "num_activated_experts": 2,
    "num_layers": 16,
    "num_single_layers": 32,
    "out_channels": 16,
    "patch_size": 2,
    "text_emb_dim": 2048,
}
QWEN = {"image_model": "qwen_image", "in_channels": 64, "num_layers": 60}

MODELS: dict[str, Callable[[], Any]] = {
    "sd15": lambda: classes.SD15(unet(768, None)),
    "sd2": lambda: classes.SD20(unet(1024, None)),
    "sdxl": lambda: classes.SDXL(unet(2048, 2816, **SDXL)),
    "refiner": lambda: classes.SDXLRefiner(unet(1280, 2560, **REFINER)),
    "sd3": lambda: classes.SD3(mmdit(24)),
    "sd35_large": lambda: classes.SD3(mmdit(38, qk_norm="rms")),
    "flux": lambda: classes.Flux(flux(guidance_embed=True)),
    "schnell": lambda: classes.FluxSchnell(flux(guidance_embed=False)),
    "klein_4b": lambda: classes.Flux2(flux2(3072, 5, 20, 7680)),
    "klein_9b": lambda: classes.Flux2(flux2(4096, 8, 24, 12288)),
    "flux2": lambda: classes.Flux2(flux2(6144, 8, 48, 15360)),
    "chroma": lambda: classes.Chroma(flux(image_model="chroma", **CHROMA)),
    "lumina2": lambda: classes.Lumina2(lumina(2304, **LUMINA2)),
    "z_image": lambda: classes.ZImage(lumina(3840, **Z_IMAGE)),
    "qwen": lambda: classes.QwenImage(QWEN),
    "wan_14b": lambda: classes.WAN21_T2V(wan(5120, 13824, 40)),
    "wan_5b": lambda: classes.WAN22_T2V(wan(3072, 14336, 30, 48)),
    "anima": lambda: classes.Anima(ANIMA),
    "hidream": lambda: classes.HiDream(HIDREAM),
}


def model(name: str) -> Any:
    """Return a MODEL of `MODELS` whose weights have shapes and no values."""
    config = MODELS[name]()
    config.set_inference_dtype(torch.float16, None)
    with torch.inference_mode(False):
        network = config.get_model({}, "", device=META)
    return comfy.model_patcher.ModelPatcher(network, load_device=META, offload_device=META)


def clip(name: str) -> Any:
    """Return a CLIP for a model of `MODELS` whose weights have shapes and no values; None: not made."""
    import comfy.sd1_clip
    import comfy.sdxl_clip
    import comfy.text_encoders.flux
    import comfy.text_encoders.sd2_clip
    import comfy.text_encoders.sd3_clip

    kinds: dict[str, Callable[..., Any]] = {
        "sd15": comfy.sd1_clip.SD1ClipModel,
        "sd2": comfy.text_encoders.sd2_clip.SD2ClipModel,
        "sdxl": comfy.sdxl_clip.SDXLClipModel,
        "refiner": comfy.sdxl_clip.SDXLRefinerClipModel,
        "sd3": comfy.text_encoders.sd3_clip.SD3ClipModel,
        "sd35_large": comfy.text_encoders.sd3_clip.SD3ClipModel,
        "flux": comfy.text_encoders.flux.FluxClipModel,
        "schnell": comfy.text_encoders.flux.FluxClipModel,
    }
    if name not in kinds:
        return None
    found = comfy.sd.CLIP(no_init=True)
    found.cond_stage_model = kinds[name](device=META, dtype=torch.float16)
    found.patcher = comfy.model_patcher.ModelPatcher(found.cond_stage_model, load_device=META, offload_device=META)
    found.tokenizer = found.layer_idx = None
    found.tokenizer_options = {}
    found.use_clip_schedule = found.apply_hooks_to_conds = False
    return found
