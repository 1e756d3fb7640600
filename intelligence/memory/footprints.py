"""Memory of the known networks beside their weights, as small tables.

`footprints.json` is written by `python -m tests.tools.make_footprints`, which simulates the networks. All sizes here
are MiB in half precision.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ..models import Architecture
from ..models.architecture import CROSS_ATTENTION
from ..units import BYTES_PER_GIB, BYTES_PER_MIB, PIXELS_PER_MEGAPIXEL

Rows = Sequence[Sequence[float]]
"""(megapixels, the numbers of a `Footprint`), by size."""

SAME_MODEL = 0.02
"""Relative difference of the UNet's weights below which a model is a known one."""

UNKNOWN_MARGIN = 1.2
"""Factor on the activations of the nearest known UNet where a model is none of them."""

SAME_NETWORK = {Architecture.KOLORS: Architecture.SDXL, Architecture.SDXL_REFINER: Architecture.SDXL}
"""Architectures whose networks another's table holds; the refiner is found there by its width or weights."""

_DATA = Path(__file__).with_name("footprints.json")


class Footprint(NamedTuple):
    """Memory of one call beside the weights, MiB, and its work."""

    tensors: float
    """Tensors alone."""
    allocated: float
    """Tensors and workspaces of convolutions: what `torch.cuda.max_memory_allocated` counts."""
    tensors_reserved: float
    """Reserved by torch's allocator for the tensors alone, where nothing limits it."""
    reserved: float
    """Reserved for tensors and workspaces, where nothing limits it."""
    least_reserved: float
    """The least that the allocator must be able to reserve; convolutions do without workspaces that do not fit."""
    tflop: float
    """Multiplications and additions, counted apart."""

    def scaled(self, factor: float, more: float = 0.0) -> Footprint:
        """Return the sizes times `factor`, plus `more` MiB."""
        return Footprint._make((*(size * factor + more for size in self[:-1]), self.tflop))


@dataclass(frozen=True)
class Footprints:
    """Networks of a model by stage (`text`, `unet`, `vae`): weights, and memory of a call beside them."""

    title: str
    architecture: str
    channels: int
    """Width of the UNet's first level, or of a transformer's tokens, which decides how much memory activations take."""
    weights: Mapping[str, float]
    largest: Mapping[str, float]
    """Largest module without children of each stage."""
    linear: float
    """Matrices of all Linear layers of the UNet: what 8 and 4 bit quantization shrinks."""
    largest_linear: float
    linear_rows: int
    """Output features of these layers, each of which has a scale of its own in 8 bits."""
    text: Sequence[float]
    """`Footprint` of encoding prompt and negative prompt."""
    unet: Mapping[str, Sequence[Rows]]
    """By attention (`flash`, `math`): rows for one forward item, and for two."""
    vae: Mapping[str, Rows]
    """By decoder (`diffusers`, `comfyui`): rows for one whole image."""
    transformer: bool = False
    """A network whose memory depends on its width and on tokens alone; its files hold numbers of any size."""
    estimated: bool = False
    """These are the figures of the nearest known model, not of this one."""
    unet_margin: float = 1.0
    """Factor on the activations of the UNet, where they are an estimate."""

    def unet_call(self, pixels: int, items: int, attention: str = "flash") -> Footprint:
        """Return a forward of `items` latents of images of `pixels`; exact in items, with which every tensor grows."""
        single, double = (_at(rows, pixels) for rows in self.unet[attention])
        call = Footprint(*(one + (two - one) * (items - 1) for one, two in zip(single, double, strict=True)))
        return call.scaled(self.unet_margin)

    def vae_call(self, pixels: int, decoder: str = "diffusers") -> Footprint:
        """Return the decode of one image, or tile, of `pixels` at once."""
        return Footprint(*_at(self.vae.get(decoder, self.vae["diffusers"]), pixels))


def of_architecture(architecture: Architecture) -> Footprints | None:
    """Return the usual model of an architecture; None for one without a table."""
    name = SAME_NETWORK.get(architecture, architecture).value
    return next((model for model in known_models() if model.architecture == name), None)


def find(
    architecture: Architecture = Architecture.SDXL,
    unet_config: Mapping[str, Any] | None = None,
    unet_gb: float | None = None,
    weight_bytes: int = 2,
) -> Footprints:
    """Return the footprints of a model, or of the nearest known one, enlarged where this one may take more.

    Args:
        unet_config: the UNet's `config.json`, where the host has it.
        unet_gb: its weights in GiB; None: those of its architecture's usual model.
        weight_bytes: of a number in the UNet as the device computes; without a configuration, the host may keep it in
            fewer.
    """
    config = unet_config or {}
    channels, width = config.get("block_out_channels", [0])[0], config.get("cross_attention_dim")
    if isinstance(width, int):
        architecture = CROSS_ATTENTION.get(width, architecture)
    usual = of_architecture(architecture)
    if usual is None:
        return _nearest(unet_gb, weight_bytes)
    if unet_gb is None or usual.transformer:
        return usual
    relatives = [model for model in known_models() if model.architecture == usual.architecture]
    alike = [model for model in relatives if channels in (0, model.channels)]
    for number in (weight_bytes,) if channels else (weight_bytes, weight_bytes / 2, weight_bytes / 4):
        for model in alike:
            if abs(math.log(_ratio(model, unet_gb, number))) < SAME_MODEL:
                return model
    if not channels:
        return replace(usual, estimated=True, unet_margin=max(1.0, _ratio(usual, unet_gb, weight_bytes)))
    nearest = min(
        relatives,
        key=lambda model: (
            abs(math.log(channels / model.channels)),
            abs(math.log(_ratio(model, unet_gb, weight_bytes))),
        ),
    )
    margin = UNKNOWN_MARGIN * max(1.0, channels / nearest.channels)
    return replace(nearest, estimated=True, unet_margin=margin)


def _nearest(unet_gb: float | None, weight_bytes: int) -> Footprints:
    """Return the figures to use for a network of no known architecture: of the one that weighs most alike."""
    if unet_gb is None:
        nearest = of_architecture(Architecture.SDXL)
        assert nearest is not None
    else:
        nearest = min(known_models(), key=lambda model: abs(math.log(_ratio(model, unet_gb, weight_bytes))))
    return replace(nearest, estimated=True, unet_margin=UNKNOWN_MARGIN)


def _ratio(model: Footprints, unet_gb: float, weight_bytes: float) -> float:
    """Weights of `unet_gb` over those of `model` in numbers of `weight_bytes`."""
    return max(unet_gb, 1e-6) * BYTES_PER_GIB / (model.weights["unet"] * BYTES_PER_MIB * weight_bytes / 2)


@cache
def known_models() -> tuple[Footprints, ...]:
    """Return all packaged tables, the usual model of each architecture before its relatives."""
    data = json.loads(_DATA.read_text(encoding="utf-8"))
    return tuple(Footprints(**{**entry, "vae": data["vaes"][entry["vae"]]}) for entry in data["models"])


def _at(rows: Rows, pixels: int) -> Sequence[float]:
    """Linear between the rows, in proportion below the first, on along the last two above."""
    size = pixels / PIXELS_PER_MEGAPIXEL
    index = bisect_left(rows, size, key=lambda row: row[0])
    if index == 0 or len(rows) == 1:
        return tuple(value * size / rows[0][0] for value in rows[0][1:])
    low, high = rows[min(index, len(rows) - 1) - 1], rows[min(index, len(rows) - 1)]
    share = (size - low[0]) / (high[0] - low[0])
    return tuple(first + (second - first) * share for first, second in zip(low[1:], high[1:], strict=True))
