"""The weights that a LoRA changes, by the names and shapes of its tensors alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from enum import StrEnum
from math import prod
from sys import intern
from typing import NamedTuple

from .headers import Shapes

Shape = tuple[int, ...]


class Kind(StrEnum):
    """Ways to change a weight, by what must agree with the weight's shape."""

    PRODUCT = "product"
    """A product of small matrices (LoRA, LoHa, LoKr, GLoRA): output rows and number of values."""
    ROWS = "rows"
    """A rotation of the outputs (OFT, BOFT): output rows."""
    WHOLE = "whole"
    """A difference or new value of the weight's own shape."""
    BIAS = "bias"
    """The same for the module's bias."""
    PADDED = "padded"
    """A product for which the weight grows."""
    NONE = "none"
    """Tensors that do not belong together, or of a format that loaders do not know: nothing is changed."""


class Change(NamedTuple):
    """A change to one weight or bias."""

    kind: Kind
    shape: Shape
    """(output rows, values per row) of a product, (output rows,) of a rotation, else the tensor's own shape."""


Modules = dict[str, Change]
"""Name in the LoRA's own words → its change. A bias has the ending `BIAS`."""

BIAS = ".diff_b"
"""Ending of the name of a change to a module's bias."""

_TAILS: dict[str, str] = {
    ".lora_up.weight": "up",
    ".lora_down.weight": "down",
    ".lora_mid.weight": "mid",
    ".lora_B.weight": "up",
    ".lora_A.weight": "down",
    **{f".{name}.weight": f"glora_{name}" for name in ("a1", "a2", "b1", "b2")},
    **{f".{name}": name for name in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2")},
    **{f".lokr_{name}": f"lokr_{name}" for name in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")},
    ".lora_B": "up",
    ".lora_A": "down",
    ".reshape_weight": "reshape",
    ".oft_blocks": "blocks",
    ".diff": "whole",
    ".set_weight": "whole",
    ".w_norm": "whole",
    ".diff_b": "bias",
    ".b_norm": "bias",
}
"""End of a tensor's name, of one or two parts → what it is to its module."""

_LONG_TAILS = (
    ("_lora.up.weight", "up"),
    ("_lora.down.weight", "down"),
    (".lora.up.weight", "up"),
    (".lora.down.weight", "down"),
    (".lora_linear_layer.up.weight", "up"),
    (".lora_linear_layer.down.weight", "down"),
    (".lora_B.default.weight", "up"),
    (".lora_A.default.weight", "down"),
)
_COMPANIONS = frozenset({".alpha", ".dora_scale", ".rescale", ".scale"})
"""Ends of tensors that change nothing by themselves."""
BOFT_DIMENSIONS = 4
"""Dimensions of the blocks of a BOFT; an OFT has one less."""
_BUNDLED = "bundle_emb."
"""Start of the names of embeddings that trainers put into a LoRA's file."""


def lora_modules(shapes: Shapes) -> Modules:
    """Return the changes of a LoRA with these tensors, under the names that ComfyUI's and diffusers' loaders use.

    The forms of names are those of ComfyUI's `comfy/weight_adapter` and `comfy/lora.py`.
    """
    parts: dict[str, dict[str, Shape]] = {}
    for key, shape in shapes.items():
        name, role = _split(key)
        if role:
            parts.setdefault(intern(name), {})[role] = shape
    modules: Modules = {}
    for name, tensors in parts.items():
        if bias := tensors.pop("bias", None):
            modules[f"{name}{BIAS}"] = Change(Kind.BIAS, bias)
        if len(tensors.get("blocks", ())) == BOFT_DIMENSIONS and f"{name}.alpha" not in shapes:
            modules[name] = _NOTHING  # ComfyUI's loader fails without it
        elif tensors:
            modules[name] = _change(tensors)
    return modules


def module_name(key: str) -> str:
    """Return the name under which `lora_modules` lists the tensor `key`; empty where it changes nothing."""
    name, role = _split(key)
    return f"{name}{BIAS}" if role == "bias" else name if role else ""


def modules_digest(modules: Mapping[str, Change]) -> str:
    """Return a text that LoRAs with the same changes share, whatever their ranks and values; empty for none."""
    if not modules:
        return ""
    lines = sorted([f"{name}\0{kind}\0{shape}" for name, (kind, shape) in modules.items()])
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()


def _split(key: str) -> tuple[str, str]:
    """Return (module, role) of a tensor; the role is empty for a companion, `unknown` for an unknown format."""
    last = key.rfind(".")
    tail = key[last:]
    if tail == ".weight":
        before = key.rfind(".", 0, last)
        if role := _TAILS.get(key[before:]):
            return key[:before], role
        for end, role in _LONG_TAILS:
            if key.endswith(end):
                return key[: -len(end)], role
    elif role := _TAILS.get(tail):
        return key[:last], role
    elif tail in _COMPANIONS:
        return key, ""
    if key.startswith(_BUNDLED):
        return key, ""
    return key.partition(".lora_")[0], "unknown"


def _product(rows: int, columns: int) -> Change:
    return Change(Kind.PRODUCT, (rows, columns))


_NOTHING = Change(Kind.NONE, ())


def _change(tensors: dict[str, Shape]) -> Change:
    for roles, read in _READERS:
        if roles <= tensors.keys():
            try:
                return read(tensors)
            except (IndexError, KeyError):
                return _NOTHING
    return _NOTHING


def _lora(tensors: dict[str, Shape]) -> Change:
    up, down, mid = tensors["up"], tensors["down"], tensors.get("mid")
    if prod(up[1:]) != down[0]:
        return _NOTHING
    if "reshape" in tensors:
        return Change(Kind.PADDED, (up[0], prod(down[1:])))
    return _product(up[0], down[1] * prod(mid[2:]) if mid else prod(down[1:]))


def _loha(tensors: dict[str, Shape]) -> Change:
    a, b = tensors["hada_w1_a"], tensors["hada_w1_b"]
    tucker = tensors.get("hada_t1")
    if (a, b) != (tensors["hada_w2_a"], tensors["hada_w2_b"]):
        rows = (tensors["hada_w2_a"][1 if tucker else 0], tensors["hada_w2_b"][1])
        if rows != (a[1 if tucker else 0], b[1]):
            return _NOTHING
    return _product(a[1], b[1] * prod(tucker[2:])) if tucker else _product(a[0], b[1])


def _lokr(tensors: dict[str, Shape]) -> Change:
    one = tensors.get("lokr_w1") or (tensors["lokr_w1_a"][0], tensors["lokr_w1_b"][1])
    if "lokr_w2" in tensors:
        two = tensors["lokr_w2"]
    elif "lokr_t2" in tensors:
        two = (tensors["lokr_w2_a"][1], tensors["lokr_w2_b"][1], *tensors["lokr_t2"][2:])
    else:
        two = (tensors["lokr_w2_a"][0], tensors["lokr_w2_b"][1])
    return _product(one[0] * two[0], prod(one[1:]) * prod(two[1:]))


def _glora(tensors: dict[str, Shape]) -> Change:
    one, two = tensors["glora_b1"], tensors["glora_b2"]
    tensors["glora_a1"], tensors["glora_a2"]
    if prod(one[1:]) == two[0]:
        return _product(one[0], prod(two[1:]))
    return _product(two[0], prod(one[1:])) if prod(two[1:]) == one[0] else _NOTHING


def _rotation(tensors: dict[str, Shape]) -> Change:
    *_, count, size, same = tensors["blocks"]
    return Change(Kind.ROWS, (count * size,)) if size == same else _NOTHING


_READERS: tuple[tuple[frozenset[str], Callable[[dict[str, Shape]], Change]], ...] = (
    (frozenset({"up"}), _lora),
    (frozenset({"hada_w1_a"}), _loha),
    (frozenset({"lokr_w1"}), _lokr),
    (frozenset({"lokr_w1_a"}), _lokr),
    (frozenset({"glora_a1"}), _glora),
    (frozenset({"blocks"}), _rotation),
    (frozenset({"whole"}), lambda tensors: Change(Kind.WHOLE, tensors["whole"])),
)
"""Roles that make a kind of change → function that reads it; the first that is there counts."""
