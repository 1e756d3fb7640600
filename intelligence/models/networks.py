"""Networks of diffusion models by the names and shapes of their modules, and which of them a file has weights for."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from .kinds import Architecture

TABLE = Path(__file__).with_name("networks.json")
"""Made by `python -m tests.tools.make_networks` from ComfyUI's own classes, on the meta device."""

Shape = tuple[int | None, ...]
"""(output rows, values a row), (values,) of a vector; None: not known."""

MIN_KNOWN = 0.5
"""Share of the looked-up modules that a network must have by name."""
MAX_CLASHING = 0.1
"""Share of those that may have another shape there, as an input layer of an inpainting or control model has."""

MIN_BLOCKS = 4
"""Blocks of a kind from which a file is taken to have all of its network's."""

_PREFIX = re.compile(
    r"(?:base_model\.model\.|model\.diffusion_model\.|diffusion_model\.|transformer\.|unet\.|net\.|model\."
    r"|lora_unet_|lora_transformer_|lora_prior_unet_|lycoris_)+"
)
_BLOCK = re.compile(
    r"(?<!input_)(?<!output_)(?<!down_)(?<!up_)(?<!in_)(?<!out_)(?<!emb_)(blocks|layers|refiner|experts)([._])(\d+)(?=[._]|$)"
)
"""A block of many that are alike. The numbers of a UNet's stages tell its networks apart, and stay."""


class Network(NamedTuple):
    """A network that the table lists."""

    architecture: Architecture
    blocks: dict[str, int]
    """Stem of the names of blocks (`double_blocks`) → their number."""
    modules: dict[str, frozenset[Shape]]
    """Name as `template` returns it, with dots → its shapes."""


class NetworkMatch(NamedTuple):
    """Networks that a file's modules fit equally well, the likeliest first; empty: none that is known."""

    architectures: tuple[Architecture, ...] = ()
    known: int = 0
    """Looked-up modules of that name, and of that shape at least by the values a row."""
    looked_up: int = 0
    alike: Architecture | None = None
    """Network that has modules of these names, of other sizes, where none fits."""


def bare_module(name: str) -> str:
    """Return a module's name without the prefix of its format: `double_blocks.0.img_attn.qkv`."""
    match = _PREFIX.match(name)
    return (name[match.end() :] if match else name).strip("._")


def template(bare: str) -> str:
    """Return a bare module name with `#` in place of block numbers: `double_blocks.#.img_attn.qkv`."""
    return _BLOCK.sub(r"\1\2#", bare)


def underscored(name: str) -> str:
    """Return a name as formats without dots write it: `double_blocks_#_img_attn_qkv`."""
    return re.sub(r"[._]+", "_", name)


def block_of(bare: str) -> tuple[str, int] | None:
    """Return (stem, number) of the block that a bare module name is in: (`double_blocks`, 0); None: in none."""
    match = _BLOCK.search(bare)
    return (underscored(bare[: match.end(1)]), int(match[3])) if match else None


def match_network(modules: Mapping[str, Shape], keys: Iterable[str], *, by_name: bool = False) -> NetworkMatch:
    """Return the networks that have most of these modules, by name and shape, and as many blocks.

    Args:
        modules: name, in any format → shape: some of the file's, as blocks repeat. None of a text encoder.
        keys: names of all tensors, from which blocks are counted.
        by_name: shapes other than those of a network are no contradiction: weights are packed.
    """
    sample = frozenset(modules.items())
    best, known = _best(sample, by_name)
    if len({_networks()[one].architecture for one in best}) > 1:
        best = _by_blocks(best, keys)
    architectures = tuple(dict.fromkeys(_networks()[one].architecture for one in best))
    alike = None if best else next((_networks()[one].architecture for one in _best(sample, True)[0]), None)
    return NetworkMatch(architectures, known, len(sample), alike)


@cache
def _networks() -> dict[str, Network]:
    """Read the table: name → network, the commonest of those with the same modules first."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    return {
        name: Network(
            Architecture(entry["architecture"]),
            entry["blocks"],
            {module: _shared(frozenset(map(tuple, shapes))) for module, shapes in entry["modules"].items()},
        )
        for name, entry in table["networks"].items()
    }


@cache
def _shared(shapes: frozenset[Shape]) -> frozenset[Shape]:
    """Return the first equal set: few differ among thousands, and each makes garbage collections longer."""
    return shapes


@cache
def listed_architectures() -> frozenset[Architecture]:
    """Return the architectures whose modules are known."""
    return frozenset(network.architecture for network in _networks().values())


@cache
def _index() -> dict[str, dict[str, frozenset[Shape]]]:
    """Template, with dots and without → network → shapes."""
    index: dict[str, dict[str, frozenset[Shape]]] = {}
    for name, network in _networks().items():
        for module, shapes in network.modules.items():
            for form in (module, underscored(module)):
                found = index.setdefault(form, {})
                found[name] = _shared(found[name] | shapes) if name in found else shapes
    return index


@lru_cache(maxsize=512)
def _best(sample: frozenset[tuple[str, Shape]], by_name: bool) -> tuple[tuple[str, ...], int]:
    """Return the networks with most of these modules, in the table's order, and how many they have."""
    known: Counter[str] = Counter()
    clashing: Counter[str] = Counter()
    exact: Counter[str] = Counter()
    for name, shape in sample:
        bare = bare_module(name)
        form, block = template(bare), block_of(bare)
        for network, shapes in (_index().get(form) or _index().get(underscored(form), {})).items():
            agreement = max((_agreement(shape, other, by_name) for other in shapes), default=0)
            fits = _has_block(_networks()[network], block) and (agreement or by_name)
            (known if fits else clashing)[network] += 1
            exact[network] += agreement
    enough = MIN_KNOWN * len(sample)
    scores = {
        one: (count, exact[one])
        for one, count in known.items()
        if count >= enough and clashing[one] <= MAX_CLASHING * count
    }
    most = max(scores.values(), default=(0, 0))
    return tuple(one for one in _networks() if scores.get(one) == most), most[0]


def _has_block(network: Network, block: tuple[str, int] | None) -> bool:
    return block is None or block[1] < network.blocks.get(block[0], 0)


def _agreement(shape: Shape, other: Shape, packed: bool) -> int:
    """Return 2 for the same shape, 1 for as many values a row or for what is not known, 0 for another shape.

    `packed`: as many rows count as much, as the values of a row are packed.
    """
    if len(shape) != len(other):
        return 0
    if all(one is None or one == two for one, two in zip(shape, other, strict=True)):
        return 2 if None not in shape else 1
    return int(len(shape) == 2 and (shape[1] == other[1] or (packed and shape[0] == other[0])))


def _by_blocks(best: tuple[str, ...], keys: Iterable[str]) -> tuple[str, ...]:
    """Return the networks that have all of the file's blocks; where there are any, those that have no others."""
    seen: dict[str, set[int]] = {}
    for key in keys:
        if block := block_of(bare_module(key)):
            seen.setdefault(block[0], set()).add(block[1])
    blocks = {one: _networks()[one].blocks for one in best}
    enough = [one for one in best if all(max(numbers) < blocks[one].get(stem, 0) for stem, numbers in seen.items())]
    whole = {stem: len(numbers) for stem, numbers in seen.items() if len(numbers) >= MIN_BLOCKS}
    exact = [one for one in enough if whole and all(count == blocks[one][stem] for stem, count in whole.items())]
    return tuple(exact or enough)
