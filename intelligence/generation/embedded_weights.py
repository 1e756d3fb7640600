"""Weights of the embedded demo model: a small SDXL of random numbers, made with torch alone.

Names and shapes are those of diffusers' `UNet2DConditionModel` and `AutoencoderKL` and of transformers' `CLIPTextModel`
and `CLIPTextModelWithProjection`, which load the files; ComfyUI builds the same networks from its own classes. They
keep to ComfyUI's fixed parts: size conditions embedded in 256 channels each, attention in the middle of the VAE, 77
tokens, a square text projection, the latent scale 0.13025.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Shapes = dict[str, tuple[int, ...]]


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

UNET_WIDTHS = (32, 64, 128)
UNET_DEPTHS = (0, 1, 1)
"""Transformer blocks of each resolution's attention; 0: none there."""
HEAD_WIDTH = 32
SIZE_CHANNELS = 256
"""Channels that embed each of the six size conditions; `Timestep(256)` in ComfyUI."""
TIME_WIDTH = 4 * UNET_WIDTHS[0]
SIZE_AND_TEXT = 6 * SIZE_CHANNELS + POOLED

VAE_WIDTHS = (32, 32, 64, 64)
LATENT_CHANNELS = 4
LATENT_SCALE = 0.13025
NORM_GROUPS = 8

NATIVE_SIDE = 256
"""Pixels."""

LORA_RANK = 4
LORA_SIZE = 0.4
"""Standard deviation of the upper matrices: at strength 1 a LoRA changes a picture visibly."""

UNET_GAIN = 3**-0.5
"""Keeps rounded weights from changing the whole picture; the deviation that torch gives new layers."""

GAINS = {"attn2.to_out": 4.0, "conv2": 0.5}
"""Part of a tensor's name → factor on its deviation, so that prompts count and residual branches do not drown."""


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


def unet_shapes() -> Shapes:
    """Return the shape of each of the UNet's tensors, by name."""
    first, middle = UNET_WIDTHS[0], UNET_WIDTHS[-1]
    rows = [
        *_conv("conv_in", LATENT_CHANNELS, first),
        *_linear("time_embedding.linear_1", first, TIME_WIDTH),
        *_linear("time_embedding.linear_2", TIME_WIDTH, TIME_WIDTH),
        *_linear("add_embedding.linear_1", SIZE_AND_TEXT, TIME_WIDTH),
        *_linear("add_embedding.linear_2", TIME_WIDTH, TIME_WIDTH),
    ]
    before, skips = first, [first]
    for level, (width, depth) in enumerate(zip(UNET_WIDTHS, UNET_DEPTHS, strict=True)):
        block = f"down_blocks.{level}"
        rows += _resnet(f"{block}.resnets.0", before, width, TIME_WIDTH)
        rows += _transformer(f"{block}.attentions.0", width, depth)
        skips.append(width)
        if level < len(UNET_WIDTHS) - 1:
            rows += _conv(f"{block}.downsamplers.0.conv", width, width)
            skips.append(width)
        before = width
    rows += _resnet("mid_block.resnets.0", middle, middle, TIME_WIDTH)
    rows += _transformer("mid_block.attentions.0", middle, UNET_DEPTHS[-1])
    rows += _resnet("mid_block.resnets.1", middle, middle, TIME_WIDTH)
    for level, (width, depth) in enumerate(zip(reversed(UNET_WIDTHS), reversed(UNET_DEPTHS), strict=True)):
        block = f"up_blocks.{level}"
        for layer in range(2):
            rows += _resnet(f"{block}.resnets.{layer}", before + skips.pop(), width, TIME_WIDTH)
            rows += _transformer(f"{block}.attentions.{layer}", width, depth)
            before = width
        if level < len(UNET_WIDTHS) - 1:
            rows += _conv(f"{block}.upsamplers.0.conv", width, width)
    return dict([*rows, *_norm("conv_norm_out", first), *_conv("conv_out", first, LATENT_CHANNELS)])


def vae_shapes() -> Shapes:
    """Return the shape of each of the VAE's tensors, by name."""
    last, latents = VAE_WIDTHS[-1], LATENT_CHANNELS
    rows = [*_conv("encoder.conv_in", 3, VAE_WIDTHS[0]), *_conv("decoder.conv_in", latents, last)]
    before = VAE_WIDTHS[0]
    for level, width in enumerate(VAE_WIDTHS):
        block = f"encoder.down_blocks.{level}"
        rows += _resnet(f"{block}.resnets.0", before, width)
        if level < len(VAE_WIDTHS) - 1:
            rows += _conv(f"{block}.downsamplers.0.conv", width, width)
        before = width
    for level, width in enumerate(reversed(VAE_WIDTHS)):
        block = f"decoder.up_blocks.{level}"
        for layer in range(2):
            rows += _resnet(f"{block}.resnets.{layer}", before, width)
            before = width
        if level < len(VAE_WIDTHS) - 1:
            rows += _conv(f"{block}.upsamplers.0.conv", width, width)
    for half, width, out in (("encoder", last, 2 * latents), ("decoder", VAE_WIDTHS[0], 3)):
        rows += _resnet(f"{half}.mid_block.resnets.0", last, last)
        rows += _norm(f"{half}.mid_block.attentions.0.group_norm", last)
        for name in ("to_q", "to_k", "to_v", "to_out.0"):
            rows += _linear(f"{half}.mid_block.attentions.0.{name}", last, last)
        rows += _resnet(f"{half}.mid_block.resnets.1", last, last)
        rows += [*_norm(f"{half}.conv_norm_out", width), *_conv(f"{half}.conv_out", width, out)]
    rows += _conv("quant_conv", 2 * latents, 2 * latents, kernel=1)
    return dict([*rows, *_conv("post_quant_conv", latents, latents, kernel=1)])


def text_encoder_shapes(encoder: TextEncoder) -> Shapes:
    """Return the shape of each of a text encoder's tensors, by name."""
    width = encoder.width
    rows: list[tuple[str, tuple[int, ...]]] = [
        ("text_model.embeddings.token_embedding.weight", (VOCABULARY, width)),
        ("text_model.embeddings.position_embedding.weight", (TOKENS, width)),
    ]
    for layer in range(encoder.layers):
        name = f"text_model.encoder.layers.{layer}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            rows += _linear(f"{name}.self_attn.{part}", width, width)
        rows += [*_norm(f"{name}.layer_norm1", width), *_norm(f"{name}.layer_norm2", width)]
        rows += [*_linear(f"{name}.mlp.fc1", width, 4 * width), *_linear(f"{name}.mlp.fc2", 4 * width, width)]
    rows += _norm("text_model.final_layer_norm", width)
    if encoder is TEXT_ENCODERS[1]:
        rows += _linear("text_projection", width, width, bias=False)
    return dict(rows)


Tensors = Iterator[tuple[str, tuple[int, ...]]]
"""(name, shape) pairs."""


def _norm(name: str, width: int) -> Tensors:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _linear(name: str, inputs: int, outputs: int, bias: bool = True) -> Tensors:
    yield f"{name}.weight", (outputs, inputs)
    if bias:
        yield f"{name}.bias", (outputs,)


def _conv(name: str, inputs: int, outputs: int, kernel: int = 3) -> Tensors:
    yield f"{name}.weight", (outputs, inputs, kernel, kernel)
    yield f"{name}.bias", (outputs,)


def _resnet(name: str, inputs: int, outputs: int, time_width: int = 0) -> Tensors:
    yield from _norm(f"{name}.norm1", inputs)
    yield from _conv(f"{name}.conv1", inputs, outputs)
    if time_width:
        yield from _linear(f"{name}.time_emb_proj", time_width, outputs)
    yield from _norm(f"{name}.norm2", outputs)
    yield from _conv(f"{name}.conv2", outputs, outputs)
    if inputs != outputs:
        yield from _conv(f"{name}.conv_shortcut", inputs, outputs, kernel=1)


def _transformer(name: str, width: int, depth: int) -> Tensors:
    if not depth:
        return
    yield from _norm(f"{name}.norm", width)
    yield from _linear(f"{name}.proj_in", width, width)
    for index in range(depth):
        block = f"{name}.transformer_blocks.{index}"
        for attention, context in (("attn1", width), ("attn2", CONTEXT)):
            yield from _linear(f"{block}.{attention}.to_q", width, width, bias=False)
            yield from _linear(f"{block}.{attention}.to_k", context, width, bias=False)
            yield from _linear(f"{block}.{attention}.to_v", context, width, bias=False)
            yield from _linear(f"{block}.{attention}.to_out.0", width, width)
        for norm in ("norm1", "norm2", "norm3"):
            yield from _norm(f"{block}.{norm}", width)
        yield from _linear(f"{block}.ff.net.0.proj", width, 8 * width)
        yield from _linear(f"{block}.ff.net.2", 4 * width, width)
    yield from _linear(f"{name}.proj_out", width, width)


def random_weights(shapes: Mapping[str, tuple[int, ...]], generator: Any, gain: float = 1.0) -> dict[str, Any]:
    """Return float32 tensors by name: norms one, biases zero, others normal; `gain`: factor on their deviation."""
    import torch

    weights = {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            weights[name] = torch.zeros(shape) if name.endswith("bias") else torch.ones(shape)
        else:
            weights[name] = torch.randn(shape, generator=generator) * _deviation(name, shape) * gain
    return weights


def smooth_decoder(weights: dict[str, Any], generator: Any) -> None:
    """Replace the decoder's 3×3 kernels in `weights` by blurs, so that pictures are smooth rather than grainy."""
    import torch

    line = torch.tensor([1.0, 2.0, 1.0])
    blur = torch.outer(line, line) / 16
    for name, weight in weights.items():
        if name.startswith("decoder.") and weight.ndim == 4 and weight.shape[-1] == 3:
            mixed = torch.randn(weight.shape[:2], generator=generator)[..., None, None] * blur
            weights[name] = mixed * weight.shape[1] ** -0.5 * (4 if name.endswith("conv2.weight") else 1.5)


def random_lora(generator: Any) -> dict[str, Any]:
    """Return random LoRA weights of all attention, in kohya's names (`lora_unet_…`, `lora_te1_…`, `lora_te2_…`)."""
    import torch

    parts = {"lora_unet": unet_shapes()}
    parts |= {f"lora_te{number}": text_encoder_shapes(encoder) for number, encoder in enumerate(TEXT_ENCODERS, 1)}
    weights: dict[str, Any] = {}
    for prefix, shapes in parts.items():
        for name, shape in shapes.items():
            if len(shape) == 2 and (".attn" in name or ".self_attn." in name):
                outputs, inputs = shape
                key = f"{prefix}_{name.removesuffix('.weight').replace('.', '_')}"
                down = torch.randn(LORA_RANK, inputs, generator=generator) * inputs**-0.5
                weights[f"{key}.lora_down.weight"] = down
                weights[f"{key}.lora_up.weight"] = torch.randn(outputs, LORA_RANK, generator=generator) * LORA_SIZE
                weights[f"{key}.alpha"] = torch.tensor(float(LORA_RANK))
    return weights


def _deviation(name: str, shape: tuple[int, ...]) -> float:
    if name.endswith("embedding.weight"):
        return 1.0 if "token" in name else 0.1
    gain = next((gain for part, gain in GAINS.items() if part in name), 1.0)
    return gain * math.prod(shape[1:]) ** -0.5
