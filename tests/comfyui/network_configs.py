"""Networks of the published models: the class and configuration by which ComfyUI makes each at its full width."""

from __future__ import annotations

from typing import Any

import torch

Config = dict[str, Any]
Networks = dict[str, tuple[str, str, Config]]
"""Name → (architecture, class of ComfyUI, sizes of the published model)."""

_FLUX: Config = {
    "image_model": "flux",
    "axes_dim": [16, 56, 56],
    "num_heads": 24,
    "mlp_ratio": 4.0,
    "theta": 10000,
    "out_channels": 16,
    "qkv_bias": True,
    "txt_ids_dims": [],
    "in_channels": 16,
    "hidden_size": 3072,
    "context_in_dim": 4096,
    "patch_size": 2,
    "vec_in_dim": 768,
    "depth": 19,
    "depth_single_blocks": 38,
    "guidance_embed": True,
    "yak_mlp": False,
    "txt_norm": False,
}
_CHROMA: Config = {
    **{key: value for key, value in _FLUX.items() if key not in ("guidance_embed", "yak_mlp", "txt_norm")},
    "image_model": "chroma",
    "in_channels": 64,
    "out_channels": 64,
    "in_dim": 64,
    "out_dim": 3072,
    "hidden_dim": 5120,
    "n_layers": 5,
}
_RADIANCE: Config = {
    **_CHROMA,
    "image_model": "chroma_radiance",
    "in_channels": 3,
    "out_channels": 3,
    "patch_size": 16,
    "nerf_hidden_size": 64,
    "nerf_mlp_ratio": 4,
    "nerf_depth": 4,
    "nerf_max_freqs": 8,
    "nerf_tile_size": 512,
    "nerf_final_head_type": "conv",
    "nerf_embedder_dtype": torch.float32,
    "use_x0": False,
    "use_sequential_txt_ids": False,
}


def _flux2(hidden: int, context: int, double: int, single: int) -> Config:
    return {
        "image_model": "flux2",
        "axes_dim": [32] * 4,
        "num_heads": hidden // 128,
        "mlp_ratio": 3.0,
        "theta": 2000,
        "out_channels": 128,
        "global_modulation": True,
        "mlp_silu_act": True,
        "qkv_bias": False,
        "ops_bias": False,
        "default_ref_method": "index",
        "ref_index_scale": 10.0,
        "txt_ids_dims": [3],
        "in_channels": 128,
        "hidden_size": hidden,
        "context_in_dim": context,
        "patch_size": 1,
        "vec_in_dim": None,
        "depth": double,
        "depth_single_blocks": single,
        "guidance_embed": hidden == 6144,
        "yak_mlp": False,
        "txt_norm": False,
    }


_HUNYUAN: Config = {
    "image_model": "hunyuan_video",
    "in_channels": 16,
    "patch_size": [1, 2, 2],
    "out_channels": 16,
    "vec_in_dim": 768,
    "axes_dim": [16, 56, 56],
    "meanflow": False,
    "context_in_dim": 4096,
    "hidden_size": 3072,
    "mlp_ratio": 4.0,
    "num_heads": 24,
    "depth": 20,
    "depth_single_blocks": 40,
    "theta": 256,
    "qkv_bias": True,
    "byt5": False,
    "guidance_embed": True,
    "use_cond_type_embedding": False,
    "vision_in_dim": None,
    "meanflow_sum": False,
}
_HUNYUAN_IMAGE: Config = {
    **_HUNYUAN,
    "in_channels": 64,
    "patch_size": [1, 1],
    "out_channels": 64,
    "axes_dim": [64, 64],
    "hidden_size": 3584,
    "num_heads": 28,
    "vec_in_dim": None,
    "context_in_dim": 3584,
    "byt5": True,
    "guidance_embed": False,
}
_HUNYUAN_15: Config = {
    **_HUNYUAN,
    "in_channels": 65,
    "out_channels": 32,
    "patch_size": [1, 1, 1],
    "hidden_size": 2048,
    "num_heads": 16,
    "depth": 54,
    "depth_single_blocks": 0,
    "vec_in_dim": None,
    "context_in_dim": 3584,
    "byt5": True,
    "guidance_embed": False,
    "vision_in_dim": 1152,
    "use_cond_type_embedding": True,
    "meanflow_sum": True,
}


def _wan(dim: int, ffn: int, layers: int, **more: Any) -> Config:
    return {
        "image_model": "wan2.1",
        "dim": dim,
        "out_dim": 16,
        "num_heads": dim // 128,
        "ffn_dim": ffn,
        "num_layers": layers,
        "patch_size": (1, 2, 2),
        "freq_dim": 256,
        "window_size": (-1, -1),
        "qk_norm": True,
        "cross_attn_norm": True,
        "eps": 1e-6,
        "in_dim": 16,
        "model_type": "t2v",
        **more,
    }


def _cosmos(name: str, channels: int, blocks: int) -> Config:
    return {
        "image_model": name,
        "max_img_h": 240,
        "max_img_w": 240,
        "max_frames": 128,
        "in_channels": 16,
        "out_channels": 16,
        "patch_spatial": 2,
        "patch_temporal": 1,
        "model_channels": channels,
        "concat_padding_mask": True,
        "crossattn_emb_channels": 1024,
        "pos_emb_cls": "rope3d",
        "pos_emb_learnable": True,
        "pos_emb_interpolation": "crop",
        "min_fps": 1,
        "max_fps": 30,
        "use_adaln_lora": True,
        "adaln_lora_dim": 256,
        "num_blocks": blocks,
        "num_heads": channels // 128,
        "extra_per_block_abs_pos_emb": False,
        "rope_h_extrapolation_ratio": 4.0,
        "rope_w_extrapolation_ratio": 4.0,
        "rope_t_extrapolation_ratio": 1.0,
        "extra_h_extrapolation_ratio": 1.0,
        "extra_w_extrapolation_ratio": 1.0,
        "extra_t_extrapolation_ratio": 1.0,
        "rope_enable_fps_modulation": False,
    }


def _lumina(dim: int, layers: int, text: int, **more: Any) -> Config:
    return {
        "image_model": "lumina2",
        "patch_size": 2,
        "in_channels": 16,
        "dim": dim,
        "cap_feat_dim": text,
        "n_layers": layers,
        "qk_norm": True,
        **more,
    }


_Z_IMAGE = _lumina(
    dim=3840,
    layers=30,
    text=2560,
    n_heads=30,
    n_kv_heads=30,
    axes_dims=[32, 48, 48],
    axes_lens=[1536, 512, 512],
    rope_theta=256.0,
    ffn_dim_multiplier=8 / 3,
    z_image_modulation=True,
    time_scale=1000.0,
    pad_tokens_multiple=32,
)
_LUMINA = _lumina(
    dim=2304,
    layers=26,
    text=2304,
    n_heads=24,
    n_kv_heads=8,
    axes_dims=[32, 32, 32],
    axes_lens=[300, 512, 512],
    rope_theta=10000.0,
    ffn_dim_multiplier=4.0,
)


def _sd3(depth: int, dual: int = 0) -> Config:
    width = {"in_features": 4096, "out_features": 64 * depth}
    return {
        "in_channels": 16,
        "patch_size": 2,
        "out_channels": 16,
        "depth": depth,
        "input_size": None,
        "adm_in_channels": 2048,
        "context_embedder_config": {"target": "torch.nn.Linear", "params": width},
        "num_patches": 36864,
        "pos_embed_max_size": 192,
        "pos_embed_scaling_factor": None,
        "qk_norm": "rms",
        "x_block_self_attn_layers": list(range(dual)),
    }


_UNET: Config = {
    "use_checkpoint": False,
    "image_size": 32,
    "out_channels": 4,
    "use_spatial_transformer": True,
    "legacy": False,
    "in_channels": 4,
    "use_temporal_attention": False,
    "use_temporal_resblock": False,
    "model_channels": 320,
    "use_linear_in_transformer": True,
    "num_head_channels": 64,
}
_SD1: Config = {
    **_UNET,
    "adm_in_channels": None,
    "num_res_blocks": [2] * 4,
    "transformer_depth": [1] * 6 + [0] * 2,
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [1] * 9 + [0] * 3,
}


def _sdxl(depth: list[int], middle: int, output: list[int], blocks: int = 2) -> Config:
    return {
        **_UNET,
        "num_classes": "sequential",
        "adm_in_channels": 2816,
        "context_dim": 2048,
        "channel_mult": [1, 2, 4],
        "num_res_blocks": [blocks] * 3,
        "transformer_depth": depth,
        "transformer_depth_middle": middle,
        "transformer_depth_output": output,
    }


_REFINER: Config = {
    **_UNET,
    "num_classes": "sequential",
    "adm_in_channels": 2560,
    "context_dim": 1280,
    "model_channels": 384,
    "channel_mult": [1, 2, 4, 4],
    "num_res_blocks": [2] * 4,
    "transformer_depth": [0, 0, 4, 4, 4, 4, 0, 0],
    "transformer_depth_middle": 4,
    "transformer_depth_output": [0] * 3 + [4] * 6 + [0] * 3,
}
_SDXL = _sdxl([0, 0, 2, 2, 10, 10], 10, [0, 0, 0, 2, 2, 2, 10, 10, 10])

_HIDREAM: Config = {
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
_OMNIGEN: Config = {
    "image_model": "omnigen2",
    "axes_dim_rope": [40] * 3,
    "axes_lens": [1024, 1664, 1664],
    "hidden_size": 2520,
    "ffn_dim_multiplier": None,
    "in_channels": 16,
    "multiple_of": 256,
    "norm_eps": 1e-5,
    "num_layers": 32,
    "num_attention_heads": 21,
    "num_kv_heads": 7,
    "num_refiner_layers": 2,
    "out_channels": None,
    "patch_size": 2,
    "text_feat_dim": 2048,
    "timestep_scale": 1000.0,
}
_MOCHI: Config = {
    "image_model": "mochi_preview",
    "depth": 48,
    "patch_size": 2,
    "num_heads": 24,
    "hidden_size_x": 3072,
    "hidden_size_y": 1536,
    "mlp_ratio_x": 4.0,
    "mlp_ratio_y": 4.0,
    "learn_sigma": False,
    "in_channels": 12,
    "qk_norm": True,
    "qkv_bias": False,
    "out_bias": True,
    "attn_drop": 0.0,
    "patch_embed_bias": True,
    "posenc_preserve_area": True,
    "timestep_mlp_bias": True,
    "attend_to_padding": False,
    "use_t5": True,
    "timestep_scale": 1000.0,
    "t5_feat_dim": 4096,
    "t5_token_length": 256,
    "rope_theta": 10000.0,
}
_COG: Config = {
    "image_model": "cogvideox",
    "num_attention_heads": 48,
    "attention_head_dim": 64,
    "time_embed_dim": 512,
    "num_layers": 42,
    "in_channels": 16,
    "patch_size": 2,
    "text_embed_dim": 4096,
    "use_learned_positional_embeddings": False,
    "use_rotary_positional_embeddings": True,
}
_KANDINSKY: Config = {
    "image_model": "kandinsky5",
    "model_dim": 2560,
    "axes_dims": (32, 48, 48),
    "time_dim": 512,
    "ff_dim": 10240,
    "rope_scale_factor": (1.0, 1.0, 1.0),
    "visual_embed_dim": 64,
    "num_text_blocks": 2,
    "num_visual_blocks": 50,
}
_KREA: Config = {
    "image_model": "krea2",
    "features": 6144,
    "channels": 16,
    "patch": 2,
    "layers": 28,
    "heads": 48,
    "kvheads": 12,
    "txtlayers": 12,
    "txtdim": 2560,
}
_LTX: Config = {
    "image_model": "ltxv",
    "num_layers": 28,
    "attention_head_dim": 64,
    "cross_attention_dim": 2048,
    "use_keyframes_abs_pos_embedding": False,
}
_LTX2: Config = {
    "image_model": "ltxav",
    "num_layers": 48,
    "attention_head_dim": 128,
    "cross_attention_dim": 4096,
    "use_keyframes_abs_pos_embedding": False,
}
_PIXART: Config = {
    "image_model": "pixart_sigma",
    "num_heads": 16,
    "patch_size": 2,
    "hidden_size": 1152,
    "in_channels": 4,
    "depth": 28,
    "model_max_length": 300,
    "input_size": 128,
    "pe_interpolation": 2,
    "micro_condition": False,
}

NETWORKS: Networks = {
    "sdxl": ("sdxl", "SDXL", _SDXL),
    "ssd_1b": ("sdxl", "SSD1B", _sdxl([0, 0, 2, 2, 4, 4], -1, [0, 0, 0, 1, 1, 2, 10, 4, 4])),
    "segmind_vega": ("sdxl", "Segmind_Vega", _sdxl([0, 0, 1, 1, 2, 2], -1, [0, 0, 0, 1, 1, 1, 2, 2, 2])),
    "koala_700m": ("sdxl", "KOALA_700M", _sdxl([0, 2, 5], -2, [0, 0, 2, 2, 5, 5], 1)),
    "koala_1b": ("sdxl", "KOALA_1B", _sdxl([0, 2, 6], 6, [0, 0, 2, 2, 6, 6], 1)),
    "sdxl_refiner": ("sdxl_refiner", "SDXLRefiner", _REFINER),
    "sd1": (
        "sd1",
        "SD15",
        {**_SD1, "use_linear_in_transformer": False, "context_dim": 768, "num_heads": 8, "num_head_channels": -1},
    ),
    "sd2": ("sd2", "SD20", {**_SD1, "context_dim": 1024}),
    "flux": ("flux", "Flux", _FLUX),
    "chroma": ("chroma", "Chroma", _CHROMA),
    "chroma_radiance": ("chroma_radiance", "ChromaRadiance", _RADIANCE),
    "flux2_dev": ("flux2_dev", "Flux2", _flux2(6144, 15360, 8, 48)),
    "flux2_klein_9b": ("flux2_klein_9b", "Flux2", _flux2(4096, 12288, 8, 24)),
    "flux2_klein_4b": ("flux2_klein_4b", "Flux2", _flux2(3072, 7680, 5, 20)),
    "longcat_image": (
        "longcat_image",
        "LongCatImage",
        {
            **_FLUX,
            "guidance_embed": False,
            "context_in_dim": 3584,
            "vec_in_dim": None,
            "depth": 10,
            "depth_single_blocks": 20,
            "txt_ids_dims": [1, 2],
        },
    ),
    "qwen_image": (
        "qwen_image",
        "QwenImage",
        {"image_model": "qwen_image", "in_channels": 64, "num_layers": 60},
    ),
    "mage_flow": ("mage_flow", "MageFlow", {"image_model": "mage_flow", "in_channels": 128, "num_layers": 48}),
    "z_image": ("z_image", "ZImage", _Z_IMAGE),
    "lumina2": ("lumina2", "Lumina2", _LUMINA),
    "krea2": ("krea2", "Krea2", _KREA),
    "anima": ("anima", "Anima", _cosmos("anima", 2048, 28)),
    "cosmos_predict2": ("cosmos_predict2", "CosmosT2IPredict2", _cosmos("cosmos_predict2", 2048, 28)),
    "cosmos_predict2_14b": ("cosmos_predict2_14b", "CosmosT2IPredict2", _cosmos("cosmos_predict2", 5120, 36)),
    "wan_14b": ("wan_14b", "WAN21_T2V", _wan(5120, 13824, 40)),
    "wan_14b_i2v": ("wan_14b", "WAN21_I2V", _wan(5120, 13824, 40, model_type="i2v", in_dim=36)),
    "wan_1_3b": ("wan_1_3b", "WAN21_T2V", _wan(1536, 8960, 30)),
    "wan_5b": ("wan_5b", "WAN22_T2V", _wan(3072, 14336, 30, out_dim=48, in_dim=48)),
    "sd3": ("sd3", "SD3", _sd3(24)),
    "sd35_medium": ("sd3", "SD3", _sd3(24, 13)),
    "sd35_large": ("sd35_large", "SD3", _sd3(38)),
    "hidream": ("hidream", "HiDream", _HIDREAM),
    "hidream_o1": ("hidream_o1", "HiDreamO1", {"image_model": "hidream_o1"}),
    "ernie_image": ("ernie_image", "ErnieImage", {"image_model": "ernie"}),
    "ideogram4": (
        "ideogram4",
        "Ideogram4",
        {"image_model": "ideogram4", "in_channels": 128, "num_layers": 34},
    ),
    "omnigen2": ("omnigen2", "Omnigen2", _OMNIGEN),
    "hunyuan_video": ("hunyuan_video", "HunyuanVideo", _HUNYUAN),
    "hunyuan_image": ("hunyuan_image", "HunyuanImage21", _HUNYUAN_IMAGE),
    "hunyuan_video_15": ("hunyuan_video_15", "HunyuanVideo15", _HUNYUAN_15),
    "hunyuan_dit": (
        "hunyuan_dit",
        "HunyuanDiT",
        {"image_model": "hydit", "depth": 40, "hidden_size": 1408, "mlp_ratio": 4.3637},
    ),
    "ltx_video": ("ltx_video", "LTXV", _LTX),
    "ltx_video_13b": (
        "ltx_video",
        "LTXV",
        {**_LTX, "num_layers": 48, "attention_head_dim": 128, "cross_attention_dim": 4096},
    ),
    "ltx2": ("ltx2", "LTXAV", _LTX2),
    "mochi": ("mochi", "GenmoMochi", _MOCHI),
    "cogvideox": ("cogvideox", "CogVideoX_T2V", _COG),
    "pixart": ("pixart", "PixArtSigma", _PIXART),
    "auraflow": (
        "auraflow",
        "AuraFlow",
        {"max_seq": 4096, "cond_seq_dim": 2048, "n_double_layers": 4, "n_layers": 36},
    ),
    "kandinsky5": ("kandinsky5", "Kandinsky5Image", _KANDINSKY),
}

EDITIONS: Networks = {"flux_schnell": ("flux", "FluxSchnell", {**_FLUX, "guidance_embed": False})}
"""Networks with the modules of another one."""
