"""LoRAs by their tensors: whether a file is one, its type and rank."""

from __future__ import annotations

import re
from collections import Counter

from .headers import Header, Shapes

_LOW_RANK = re.compile(
    r"\.(?:lora_down|lora_up|lora\.down|lora\.up|lora_A|lora_B|lora_mid|hada_w[12]_[ab]|lokr_w[12](?:_[ab])?"
    r"|a1|b1|oft_blocks|oft_diag|diff|diff_b|dora_scale|alpha|w_norm|b_norm)(?:\.|$)|_lora\.(?:down|up)\."
)
_DOWN_ENDS = tuple(mark + end for mark in "._" for end in ("lora_down", "lora.down", "lora_A", "lora.A", "down"))

_TYPES = (("lokr", ".lokr_"), ("loha", ".hada_"), ("dora", ".dora_scale"))
"""Type → a part of the tensor names that only this type has."""


def is_lora(shapes: Shapes) -> bool:
    """Return whether these tensors are low-rank (or difference) weights rather than a whole model's."""
    return any(_LOW_RANK.search(key) for key in shapes)


def lora_type(header: Header) -> str:
    """Return `lora`, `locon` (convolutions as well), `loha`, `lokr` or `dora`."""
    joined = "\n".join(header.shapes)
    for name, mark in _TYPES:
        if mark in joined:
            return name
    convolution = any(len(shape) == 4 and shape[2] > 1 and _is_down(key) for key, shape in header.shapes.items())
    return "locon" if convolution else "lora"


def lora_rank(header: Header) -> int | None:
    """Return the commonest inner dimension of the low-rank pairs, or None."""
    ranks = Counter(
        shape[0]
        for key, shape in header.shapes.items()
        if shape and (_is_down(key) or key.endswith((".hada_w1_b", ".lokr_w1_b", ".lokr_w2_b")))
    )
    return ranks.most_common(1)[0][0] if ranks else None


def _is_down(key: str) -> bool:
    return key.endswith(".weight") and key[:-7].removesuffix(".default").endswith(_DOWN_ENDS)


def reduced_module(key: str) -> str:
    """Return the module whose input this tensor reduces to the rank (`….lora_down.weight` …), or an empty string."""
    name = key[:-7].removesuffix(".default")
    return next(name[: -len(end)] for end in _DOWN_ENDS if name.endswith(end)) if _is_down(key) else ""
