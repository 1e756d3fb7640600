"""Models of ComfyUI's own classes with few, random weights: what a loader gives, without its gigabytes."""

from __future__ import annotations

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models as supported
import torch
from comfy_api.latest import io


def unet(context, adm=None, linear=False, channels=4):
    """Configuration of an SD-like UNet with `context` wide conditionings."""
    configuration = {
        "image_size": 32,
        "in_channels": channels,
        "out_channels": 4,
        "model_channels": 64,
        "num_res_blocks": [1, 1],
        "channel_mult": [1, 2],
        "transformer_depth": [1, 1],
        "transformer_depth_output": [1, 1, 1, 1],
        "transformer_depth_middle": 1,
        "context_dim": context,
        "num_head_channels": 16,
        "use_spatial_transformer": True,
        "legacy": False,
        "use_linear_in_transformer": linear,
        "adm_in_channels": adm,
        "use_temporal_attention": False,
    }
    return configuration | ({"num_classes": "sequential"} if adm else {})


def flux(guided, channels=16, context=64, vector=768):
    """Configuration of a Flux transformer with 64 wide blocks."""
    return {
        "image_model": "flux",
        "guidance_embed": guided,
        "in_channels": channels,
        "out_channels": channels,
        "patch_size": 2,
        "vec_in_dim": vector,
        "context_in_dim": context,
        "hidden_size": 64,
        "mlp_ratio": 2.0,
        "num_heads": 4,
        "depth": 1,
        "depth_single_blocks": 1,
        "axes_dim": [4, 6, 6],
        "theta": 10000,
        "qkv_bias": True,
        "txt_ids_dims": [],
    }


SD3 = {
    "in_channels": 16,
    "patch_size": 2,
    "depth": 2,
    "input_size": None,
    "adm_in_channels": 2048,
    "pos_embed_scaling_factor": None,
    "num_patches": 1024,
    "pos_embed_max_size": 32,
    "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": 64, "out_features": 128}},
    "x_block_self_attn_layers": [],
}
QWEN = {
    "image_model": "qwen_image",
    "in_channels": 64,
    "num_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 4,
    "joint_attention_dim": 64,
    "axes_dims_rope": (4, 6, 6),
}
LUMINA = {
    "image_model": "lumina2",
    "patch_size": 2,
    "in_channels": 16,
    "dim": 256,
    "cap_feat_dim": 64,
    "n_layers": 1,
    "n_refiner_layers": 1,
    "qk_norm": True,
    "n_heads": 4,
    "n_kv_heads": 4,
    "axes_dims": [16, 24, 24],
    "axes_lens": [512, 512, 512],
    "rope_theta": 256.0,
    "ffn_dim_multiplier": 2.0,
}
Z_IMAGE = {**LUMINA, "z_image_modulation": True, "time_scale": 1000.0, "pad_tokens_multiple": 32}
WAN = {
    "image_model": "wan2.1",
    "model_type": "t2v",
    "dim": 64,
    "out_dim": 16,
    "num_heads": 4,
    "ffn_dim": 64,
    "num_layers": 1,
    "patch_size": (1, 2, 2),
    "freq_dim": 32,
    "window_size": (-1, -1),
    "qk_norm": True,
    "cross_attn_norm": True,
    "eps": 1e-6,
    "in_dim": 16,
    "text_dim": 64,
    "text_len": 16,
}
WAN22 = {**WAN, "in_dim": 48, "out_dim": 48}

KINDS = {
    "sd15": lambda: supported.SD15(unet(768)),
    "sd2": lambda: supported.SD20(unet(1024, linear=True)),
    "sdxl": lambda: supported.SDXL(unet(2048, 2816, True)),
    "refiner": lambda: supported.SDXLRefiner(unet(1280, 2560, True)),
    "sd3": lambda: supported.SD3(dict(SD3)),
    "flux": lambda: supported.Flux(flux(True)),
    "schnell": lambda: supported.FluxSchnell(flux(False)),
    "flux2": lambda: supported.Flux2({**flux(True, 128), "image_model": "flux2", "patch_size": 1}),
    "lumina2": lambda: supported.Lumina2(dict(LUMINA)),
    "zimage": lambda: supported.ZImage(dict(Z_IMAGE)),
    "qwen": lambda: supported.QwenImage(dict(QWEN)),
    "wan": lambda: supported.WAN21_T2V(dict(WAN)),
    "wan22": lambda: supported.WAN22_T2V(dict(WAN22)),
}
"""Kind → a class of `comfy.supported_models` with a small configuration."""

CONTEXT_WIDTHS = {"sd15": 768, "sd2": 1024, "sdxl": 2048, "refiner": 1280}
POOLED_WIDTHS = {"sdxl": 1280, "refiner": 1280, "sd3": 2048}


def randomize(module, seed=0):
    """Fill the weights with noise that keeps the scale of what passes through; norms are one, biases zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, values in [*module.named_parameters(), *module.named_buffers()]:
            if not (values.dtype.is_floating_point and values.numel()):
                continue
            if values.ndim >= 2:
                inputs = max(1, values.numel() // values.shape[0])
                values.copy_(torch.randn(values.shape, generator=generator) / inputs**0.5)
            else:
                values.fill_(float(name.endswith("weight")))


class LabModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        inputs = [io.Combo.Input("kind", options=list(KINDS)), io.String.Input("file", default="")]
        return io.Schema(node_id="LabModel", category="test", inputs=inputs, outputs=[io.Model.Output("MODEL")])

    @classmethod
    def execute(cls, kind, file):
        """`file`: path that the MODEL says it was loaded from."""
        configuration = KINDS[kind]()
        configuration.set_inference_dtype(torch.float32, None)
        with torch.inference_mode(False):
            model = configuration.get_model({}, "", device=torch.device("cpu"))
            randomize(model.diffusion_model)
        model.eval()
        devices = comfy.model_management.get_torch_device(), comfy.model_management.unet_offload_device()
        patcher = comfy.model_patcher.ModelPatcher(model, *devices)
        if file:
            patcher.cached_patcher_init = (None, (file,))
        return io.NodeOutput(patcher)


class LabConditioning(io.ComfyNode):
    """A random conditioning for a model of this kind; `guidance` below 0: without that entry."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LabConditioning",
            category="test",
            inputs=[
                io.Combo.Input("kind", options=list(KINDS)),
                io.Int.Input("seed", default=0),
                io.Float.Input("guidance", default=-1.0, min=-1.0),
            ],
            outputs=[io.Conditioning.Output("CONDITIONING")],
        )

    @classmethod
    def execute(cls, kind, seed, guidance):
        generator = torch.Generator().manual_seed(seed)
        entries = {"pooled_output": torch.randn(1, POOLED_WIDTHS.get(kind, 768), generator=generator)}
        if guidance >= 0:
            entries["guidance"] = guidance
        return io.NodeOutput([[torch.randn(1, 16, CONTEXT_WIDTHS.get(kind, 64), generator=generator), entries]])


class LabVAE(io.ComfyNode):
    """A tiny autoencoder for 4 (`taesd`) or 16 (`taef`) channels, or one for video (`wan`)."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Combo.Input("kind", options=["taesd", "taef", "wan"])]
        return io.Schema(node_id="LabVAE", category="test", inputs=inputs, outputs=[io.Vae.Output("VAE")])

    @classmethod
    def execute(cls, kind):
        with torch.inference_mode(False):
            if kind == "wan":
                import comfy.ldm.wan.vae

                model = comfy.ldm.wan.vae.WanVAE(
                    dim=8,
                    z_dim=16,
                    dim_mult=[1, 2, 4, 4],
                    num_res_blocks=2,
                    attn_scales=[],
                    temperal_downsample=[False, True, True],
                    image_channels=3,
                    conv_out_channels=3,
                    dropout=0.0,
                )
            else:
                import comfy.taesd.taesd

                model = comfy.taesd.taesd.TAESD(latent_channels=4 if kind == "taesd" else 16)
            randomize(model)
            weights = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
        vae = comfy.sd.VAE(sd=weights)
        vae.throw_exception_if_invalid()
        return io.NodeOutput(vae)


class LabPainter(io.ComfyNode):
    """Stands where a VAE stands: paints any latent, `scale` pixels for each of its own, a picture for each frame."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Int.Input("scale", default=8)]
        return io.Schema(node_id="LabPainter", category="test", inputs=inputs, outputs=[io.Vae.Output("VAE")])

    @classmethod
    def execute(cls, scale):
        return io.NodeOutput(Painter(scale))


class Painter:
    vae_dtype = torch.float32

    def __init__(self, scale):
        self.scale = scale

    def spacial_compression_decode(self):
        return self.scale

    def decode(self, samples):
        frames = samples.movedim(2, 1).flatten(0, 1) if samples.ndim == 5 else samples
        pictures = torch.nn.functional.interpolate(frames[:, :3].float(), scale_factor=self.scale).movedim(1, -1)
        pictures = pictures.sigmoid()
        return pictures.unflatten(0, (samples.shape[0], -1)) if samples.ndim == 5 else pictures


NODES = [LabModel, LabConditioning, LabVAE, LabPainter]
