"""A real checkpoint of SDXL's class, with random weights, made on the spot in seconds.

ComfyUI detects it as KOALA-700M, a distilled SDXL: the same code, text encoders (full size), conditioning, latent
format and VAE as SDXL, and a UNet of 108 M parameters with one residual block a level, 320 channels wide. It
paints noise, but noise that follows the prompt, the seed, the settings and the LoRAs. 2.0 GB as fp16.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np

NAME = "random_sdxl.safetensors"
METADATA = {
    "modelspec.sai_model_spec": "1.0.0",
    "modelspec.architecture": "stable-diffusion-xl-v1-base",
    "modelspec.title": "Random SDXL",
    "modelspec.prediction_type": "epsilon",
}
Shape = tuple[int, ...]
Shapes = Iterator[tuple[str, Shape]]

CHANNELS, TIME, CONTEXT, POOLED = 320, 1280, 2048, 2816
DEPTHS = (0, 2, 5)
"""Transformer blocks at each level of the UNet, from full to quarter resolution."""


def cache() -> Path:
    """Return the folder that keeps files between runs which take long to make."""
    return Path(
        os.environ.get("INTELLIGENT_GENERATION_TEST_CACHE", "~/.cache/intelligent-generation-tests")
    ).expanduser()


def ensure(folder: Path | None = None) -> Path:
    """Path of the checkpoint, made first when it is not there. The folder is a models/checkpoints of its own."""
    path = (folder or cache() / "checkpoints") / NAME
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        write(partial, dict(shapes()))
        partial.replace(path)
    return path


def write(path: Path, tensors: dict[str, Shape], block: int = 1 << 20) -> None:
    """Write fp16 tensors of these shapes as safetensors: weights scaled to keep the variance, norms 1, biases 0.

    The weights repeat one block of normal noise, each from its own place in it, so that equal shapes differ.
    """
    ends = list(accumulate((2 * math.prod(shape) for shape in tensors.values()), initial=0))
    entries = {
        name: {"dtype": "F16", "shape": shape, "data_offsets": span}
        for (name, shape), span in zip(tensors.items(), pairwise(ends), strict=True)
    }
    header = json.dumps({"__metadata__": METADATA, **entries}).encode()
    header += b" " * (-len(header) % 8)
    noise = np.random.default_rng(0).standard_normal(block, dtype=np.float32)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for index, (name, shape) in enumerate(tensors.items()):
            count = math.prod(shape)
            if name.endswith("bias"):
                file.write(bytes(2 * count))
            elif len(shape) == 1:
                file.write(np.ones(count, np.float16).tobytes())
            else:
                # Embeddings are looked up, not multiplied: their rows get the small scale they are trained to.
                scale = 0.02 if "embedding" in name else 1 / math.sqrt(math.prod(shape[1:]))
                scaled = np.roll(noise * np.float32(scale), 7919 * index).astype(np.float16)
                whole, rest = divmod(count, block)
                for _ in range(whole):
                    file.write(scaled.tobytes())
                file.write(scaled[:rest].tobytes())


def shapes() -> Shapes:
    """Every tensor of the checkpoint, by its name in the file format of the SDXL release."""
    yield from _under("model.diffusion_model.", unet())
    yield from _under("conditioner.embedders.0.transformer.text_model.", clip_l())
    yield from _under("conditioner.embedders.1.model.", clip_g())
    yield from _under("first_stage_model.", vae())


def unet() -> Shapes:
    """Three levels with one block each on the way down and two on the way up; no transformer in the middle."""
    yield from _linear("time_embed.0", CHANNELS, TIME)
    yield from _linear("time_embed.2", TIME, TIME)
    yield from _linear("label_emb.0.0", POOLED, TIME)
    yield from _linear("label_emb.0.2", TIME, TIME)
    yield from _conv("input_blocks.0.0", 4, CHANNELS)
    for level, depth in enumerate(DEPTHS):
        block = f"input_blocks.{2 * level + 1}"
        yield from _unet_block(block, CHANNELS, depth)
        if level < len(DEPTHS) - 1:
            yield from _conv(f"input_blocks.{2 * level + 2}.0.op", CHANNELS, CHANNELS)
    yield from _residual("middle_block.0", CHANNELS)
    for level, depth in enumerate(reversed(DEPTHS)):
        for index in (2 * level, 2 * level + 1):
            yield from _unet_block(f"output_blocks.{index}", 2 * CHANNELS, depth)
        if level < len(DEPTHS) - 1:
            yield from _conv(f"output_blocks.{index}.{2 if depth else 1}.conv", CHANNELS, CHANNELS)
    yield from _norm("out.0", CHANNELS)
    yield from _conv("out.2", CHANNELS, 4)


def clip_l() -> Shapes:
    """CLIP ViT-L/14's text encoder, in the names of transformers."""
    yield "embeddings.token_embedding.weight", (49408, 768)
    yield "embeddings.position_embedding.weight", (77, 768)
    for layer in range(12):
        at = f"encoder.layers.{layer}."
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from _linear(f"{at}self_attn.{name}", 768, 768)
        yield from _norm(f"{at}layer_norm1", 768)
        yield from _norm(f"{at}layer_norm2", 768)
        yield from _linear(f"{at}mlp.fc1", 768, 3072)
        yield from _linear(f"{at}mlp.fc2", 3072, 768)
    yield from _norm("final_layer_norm", 768)


def clip_g() -> Shapes:
    """OpenCLIP ViT-bigG/14's text encoder, in the names of open_clip."""
    yield "token_embedding.weight", (49408, 1280)
    yield "positional_embedding", (77, 1280)
    for layer in range(32):
        at = f"transformer.resblocks.{layer}."
        yield f"{at}attn.in_proj_weight", (3840, 1280)
        yield f"{at}attn.in_proj_bias", (3840,)
        yield from _linear(f"{at}attn.out_proj", 1280, 1280)
        yield from _norm(f"{at}ln_1", 1280)
        yield from _norm(f"{at}ln_2", 1280)
        yield from _linear(f"{at}mlp.c_fc", 1280, 5120)
        yield from _linear(f"{at}mlp.c_proj", 5120, 1280)
    yield from _norm("ln_final", 1280)
    yield "text_projection", (1280, 1280)


def vae() -> Shapes:
    """The autoencoder of Stable Diffusion: four latent channels, eight pixels to one."""
    widths = (128, 256, 512, 512)
    yield from _conv("encoder.conv_in", 3, 128)
    for level, (before, width) in enumerate(zip((128, *widths), widths, strict=False)):
        for block in range(2):
            yield from _vae_block(f"encoder.down.{level}.block.{block}", width if block else before, width)
        if level < 3:
            yield from _conv(f"encoder.down.{level}.downsample.conv", width, width)
    yield from _vae_ends("encoder", 512, 8)
    yield from _conv("quant_conv", 8, 8, 1)
    yield from _conv("post_quant_conv", 4, 4, 1)
    yield from _conv("decoder.conv_in", 4, 512)
    for level, width in enumerate(widths):
        before = widths[min(level + 1, 3)]
        for block in range(3):
            yield from _vae_block(f"decoder.up.{level}.block.{block}", width if block else before, width)
        if level > 0:
            yield from _conv(f"decoder.up.{level}.upsample.conv", width, width)
    yield from _vae_ends("decoder", 128, 3)


def _under(prefix: str, tensors: Shapes) -> Shapes:
    return ((prefix + name, shape) for name, shape in tensors)


def _linear(name: str, inputs: int, outputs: int, bias: bool = True) -> Shapes:
    yield f"{name}.weight", (outputs, inputs)
    if bias:
        yield f"{name}.bias", (outputs,)


def _conv(name: str, inputs: int, outputs: int, size: int = 3) -> Shapes:
    yield f"{name}.weight", (outputs, inputs, size, size)
    yield f"{name}.bias", (outputs,)


def _norm(name: str, width: int) -> Shapes:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _residual(name: str, inputs: int) -> Shapes:
    yield from _norm(f"{name}.in_layers.0", inputs)
    yield from _conv(f"{name}.in_layers.2", inputs, CHANNELS)
    yield from _linear(f"{name}.emb_layers.1", TIME, CHANNELS)
    yield from _norm(f"{name}.out_layers.0", CHANNELS)
    yield from _conv(f"{name}.out_layers.3", CHANNELS, CHANNELS)
    if inputs != CHANNELS:
        yield from _conv(f"{name}.skip_connection", inputs, CHANNELS, 1)


def _unet_block(name: str, inputs: int, depth: int) -> Shapes:
    yield from _residual(f"{name}.0", inputs)
    if depth:
        yield from _norm(f"{name}.1.norm", CHANNELS)
        yield from _linear(f"{name}.1.proj_in", CHANNELS, CHANNELS)
        for block in range(depth):
            yield from _transformer(f"{name}.1.transformer_blocks.{block}")
        yield from _linear(f"{name}.1.proj_out", CHANNELS, CHANNELS)


def _transformer(name: str) -> Shapes:
    for attention, width in (("attn1", CHANNELS), ("attn2", CONTEXT)):
        yield from _linear(f"{name}.{attention}.to_q", CHANNELS, CHANNELS, bias=False)
        yield from _linear(f"{name}.{attention}.to_k", width, CHANNELS, bias=False)
        yield from _linear(f"{name}.{attention}.to_v", width, CHANNELS, bias=False)
        yield from _linear(f"{name}.{attention}.to_out.0", CHANNELS, CHANNELS)
    for index in (1, 2, 3):
        yield from _norm(f"{name}.norm{index}", CHANNELS)
    yield from _linear(f"{name}.ff.net.0.proj", CHANNELS, 8 * CHANNELS)
    yield from _linear(f"{name}.ff.net.2", 4 * CHANNELS, CHANNELS)


def _vae_block(name: str, inputs: int, outputs: int) -> Shapes:
    yield from _norm(f"{name}.norm1", inputs)
    yield from _conv(f"{name}.conv1", inputs, outputs)
    yield from _norm(f"{name}.norm2", outputs)
    yield from _conv(f"{name}.conv2", outputs, outputs)
    if inputs != outputs:
        yield from _conv(f"{name}.nin_shortcut", inputs, outputs, 1)


def _vae_ends(name: str, width: int, outputs: int) -> Shapes:
    yield from _vae_block(f"{name}.mid.block_1", 512, 512)
    yield from _norm(f"{name}.mid.attn_1.norm", 512)
    for part in ("q", "k", "v", "proj_out"):
        yield from _conv(f"{name}.mid.attn_1.{part}", 512, 512, 1)
    yield from _vae_block(f"{name}.mid.block_2", 512, 512)
    yield from _norm(f"{name}.norm_out", width)
    yield from _conv(f"{name}.conv_out", width, outputs)
