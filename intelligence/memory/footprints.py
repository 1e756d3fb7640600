"""What each network takes, as small tables: those of SDXL, SD1 and SD2 are data, any other is simulated once.

`footprints.json` is written by `python -m tests.memory.make_footprints`. All sizes here are MiB in half precision.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..models import Architecture
from .simulator import Footprint, build, text_footprint, unet_footprint, vae_footprint, weights

COMPONENTS = ("text_encoder", "text_encoder_2", "unet", "vae")
"""Networks of a diffusers folder, by the folder of their `config.json`."""

MEGAPIXEL = 1024 * 1024

Rows = tuple[tuple[float, ...], ...]
"""(megapixels, the six numbers of a `Footprint`), by size."""

_DATA = Path(__file__).with_name("footprints.json")


@dataclass(frozen=True)
class Footprints:
    """One model's networks by stage: weights, and what a call takes beside them."""

    weights: Mapping[str, float]
    """`text`, `unet`, `vae`."""
    largest: Mapping[str, float]
    """Largest module without children of each stage."""
    linear: float
    """Matrices of all Linear layers of the UNet together: what 8 and 4 bit quantization shrinks."""
    largest_linear: float
    linear_rows: int
    """Output features of these layers, each of which has a scale of its own where 8 bits are kept."""
    text: tuple[float, ...]
    """`Footprint` of encoding prompt and negative prompt."""
    unet: Mapping[str, tuple[Rows, ...]]
    """By attention (`flash`, `math`): rows for one forward item, and for two."""
    vae: Mapping[str, Rows]
    """By decoder (`diffusers`, `comfyui`): rows for one whole image."""

    def text_call(self) -> Footprint:
        """Encoding prompt and negative prompt."""
        return Footprint(*self.text)

    def unet_call(self, pixels: int, items: int, attention: str = "flash") -> Footprint:
        """One forward of `items` latents of images of `pixels`. Exact in items: every tensor grows alike with each."""
        single, double = (_at(rows, pixels) for rows in self.unet[attention])
        return Footprint(*(one + (two - one) * (items - 1) for one, two in zip(single, double, strict=True)))

    def vae_call(self, pixels: int, decoder: str = "diffusers") -> Footprint:
        """Decoding one image, or tile, of `pixels` at once."""
        return Footprint(*_at(self.vae.get(decoder, self.vae["diffusers"]), pixels))


@cache
def of_architecture(architecture: Architecture) -> Footprints | None:
    """The packaged table of an architecture; None for one that has none."""
    entry = _tables().get(architecture.value)
    return None if entry is None else _read(entry)


def of_configs(configs: Mapping[str, Mapping[str, Any]]) -> Footprints:
    """The table of a model given by the `config.json` of its `unet`, `vae` and text encoders.

    Simulated at 1024² the first time (1–2 s; needs torch, diffusers and transformers), then remembered. Other sizes are
    in proportion, which is 2 % off at most for the shapes of SDXL.
    """
    return _simulated(json.dumps(configs, sort_keys=True))


@cache
def _simulated(configs: str) -> Footprints:
    return _read(measure(json.loads(configs), unet_sides=(1024,), vae_sides=(1024,), attentions=("flash",)))


def measure(
    configs: Mapping[str, Mapping[str, Any]],
    unet_sides: Sequence[int],
    vae_sides: Sequence[int],
    attentions: Sequence[str] = ("flash", "math"),
) -> dict[str, Any]:
    """The JSON of a `Footprints`, simulated at square images of these sides."""
    unet, vae = build(configs["unet"], "float16"), build(configs["vae"], "float16")
    encoders = [build(config, "float16") for name, config in configs.items() if name.startswith("text_encoder")]
    sizes = {"text": [weights(encoder) for encoder in encoders], "unet": [weights(unet)], "vae": [weights(vae)]}
    items = (1, 2) if len(unet_sides) > 1 else (2,)
    by_items = {
        attention: [
            rows((side, unet_footprint(unet, side, side, count, attention)) for side in unet_sides) for count in items
        ]
        for attention in attentions
    }
    return asdict(
        Footprints(
            weights={stage: round(sum(part.total for part in parts), 2) for stage, parts in sizes.items()},
            largest={stage: round(max(part.largest for part in parts), 2) for stage, parts in sizes.items()},
            linear=round(sizes["unet"][0].linear, 2),
            largest_linear=round(sizes["unet"][0].largest_linear, 2),
            linear_rows=sizes["unet"][0].linear_rows,
            text=tuple(round(max(values), 4) for values in zip(*map(text_footprint, encoders), strict=True)),
            unet={attention: tuple(both if len(both) == 2 else _halved(both)) for attention, both in by_items.items()},
            vae={"diffusers": rows((side, vae_footprint(vae, side, side)) for side in vae_sides)},
        )
    )


def rows(measured: Iterable[tuple[int, Footprint]]) -> Rows:
    """Rows of footprints by side in pixels. A larger picture never takes less, as rounding in the allocator may."""
    made: list[tuple[float, ...]] = []
    for side, footprint in measured:
        row = (side * side / MEGAPIXEL, *(round(value, 4) for value in footprint))
        made.append(tuple(map(max, row, made[-1])) if made else row)
    return tuple(made)


def _halved(double: Sequence[Rows]) -> tuple[Rows, Rows]:
    """Rows for one item in place of measured ones: half of two."""
    single = tuple((row[0], *(value / 2 for value in row[1:])) for row in double[0])
    return single, double[0]


def _at(rows: Rows, pixels: int) -> tuple[float, ...]:
    """Linear between the rows, in proportion below the first, on along the last two above."""
    size = pixels / MEGAPIXEL
    index = bisect_left(rows, size, key=lambda row: row[0])
    if index == 0 or len(rows) == 1:
        return tuple(value * size / rows[0][0] for value in rows[0][1:])
    low, high = rows[min(index, len(rows) - 1) - 1], rows[min(index, len(rows) - 1)]
    share = (size - low[0]) / (high[0] - low[0])
    return tuple(first + (second - first) * share for first, second in zip(low[1:], high[1:], strict=True))


@cache
def _tables() -> dict[str, Any]:
    return dict(json.loads(_DATA.read_text(encoding="utf-8")))


def _read(entry: Mapping[str, Any]) -> Footprints:
    def tuples(value: Sequence[Sequence[float]]) -> Rows:
        return tuple(tuple(row) for row in value)

    return Footprints(
        weights=entry["weights"],
        largest=entry["largest"],
        linear=entry["linear"],
        largest_linear=entry["largest_linear"],
        linear_rows=entry["linear_rows"],
        text=tuple(entry["text"]),
        unet={attention: tuple(map(tuples, both)) for attention, both in entry["unet"].items()},
        vae={decoder: tuples(found) for decoder, found in entry["vae"].items()},
    )
