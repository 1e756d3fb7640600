"""Architecture of a model, by its tensors and by what its header, its hub and its name say; type and rank of a LoRA."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from math import prod
from typing import NamedTuple

from .headers import Header, Shapes
from .kinds import ARCHITECTURE_TITLES, Architecture, Finding, ModelKind
from .lora_modules import BIAS, Kind, Modules, lora_modules, modules_digest
from .name_patterns import architecture_named
from .networks import NetworkMatch, Shape, listed_architectures, match_network

CROSS_ATTENTION = {
    192: Architecture.DEMO,
    768: Architecture.SD1,
    1024: Architecture.SD2,
    1280: Architecture.SDXL_REFINER,
    2048: Architecture.SDXL,
}
"""Width of the text that the cross-attention of a UNet reads → architecture."""

DECLARING_ENTRIES = ("modelspec.architecture", "ss_base_model_version", "model_class")
"""Header entries that name the network, the surest first; `model_class` is that of quantised files of nunchaku."""

SURE, LIKELY, GUESS = 0.98, 0.8, 0.5
DECLARED, HUB, NAMED = 0.9, 0.85, 0.5
"""Confidence in what the header, the hub or the file's name says where the tensors leave it open."""

MAX_SAMPLE = 64
"""Places of a file, evenly spread, whose modules are looked up: blocks repeat."""

TEXT_PREFIXES = (
    *("lora_te", "lora_prior_te", "text_encoder", "te_", "te1_", "te2_", "t5xxl", "clip_l", "clip_g", "bundle_emb"),
    *("cond_stage_model", "conditioner.", "embedder.", "text_model."),
)
_OTHER_PARTS = ("first_stage_model.", "vae.", "model_ema.", "alphas_", "betas", "sqrt_", "log_one", "posterior_")
_NO_DIFFUSION = (*TEXT_PREFIXES, *_OTHER_PARTS)

_UNET_TEXT = re.compile(r"(?:down|up|mid|input|output|middle)_block.*attn2[._](?:processor[._])?to_[kv](?:_lora)?$")

_SPECIAL_PARTS = {
    **dict.fromkeys(("lora_prior_unet_", "clip_txt_mapper", "clf.1."), Architecture.CASCADE),
    "motion_modules": Architecture.UNKNOWN,
    **dict.fromkeys(("time_stack", "temporal_transformer_blocks"), Architecture.SVD),
}
"""Part of tensor names → network that is not in the table of networks; unknown: a motion module."""
_PACKED = re.compile(r"(?m)weight_scale|scale_weight|\.absmax|quant_state|\.qweight|comfy_quant|scaled_fp8")
"""Companions of quantised weights, whose own shapes are packed."""

_TEXT_TELLS = (
    (re.compile(r"(?s)encoder_block_0|t5xxl|SelfAttention"), (Architecture.FLUX, Architecture.SD3), GUESS),
    (
        re.compile(r"lora_te2_text_model|text_encoder_2\.text_model|conditioner\.embedders\.1|clip_g\."),
        (Architecture.SDXL, Architecture.SD3, Architecture.SD35_LARGE),
        LIKELY,
    ),
    (re.compile(r"lora_te1_"), (Architecture.SDXL, Architecture.FLUX, Architecture.SD3), GUESS),
    (re.compile(r"lora_te_text_model|^cond_stage_model\.|text_encoder\.text_model"), (Architecture.SD1,), 0.6),
)
"""Tensor names of text encoders → networks that have them, the likeliest first, and confidence: several models share
an encoder, so that these count only where a file holds nothing else."""

_LOW_RANK = re.compile(
    r"\.(?:lora_down|lora_up|lora\.down|lora\.up|lora_linear_layer|lora_A|lora_B|lora_mid|hada_w[12]_[ab]"
    r"|lokr_w[12](?:_[ab])?|[ab][12]|oft_blocks|oft_diag|diff|diff_b|set_weight|dora_scale|lora_magnitude_vector|alpha"
    r"|w_norm|b_norm)(?:\.|$)|_lora\.(?:down|up)\."
)
_DOWN_ENDS = tuple(mark + end for mark in "._" for end in ("lora_down", "lora.down", "lora_A", "lora.A", "down"))

_TYPES = (
    ("lokr", re.compile(r"\.lokr_")),
    ("loha", re.compile(r"\.hada_")),
    ("glora", re.compile(r"\.[ab][12]\.weight")),
    ("oft", re.compile(r"\.oft_")),
    ("dora", re.compile(r"\.dora_scale|\.lora_magnitude_vector")),
)
"""Type → a part of the tensor names that only this type has."""


class Words(NamedTuple):
    """Names that somebody gave a file or its base model, outside its tensors."""

    base_model: Finding | None = None
    """The base model that a hub or sidecar names."""
    file_name: str = ""
    title: str = ""


class LoRATensors(NamedTuple):
    """The facts that names and shapes of a LoRA's tensors tell: files of one trainer share them."""

    network: NetworkMatch
    type_name: str
    """As `lora_type` returns it."""
    rank: int | None
    modules: str
    """As `modules_digest` returns it."""


def identify_architecture(header: Header, kind: ModelKind, words: Words | None = None) -> Finding:
    """Return the architecture of a file, and what it was recognised by; UNKNOWN with confidence 0 where nothing says.

    In this order: the modules of the diffusion network by names, shapes and numbers of blocks; where several networks
    have them, and where the file holds none, what header, hub and names say; text encoders, where it holds nothing
    else. Words never overrule modules.
    """
    stated = list(_stated(header, words or Words()))
    if kind is ModelKind.UPSCALER:
        return _unknown("an upscale model fits every model")
    if kind in (ModelKind.VAE, ModelKind.EMBEDDING):
        return _embedding(header.shapes) or _by_words((), stated) or _unknown("its tensors do not say")
    if special := _special(header.shapes):
        return special
    match, packed = _match(header.shapes)
    if match.architectures:
        return _refined(match, stated, packed)
    return (
        _by_cross_attention(header.shapes, stated)
        or _by_words((), stated)
        or _by_text(header.shapes, stated)
        or _unknown(_why_unknown(match))
    )


def _unknown(reason: str) -> Finding:
    return Finding(Architecture.UNKNOWN, reason, 0.0)


def _why_unknown(match: NetworkMatch) -> str:
    if match.alike is not None:
        return f"modules with the names of {ARCHITECTURE_TITLES[match.alike]}'s and other sizes"
    return "modules of no known network" if match.looked_up else "its tensors do not say"


def _stated(header: Header, words: Words) -> Iterator[tuple[Architecture, str, float]]:
    """Architectures that header, hub and names state, with source and confidence."""
    texts = [
        *((header.metadata.get(entry, ""), entry, DECLARED) for entry in DECLARING_ENTRIES),
        *([(words.base_model.value, words.base_model.source, HUB)] if words.base_model else ()),
        (header.metadata.get("modelspec.title", "") or words.title, "title", NAMED),
        (words.file_name, "file name", NAMED),
    ]
    for text, source, confidence in texts:
        found = architecture_named(text) if text else Architecture.UNKNOWN
        if found is not Architecture.UNKNOWN:
            yield found, f"{source}: {text[:80]}", confidence


def _by_words(among: tuple[Architecture, ...], stated: list[tuple[Architecture, str, float]]) -> Finding | None:
    """The first statement; of several networks with the same modules, the one that is further from the commonest."""
    fitting = [item for item in stated if not among or item[0] in among]
    if among:
        fitting.sort(key=lambda item: -among.index(item[0]))
    return Finding(*fitting[0]) if fitting else None


def _refined(match: NetworkMatch, stated: list[tuple[Architecture, str, float]], packed: bool) -> Finding:
    first, *others = match.architectures
    tells = f"{match.known} of {match.looked_up} modules looked up are {ARCHITECTURE_TITLES[first]}'s"
    tells += " by name" if packed else ""
    if not others:
        return Finding(first, tells, SURE)
    unlisted = [item[0] for item in stated if item[0] not in listed_architectures()]
    if found := _by_words((*match.architectures, *unlisted), stated):
        return Finding(found.value, f"{tells}, and {found.source}", max(found.confidence, LIKELY))
    also = ", ".join(ARCHITECTURE_TITLES[other] for other in others)
    return Finding(first, f"{tells}, and {also}'s as well", LIKELY)


def _special(shapes: Shapes) -> Finding | None:
    """Networks that the table of networks does not hold, and motion modules."""
    joined = "\n".join(shapes)
    for part, architecture in _SPECIAL_PARTS.items():
        if part in joined:
            if architecture is Architecture.UNKNOWN:
                return _unknown("a motion module, not an image model's")
            return Finding(architecture, f"tensor names with {part.strip('._')}", LIKELY)
    return None


def _match(shapes: Shapes) -> tuple[NetworkMatch, bool]:
    """The networks that the diffusion part fits, and whether its weights are packed."""
    if is_lora(shapes):
        return lora_tensors(shapes).network, False
    keys = sorted(key for key in shapes if not key.startswith(_NO_DIFFUSION))
    inner = [key for key in keys if "diffusion_model." in key] or keys
    weights = [key for key in inner if key.endswith((".weight", ".qweight"))]
    some = {weights[place]: shapes[weights[place]] for place in _places(len(weights))}
    packed = _PACKED.search("\n".join(shapes)) is not None
    modules = {key.rpartition(".")[0]: _flat(shape) for key, shape in some.items()}
    if packed:
        rows = {name: shapes[f"{name}.bias"] for name in modules if f"{name}.bias" in shapes}
        modules |= {name: (*shape, None) for name, shape in rows.items() if modules[name][:1] != shape}
    return match_network(modules, inner, by_name=packed), packed


def lora_tensors(shapes: Shapes) -> LoRATensors:
    """Return what the tensors of a LoRA tell; of those of the last files it is remembered."""
    return _lora_tensors(tuple(shapes.items()))


@lru_cache(maxsize=16)
def _lora_tensors(items: tuple[tuple[str, tuple[int, ...]], ...]) -> LoRATensors:
    shapes = dict(items)
    header, modules = Header(shapes=shapes), lora_modules(shapes)
    names = sorted(name for name in modules if not name.startswith(_NO_DIFFUSION))
    some = {names[place]: modules[names[place]] for place in _places(len(names))}
    network = match_network(_changed_shapes(some, shapes), names)
    return LoRATensors(network, lora_type(header), lora_rank(header), modules_digest(modules))


def _places(count: int) -> Iterable[int]:
    """At most `MAX_SAMPLE` places, by the golden ratio: an even step would hit the same layer of each block."""
    return range(count) if count <= MAX_SAMPLE else {int(count * (each * 0.618034 % 1)) for each in range(MAX_SAMPLE)}


def _changed_shapes(modules: Modules, shapes: Shapes) -> dict[str, Shape]:
    found: dict[str, Shape] = {}
    for name, (kind, shape) in modules.items():
        if kind is Kind.BIAS or name.endswith(BIAS):
            continue
        if kind is Kind.ROWS:
            found[name] = (shape[0], None)
        elif kind is Kind.WHOLE:
            found[name] = _flat(shape)
        elif kind is Kind.PRODUCT:
            found[name] = shape
        else:
            found[name] = (None, _columns(name, shapes))
    return found


def _columns(module: str, shapes: Shapes) -> int | None:
    """Values a row of a module of which only the first half of the pair is there."""
    for end in _DOWN_ENDS:
        if shape := shapes.get(f"{module}{end}.weight"):
            return prod(shape[1:])
    return None


def _flat(shape: tuple[int, ...]) -> Shape:
    return shape if len(shape) < 2 else (shape[0], prod(shape[1:]))


def _by_cross_attention(shapes: Shapes, stated: list[tuple[Architecture, str, float]]) -> Finding | None:
    """A UNet of a size that is not in the table (pruned, tiny), by the text that it reads."""
    for key, shape in shapes.items():
        module = reduced_module(key) or key.removesuffix(".weight")
        width = shape[1] if len(shape) == 2 and _UNET_TEXT.search(module) else None
        if width in CROSS_ATTENTION:
            found, tells = CROSS_ATTENTION[width], f"cross-attention width {width}"
            named = _by_words((found, Architecture.KOLORS), stated) if found is Architecture.SDXL else None
            return Finding(named.value if named else found, tells, LIKELY)
    return None


def _embedding(shapes: Mapping[str, tuple[int, ...]]) -> Finding | None:
    """By the widths of a textual inversion's vectors."""
    widths = {shape[-1] for shape in shapes.values() if len(shape) in (1, 2)}
    if widths == {768, 1280}:
        return Finding(Architecture.SDXL, "vectors of 768 and 1280 values", LIKELY)
    if len(widths) == 1 and len(shapes) == 1 and (width := widths.pop()) in (768, 1024):
        return Finding(CROSS_ATTENTION[width], f"vectors of {width} values", LIKELY)
    return None


def _by_text(shapes: Shapes, stated: list[tuple[Architecture, str, float]]) -> Finding | None:
    joined = "\n".join(shapes)
    for pattern, architectures, confidence in _TEXT_TELLS:
        if match := pattern.search(joined):
            tells = f"text encoder with {match[0].strip('._')}"
            if found := _by_words(architectures, stated):
                return Finding(found.value, f"{tells}, and {found.source}", found.confidence)
            if architectures == (Architecture.SD1,) and any(shape[-1:] == (1024,) for shape in shapes.values()):
                return Finding(Architecture.SD2, f"{tells} of width 1024", confidence)
            return Finding(architectures[0], tells, confidence)
    return None


def is_lora(shapes: Shapes) -> bool:
    """Return whether these tensors are low-rank (or difference) weights rather than a whole model's."""
    return any(_LOW_RANK.search(key) for key in shapes)


def lora_type(header: Header) -> str:
    """Return `lora`, `locon` (convolutions as well), `loha`, `lokr`, `glora`, `oft` (BOFT as well) or `dora`."""
    joined = "\n".join(header.shapes)
    for name, mark in _TYPES:
        if mark.search(joined):
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
