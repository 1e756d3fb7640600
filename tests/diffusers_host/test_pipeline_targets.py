"""LoRAs measured against a diffusers pipeline, beside what diffusers loads of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from intelligence.generation.diffusers_host import DiffusersHost
from intelligence.generation.diffusers_host.loader import load_pipeline
from intelligence.generation.embedded import EmbeddedModel
from intelligence.models import ModelKind, ModelMetadata
from intelligence.registry import ModelRegistry


@pytest.fixture
def lora(embedded: EmbeddedModel, tmp_path: Path) -> ModelMetadata:
    """A LoRA of the embedded model."""
    registry = ModelRegistry(tmp_path / "registry.db")
    registry.scan({ModelKind.LORA: [embedded.lora_folder]})
    return registry.list_models(ModelKind.LORA)[0]


def test_lora_fit_counts_what_diffusers_loads(host: DiffusersHost, lora: ModelMetadata) -> None:
    share = host.lora_fit()(lora)
    pipe, path = load_pipeline(host.model, "cpu"), Path(lora.local_path)
    pipe.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name="a", local_files_only=True)
    networks = (pipe.unet, pipe.text_encoder, pipe.text_encoder_2)
    loaded = [sum(name.endswith("lora_A.a") for name, _ in network.named_modules()) for network in networks]
    assert share is not None
    assert (share.unet.loaded, share.text.loaded) == (loaded[0], loaded[1] + loaded[2])
    assert share.full and share.loaded == share.total


@pytest.mark.parametrize("kind", ["lokr_w1", "lora_down.weight"])
def test_lora_fit_finds_nothing_of_what_diffusers_refuses(
    host: DiffusersHost, lora: ModelMetadata, tmp_path: Path, kind: str
) -> None:
    save_file({f"lora_unet_no_such_module.{kind}": torch.zeros(4, 4)}, str(tmp_path / "other.safetensors"))
    share = host.lora_fit()(replace(lora, modules="", local_path=str(tmp_path / "other.safetensors")))
    assert share is not None
    assert (share.loaded, share.total, share.does_nothing) == (0, 1, True)
