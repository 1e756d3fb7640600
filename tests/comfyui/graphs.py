"""Prompts made of core nodes, which tests compare against."""

from __future__ import annotations

from typing import Any

from . import checkpoint
from .client import Prompt

DEMO: dict[str, Any] = {"class_type": "EmbeddedDemoModel", "inputs": {}}
CHECKPOINT: dict[str, Any] = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": checkpoint.NAME}}
"""Loader nodes: the embedded demo model, which every server with our pack has, and the random checkpoint."""


def text_to_image(
    text: str = "a lighthouse at dusk",
    lora: str | None = None,
    seed: int = 1,
    steps: int = 2,
    prefix: str = "core",
    loader: dict[str, Any] = DEMO,
) -> Prompt:
    """Loader, optional LoRA, two texts, empty latent of 128², KSampler, VAEDecode, SaveImage under `prefix`."""
    model, clip = (["lora", 0], ["lora", 1]) if lora else (["loader", 0], ["loader", 1])
    prompt = {
        "loader": loader,
        "positive": _node("CLIPTextEncode", clip=clip, text=text),
        "negative": _node("CLIPTextEncode", clip=clip, text="blurry"),
        "latent": _node("EmptyLatentImage", width=128, height=128, batch_size=1),
        "sampler": _node(
            "KSampler",
            model=model,
            positive=["positive", 0],
            negative=["negative", 0],
            latent_image=["latent", 0],
            seed=seed,
            steps=steps,
            cfg=6.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
        ),
        "decode": _node("VAEDecode", samples=["sampler", 0], vae=["loader", 2]),
        "save": _node("SaveImage", images=["decode", 0], filename_prefix=prefix),
    }
    if lora:
        prompt["lora"] = _node(
            "LoraLoader",
            model=["loader", 0],
            clip=["loader", 1],
            lora_name=lora,
            strength_model=1.0,
            strength_clip=1.0,
        )
    return prompt


def _node(class_type: str, **inputs: object) -> dict[str, object]:
    return {"class_type": class_type, "inputs": inputs}
