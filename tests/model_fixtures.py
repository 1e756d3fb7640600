"""Fixtures of the tests of models, hubs and registry: model files of any shape, a registry, model hubs."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from intelligence.registry import ModelRegistry

from .hub_server import Hub, serving

Shapes = Mapping[str, tuple[int, ...]]

SDXL_LORA: Shapes = {
    "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.alpha": (),
    "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight": (4, 2048),
    "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_up.weight": (640, 4),
}


def _raw(path: Path, header: Any, body: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def _model(path: Path, shapes: Shapes = SDXL_LORA, metadata: Mapping[str, str] | None = None) -> Path:
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for key, shape in shapes.items():
        size = 2 * math.prod(shape)
        header[key] = {"dtype": "F16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    return _raw(path, header, struct.pack("<e", 2.0) * (offset // 2))


@pytest.fixture
def raw() -> Callable[..., Path]:
    """(path, header as object or bytes, body) → a file with exactly that."""
    return _raw


@pytest.fixture
def model() -> Callable[..., Path]:
    """(path, key → shape, metadata) → a sound fp16 file, every value 2; without shapes an SDXL LoRA of rank 4."""
    return _model


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(tmp_path / "data" / "registry.db")


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A model hub on this machine."""
    with serving() as made:
        yield made


other_hub = hub
"""A second one, under another origin."""


@pytest.fixture
def lora(tmp_path: Path, model: Callable[..., Path]) -> bytes:
    """A file worth downloading."""
    return model(tmp_path / "made" / "made.safetensors").read_bytes()


@pytest.fixture
def waits() -> list[float]:
    """Takes the place of sleep: `waits.append`."""
    return []
