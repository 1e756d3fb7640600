"""What a model is, from its tensor names and shapes: architecture, LoRA type, rank; and from words: what it is for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from .family import architecture_of
from .headers import Header
from .kinds import Architecture, Finding, LoRAKind, ModelKind
from .sanitize import words_of

Shapes = dict[str, tuple[int, ...]]

CROSS_ATTENTION = {
    768: Architecture.SD1,
    1024: Architecture.SD2,
    1280: Architecture.SDXL,
    2048: Architecture.SDXL,
}
"""Width of the text that cross-attention reads (1280: the SDXL refiner)."""

_KEY_ROWS = (
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

_LOW_RANK = re.compile(
    r"\.(?:lora_down|lora_up|lora\.down|lora\.up|lora_A|lora_B|lora_mid|hada_w[12]_[ab]|lokr_w[12](?:_[ab])?"
    r"|a1|b1|oft_blocks|oft_diag|diff|diff_b|dora_scale|alpha|w_norm|b_norm)(?:\.|$)|_lora\.(?:down|up)\."
)
_DOWN_ENDS = tuple(mark + end for mark in "._" for end in ("lora_down", "lora.down", "lora_A", "lora.A", "down"))

_TYPES = (("lokr", ".lokr_"), ("loha", ".hada_"), ("dora", ".dora_scale"))
"""Type → a part of the tensor names that only this type has."""

_UNET = re.compile(r"(?:down|up|mid|input|output|middle)_block")
"""Video and DiT models have an attn2 as well, of widths that mean nothing here."""

_CROSS_KEY = re.compile(r"attn2[._](?:processor[._])?to_[kv](?:_lora)?$")

SPEED_NAME = re.compile(
    r"\b(?:sdxl|xl|sd) lightning\b|\blightning (?:lora|\d+ ?steps?)|\blightning\b.*\b\d+ ?steps?\b"
    r"|\bhyper ?(?:sd|sdxl)\b|\blcm\b|\bdmd ?2\b|\bturbo lora\b|\bsdxl turbo\b|\bdistill\w*|\b\d+ ?steps? lora\b"
)

KIND_TAGS = {
    **dict.fromkeys(("style", "styles", "art style", "artstyle", "artist", "art"), LoRAKind.STYLE),
    **dict.fromkeys(("character", "characters", "celebrity", "anime character", "person", "woman"), LoRAKind.CHARACTER),
    **dict.fromkeys(
        ("concept", "clothing", "poses", "pose", "objects", "object", "vehicle", "vehicles", "background", "action"),
        LoRAKind.CONCEPT,
    ),
    **dict.fromkeys(("animal", "buildings", "assets", "outfit", "food"), LoRAKind.CONCEPT),
    **dict.fromkeys(("effect", "effects", "tool", "lighting", "slider", "detailer", "enhancer", "fx"), LoRAKind.EFFECT),
    **dict.fromkeys(("speed", "distillation", "acceleration", "turbo lora", "lcm lora"), LoRAKind.SPEED),
}

KIND_WORDS = (
    (re.compile(r"\b(?:art ?)?styles?\b|\bartstyle|\bpainting\b|\billustration\b|\baesthetics?\b"), LoRAKind.STYLE),
    (re.compile(r"\bsliders?\b|\bdetail(?:er|s|ed)?\b|\btweak\w*|\benhanc\w*|\bfx\b|\beffects?\b"), LoRAKind.EFFECT),
    (re.compile(r"\blighting\b|\bglow\w*|\bsparkl\w*|\bparticles\b|\bbokeh\b|\bblur\b"), LoRAKind.EFFECT),
    (re.compile(r"\bcharacters?\b|\bcosplay\b|\b[12](?:girl|boy)s?\b"), LoRAKind.CHARACTER),
    (re.compile(r"\boutfits?\b|\bclothes\b|\bclothing\b|\bposes?\b|\bconcept\b|\bdress\b"), LoRAKind.CONCEPT),
)


def architecture(header: Header, kind: ModelKind) -> Finding:
    """The architecture of the model behind `header`, with what told it."""
    for key, shape in header.shapes.items():
        width = _cross_attention_width(key, shape, header.shapes)
        if width is not None:
            return _by_width(width, header)
    joined = "\n".join(header.shapes)
    for pattern, found, confidence in _KEY_ROWS:
        if match := pattern.search(joined):
            return Finding(found, f"tensor names with {match[0].strip('._')}", confidence)
    if declared := _declared(header):
        return declared
    if kind in (ModelKind.VAE, ModelKind.EMBEDDING) or not header.shapes:
        return Finding(Architecture.UNKNOWN, "its tensors do not tell", 0.0)
    return Finding(Architecture.OTHER, "none of the known tensor names", 0.5)


def _by_width(width: int, header: Header) -> Finding:
    """The architecture with this cross-attention width; an unheard-of width is what its author says it is."""
    if width in CROSS_ATTENTION:
        return Finding(CROSS_ATTENTION[width], f"cross-attention width {width}", 0.98)
    return _declared(header) or Finding(Architecture.OTHER, f"cross-attention width {width}", 0.98)


def _declared(header: Header) -> Finding | None:
    for entry in ("modelspec.architecture", "ss_base_model_version"):
        found = architecture_of(header.metadata.get(entry, ""))
        if found is not Architecture.UNKNOWN:
            return Finding(found, f"{entry}: {header.metadata[entry][:80]}", 0.9)
    return None


def _cross_attention_width(key: str, shape: tuple[int, ...], shapes: Shapes) -> int | None:
    """Columns of the key or value projection that `key` belongs to; None for any other tensor."""
    if "attn2" not in key or not shape or not _UNET.search(key):
        return None
    if reduced := _reduced(key):
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
    """Whether these tensors are low-rank (or difference) weights rather than a whole model's."""
    return any(_LOW_RANK.search(key) for key in shapes)


def lora_type(header: Header) -> str:
    """`lora`, `locon` (convolutions as well), `loha`, `lokr` or `dora`."""
    joined = "\n".join(header.shapes)
    for name, mark in _TYPES:
        if mark in joined:
            return name
    convolution = any(len(shape) == 4 and shape[2] > 1 and _is_down(key) for key, shape in header.shapes.items())
    return "locon" if convolution else "lora"


def rank(header: Header) -> int | None:
    """The commonest inner dimension of the low-rank pairs, or None."""
    ranks = Counter(
        shape[0]
        for key, shape in header.shapes.items()
        if shape and (_is_down(key) or key.endswith((".hada_w1_b", ".lokr_w1_b", ".lokr_w2_b")))
    )
    return ranks.most_common(1)[0][0] if ranks else None


def _is_down(key: str) -> bool:
    return key.endswith(".weight") and key[:-7].removesuffix(".default").endswith(_DOWN_ENDS)


def _reduced(key: str) -> str:
    """The module whose input this tensor reduces to the rank (`….lora_down.weight`, `….lora_A.default.weight`)."""
    name = key[:-7].removesuffix(".default")
    return next(name[: -len(end)] for end in _DOWN_ENDS if name.endswith(end)) if _is_down(key) else ""


def lora_kind(names: Iterable[str], hub_tags: Iterable[str], description: str) -> Finding:
    """What a LoRA is for: by its names when they say speed, then hub tags, words of names, words of the description."""
    names = [words_of(name) for name in names]
    for name in names:
        if SPEED_NAME.search(name):
            return Finding(LoRAKind.SPEED, f"name {name}", 0.9)
    for tag in hub_tags:
        if kind := KIND_TAGS.get(tag.lower()):
            return Finding(kind, f"tag {tag}", 0.9)
    return (
        _kind_said("name", names, 0.7)
        or _kind_said("description", [words_of(description[:500])], 0.5)
        or Finding(LoRAKind.UNKNOWN, "no evidence", 0.0)
    )


def _kind_said(source: str, texts: Iterable[str], confidence: float) -> Finding | None:
    for pattern, kind in KIND_WORDS:
        for text in texts:
            if match := pattern.search(text):
                return Finding(kind, f"{source}: {match[0]}", confidence)
    return None
