"""The architecture of a model, by its tensor names and shapes, else by what its header says."""

from __future__ import annotations

import re

from .headers import Header, Shapes
from .kinds import Architecture, Finding, ModelKind
from .lora_weights import reduced_module
from .name_patterns import architecture_named

CROSS_ATTENTION = {
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


def identify_architecture(header: Header, kind: ModelKind) -> Finding:
    """Return the architecture of the model of this kind with the header `header`, and what it was recognised by."""
    for key, shape in header.shapes.items():
        width = _cross_attention_width(key, shape, header.shapes)
        if width is not None:
            return _by_width(width, header)
    joined = "\n".join(header.shapes)
    for pattern, found, confidence in _KEY_PATTERNS:
        if match := pattern.search(joined):
            return Finding(found, f"tensor names with {match[0].strip('._')}", confidence)
    if declared := _declared(header):
        return declared
    if kind in (ModelKind.VAE, ModelKind.EMBEDDING) or not header.shapes:
        return Finding(Architecture.UNKNOWN, "its tensors do not say", 0.0)
    return Finding(Architecture.OTHER, "none of the known tensor names", 0.5)


def _by_width(width: int, header: Header) -> Finding:
    """The architecture with this cross-attention width; an unheard-of width is what its author says it is."""
    if width in CROSS_ATTENTION:
        return Finding(CROSS_ATTENTION[width], f"cross-attention width {width}", 0.98)
    return _declared(header) or Finding(Architecture.OTHER, f"cross-attention width {width}", 0.98)


def _declared(header: Header) -> Finding | None:
    for entry in ("modelspec.architecture", "ss_base_model_version"):
        found = architecture_named(header.metadata.get(entry, ""))
        if found is not Architecture.UNKNOWN:
            return Finding(found, f"{entry}: {header.metadata[entry][:80]}", 0.9)
    return None


def _cross_attention_width(key: str, shape: tuple[int, ...], shapes: Shapes) -> int | None:
    """Columns of the key or value projection that `key` belongs to; None for any other tensor."""
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
