"""The embedded model: a small random-weight SDXL with four LoRAs, so that everything runs without a download.

Structurally it is SDXL (two text encoders, pooled and size conditioning, eight times smaller latents, epsilon
prediction); its pictures are colourful patterns that depend on prompt, seed, settings and LoRAs, and mean nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import data_folder
from .sdxl_config import make_once, sdxl_config_folder
from .standalone import quiet, require_standalone

VERSION = "v1"
"""Changed to have the model made anew."""

_SEED = 14_4
_TEXT_WIDTH = 32
_LORA_RANK = 4


@dataclass(frozen=True)
class EmbeddedModel:
    """Paths of the embedded model."""

    folder: Path
    """The diffusers folder."""
    lora_paths: tuple[Path, ...]

    @property
    def lora_folder(self) -> Path:
        """The folder to scan for its LoRAs."""
        return self.folder.parent / "loras"


@dataclass(frozen=True)
class _EmbeddedLoRA:
    name: str
    trigger_phrase: str
    description: str
    tags: dict[str, int]


_LORAS = (
    _EmbeddedLoRA(
        "anime_style_v2",
        "anime style",
        "Anime illustration style: clean line art, large expressive eyes, vivid colours.",
        {"anime style": 60, "anime": 52, "1girl": 38, "illustration": 30, "vivid colors": 18, "line art": 12},
    ),
    _EmbeddedLoRA(
        "cel_anime_flat",
        "flat cel shading",
        "Flat cel-shaded anime style with hard shadows and few colours, like hand-painted television animation.",
        {"flat cel shading": 48, "anime": 40, "cel shading": 36, "flat color": 28, "hard shadows": 15},
    ),
    _EmbeddedLoRA(
        "cinematic_photo",
        "cinematic photo",
        "Photographic style of film stills: shallow depth of field, film grain, natural light.",
        {"cinematic photo": 55, "photo": 47, "photorealistic": 40, "film grain": 25, "depth of field": 22},
    ),
    _EmbeddedLoRA(
        "magic_effects",
        "magical effects",
        "Effect: glowing magic, sparks, particles and light trails around the subject.",
        {"magical effects": 50, "magic": 45, "glowing": 33, "sparkles": 27, "particles": 21, "light trails": 10},
    ),
)


def ensure_embedded(folder: Path | None = None) -> EmbeddedModel:
    """Return the embedded model, made in `folder` (default: `embedded` in the data folder) on first use.

    Raises MissingDependencyError without torch, diffusers and transformers, StorageError when it cannot be written.
    """
    home = make_once((folder or data_folder() / "embedded") / VERSION, _make)
    return EmbeddedModel(home / "model", tuple(home / "loras" / f"{lora.name}.safetensors" for lora in _LORAS))


def _make(folder: Path) -> None:
    require_standalone("the embedded model")
    import torch

    with quiet(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_SEED)
        pipe, loras = _random_model()
        pipe.save_pretrained(folder / "model")
    _save_loras(folder / "loras", loras)


def _random_model() -> tuple[Any, list[dict[str, Any]]]:
    """Return the pipeline and the weights of its LoRAs, from torch's random state."""
    import diffusers
    import transformers

    text_encoder = transformers.CLIPTextModel(_clip_config(transformers, "quick_gelu"))
    text_encoder_2 = transformers.CLIPTextModelWithProjection(_clip_config(transformers, "gelu"))
    unet = diffusers.UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(16, 32, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        transformer_layers_per_block=(1, 1, 2),
        attention_head_dim=(1, 2, 2),
        norm_num_groups=8,
        cross_attention_dim=2 * _TEXT_WIDTH,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + _TEXT_WIDTH,
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=1024,
        scaling_factor=0.13025,
        mid_block_add_attention=False,
    )
    _make_visible(unet, vae, (text_encoder, text_encoder_2))
    loras = [_lora_weights(unet, text_encoder, text_encoder_2) for _ in _LORAS]

    tokenizers = sdxl_config_folder()
    pipe = diffusers.StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=text_encoder,
        text_encoder_2=text_encoder_2,
        tokenizer=transformers.CLIPTokenizer.from_pretrained(tokenizers / "tokenizer"),
        tokenizer_2=transformers.CLIPTokenizer.from_pretrained(tokenizers / "tokenizer_2"),
        unet=unet,
        scheduler=diffusers.EulerDiscreteScheduler.from_pretrained(tokenizers / "scheduler"),
    )
    return pipe, loras


def _clip_config(transformers: Any, activation: str) -> Any:
    return transformers.CLIPTextConfig(
        vocab_size=49408,
        hidden_size=_TEXT_WIDTH,
        intermediate_size=2 * _TEXT_WIDTH,
        projection_dim=_TEXT_WIDTH,
        num_hidden_layers=4,
        num_attention_heads=2,
        hidden_act=activation,
        bos_token_id=49406,
        eos_token_id=49407,
        pad_token_id=1,
    )


def _make_visible(unet: Any, vae: Any, text_encoders: Sequence[Any]) -> None:
    """Scale the random weights so that images are smooth rather than grainy, and depend on the prompt."""
    import torch

    blur = torch.outer(torch.tensor([1.0, 2.0, 1.0]), torch.tensor([1.0, 2.0, 1.0])) / 16
    with torch.no_grad():
        for name, layer in vae.named_modules():
            if name.startswith("decoder.") and isinstance(layer, torch.nn.Conv2d) and layer.kernel_size == (3, 3):
                layer.weight.copy_(torch.randn(layer.weight.shape[:2])[..., None, None] * blur)
                layer.weight.mul_(layer.in_channels**-0.5 * (4 if name.endswith("conv2") else 1.5))
        for name, parameter in unet.named_parameters():
            if "attn2.to_out" in name:
                parameter.mul_(4)
        for encoder in text_encoders:
            encoder.get_input_embeddings().weight.normal_()


def _lora_weights(unet: Any, *text_encoders: Any) -> dict[str, Any]:
    """Return random kohya weights for the attention layers of the UNet (`lora_unet_…`) and both text encoders."""
    import torch

    weights: dict[str, Any] = {}
    parts = [("lora_unet", unet), ("lora_te1", text_encoders[0]), ("lora_te2", text_encoders[1])]
    for prefix, part in parts:
        for name, layer in part.named_modules():
            if not isinstance(layer, torch.nn.Linear) or not (".attn" in name or "self_attn" in name):
                continue
            path = name if prefix == "lora_unet" or name.startswith("text_model.") else f"text_model.{name}"
            key = f"{prefix}_{path.replace('.', '_')}"
            weights[f"{key}.lora_down.weight"] = torch.randn(_LORA_RANK, layer.in_features) * layer.in_features**-0.5
            weights[f"{key}.lora_up.weight"] = torch.randn(layer.out_features, _LORA_RANK) * 0.4
            weights[f"{key}.alpha"] = torch.tensor(float(_LORA_RANK))
    return weights


def _save_loras(folder: Path, loras: list[dict[str, Any]]) -> None:
    from safetensors.torch import save_file

    folder.mkdir()
    for lora, weights in zip(_LORAS, loras, strict=True):
        metadata = {
            "modelspec.sai_model_spec": "1.0.0",
            "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
            "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
            "modelspec.title": lora.name,
            "modelspec.description": lora.description,
            "modelspec.trigger_phrase": lora.trigger_phrase,
            "modelspec.tags": ", ".join(lora.tags),
            "ss_base_model_version": "sdxl_base_v1-0",
            "ss_output_name": lora.name,
            "ss_network_module": "networks.lora",
            "ss_network_dim": str(_LORA_RANK),
            "ss_network_alpha": str(_LORA_RANK),
            "ss_tag_frequency": json.dumps({f"10_{lora.trigger_phrase}": lora.tags}),
        }
        save_file(weights, folder / f"{lora.name}.safetensors", metadata=metadata)
