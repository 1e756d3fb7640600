"""Architecture of a model, and type and rank of a LoRA, by tensor names and shapes, else by the header's entries."""

from __future__ import annotations

import re
from collections import Counter

from .headers import Header, Shapes
from .kinds import Architecture, Finding, ModelKind
from .name_patterns import architecture_named

CROSS_ATTENTION = {
    192: Architecture.DEMO,
    768: Architecture.SD1,
    1024: Architecture.SD2,
    1280: Architecture.SDXL,
    2048: Architecture.SDXL,
}
"""Width of the text that cross-attention reads → architecture (1280: the SDXL refiner)."""

_KEY_PATTERNS = (
    (re.compile(r"lora_te2_|text_encoder_2\.|conditioner\.embedders\.1"), Architecture.SDXL, 0.95),
    (
        re.compile(r"(?m)(?:^|[._])(?:double_blocks|single_blocks|single_transformer_blocks)[._]"),
        Architecture.FLUX,
        0.9,
    ),
    (re.compile(r"(?m)(?:^|[._])joint_blocks[._]"), Architecture.SD3, 0.95),
    (re.compile(r"lora_unet_(?:input_blocks|output_blocks|middle_block)_"), Architecture.SDXL, 0.9),
    (re.compile(r"(?:down|up|mid)_block.*transformer_blocks[._](?:[2-9]|1\d)[._]attn[12]"), Architecture.SDXL, 0.8),
    (re.compile(r"lora_te1_"), Architecture.SDXL, 0.8),
    (re.compile(r"(?m)(?:^|[._])lora_te_text_model|^cond_stage_model\."), Architecture.SD1, 0.6),
)

_UNET = re.compile(r"(?:down|up|mid|input|output|middle)_block")
"""Video and DiT models have an attn2 as well, of widths that mean nothing here."""

_CROSS_KEY = re.compile(r"attn2[._](?:processor[._])?to_[kv](?:_lora)?$")

_LOW_RANK = re.compile(
    r"\.(?:lora_down|lora_up|lora\.down|lora\.up|lora_A|lora_B|lora_mid|hada_w[12]_[ab]|lokr_w[12](?:_[ab])?"
    r"|a1|b1|oft_blocks|oft_diag|diff|diff_b|dora_scale|alpha|w_norm|b_norm)(?:\.|$)|_lora\.(?:down|up)\."
)
_DOWN_ENDS = tuple(mark + end for mark in "._" for end in ("lora_down", "lora.down", "lora_A", "lora.A", "down"))

_TYPES = (("lokr", ".lokr_"), ("loha", ".hada_"), ("dora", ".dora_scale"))
"""Type → a part of the tensor names that only this type has."""


def identify_architecture(header: Header, kind: ModelKind) -> Finding:
    """Return the architecture of the model of this kind with the header `header`, and what it was recognised by."""
    for key, shape in header.shapes.items():
        width = _cross_attention_width(key, shape, header.shapes)
        if width in CROSS_ATTENTION:
            return Finding(CROSS_ATTENTION[width], f"cross-attention width {width}", 0.98)
        if width is not None:
            return _declared(header) or Finding(Architecture.OTHER, f"cross-attention width {width}", 0.98)
    joined = "\n".join(header.shapes)
    for pattern, found, confidence in _KEY_PATTERNS:
        if match := pattern.search(joined):
            return Finding(found, f"tensor names with {match[0].strip('._')}", confidence)
    if declared := _declared(header):
        return declared
    if kind in (ModelKind.VAE, ModelKind.EMBEDDING) or not header.shapes:
        return Finding(Architecture.UNKNOWN, "its tensors do not say", 0.0)
    return Finding(Architecture.OTHER, "none of the known tensor names", 0.5)


def _declared(header: Header) -> Finding | None:
    for entry in ("modelspec.architecture", "ss_base_model_version"):
        found = architecture_named(header.metadata.get(entry, ""))
        if found is not Architecture.UNKNOWN:
            return Finding(found, f"{entry}: {header.metadata[entry][:80]}", 0.9)
    return None


def _cross_attention_width(key: str, shape: tuple[int, ...], shapes: Shapes) -> int | None:
    if "attn2" not in key or not shape or not _UNET.search(key):
        return None
    if reduced := reduced_module(key):
        return shape[1] if _CROSS_KEY.search(reduced) and len(shape) >= 2 else None
    module, _, tensor = key.rpartition(".")
    if not _CROSS_KEY.search(module):
        return None
    if tensor in ("weight", "diff", "hada_w1_b") and len(shape) == 2:
        return shape[1]
    if tensor in ("lokr_w1", "lokr_w1_b"):
        other = shapes.get(f"{module}.lokr_w2") or shapes.get(f"{module}.lokr_w2_b")
        return shape[-1] * other[-1] if other else None
    return None


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
