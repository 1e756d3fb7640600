"""Names of checkpoints, base models and LoRAs, and what they state: family, architecture, steps, purpose of a LoRA."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from .kinds import BASE_FAMILIES, DISTILLED, Architecture, Family, Finding, LoRAKind

MAX_FEW_STEPS = 16
"""Step count up to which a number in a name is that of a distilled model."""

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=\d)(?=[A-Z][a-z])")
SAFETENSORS_SUFFIXES = (".safetensors", ".sft")
_EXTENSION = re.compile(r"\.(?:safetensors|sft|pt|ckpt)$")
_STEPS = re.compile(r"\b(\d{1,2}) ?steps?\b")
_SPEED_LORA = re.compile(
    r"\b(?:sdxl|xl|sd) lightning\b|\blightning (?:lora|\d+ ?steps?)|\blightning\b.*\b\d+ ?steps?\b"
    r"|\bhyper ?(?:sd|sdxl)\b|\blcm\b|\bdmd ?2\b|\bturbo lora\b|\bsdxl turbo\b|\bdistill\w*|\b\d+ ?steps? lora\b"
)
_SDXL = Architecture.SDXL
_VPRED = r"\bv ?pred"


class NamePattern(NamedTuple):
    """A pattern over `words_of(name)`, and the model that a match states."""

    pattern: re.Pattern[str]
    family: Family
    architecture: Architecture | None
    """None: the rest of the name states it."""
    confidence: float
    variant: str = ""


def _pattern(
    pattern: str, family: Family, architecture: Architecture | None, confidence: float, variant: str = ""
) -> NamePattern:
    return NamePattern(re.compile(pattern), family, architecture, confidence, variant)


NAME_PATTERNS = (
    _pattern(r"\bintelligent generation demo\b", Family.DEMO, Architecture.DEMO, 0.95),
    _pattern(r"\bdmd ?2\b", Family.DMD2, None, 0.9),
    _pattern(r"\blightning|lightning\b", Family.LIGHTNING, None, 0.85),
    _pattern(r"\bhyper ?sd.*\bcfg\b", Family.HYPER, None, 0.9, "guided"),
    _pattern(r"\bhyper ?(sd|sdxl|xl|\d)|\b(sdxl|xl|sd 1 5|pony) hyper\b", Family.HYPER, None, 0.85),
    _pattern(r"\bsd turbo\b", Family.TURBO, Architecture.SD2, 0.85),
    _pattern(r"\b(sd ?xl|stabilityai) turbo\b", Family.TURBO, None, 0.9),
    _pattern(r"\bturbo", Family.TURBO, None, 0.8, "merge"),
    _pattern(r"\blcm\b", Family.LCM, None, 0.85),
    _pattern(r"\bpony v7\b|\bauraflow\b", Family.UNKNOWN, Architecture.OTHER, 0.9),
    _pattern(r"\brefiner\b", Family.UNKNOWN, Architecture.OTHER, 0.85),
    _pattern(rf"\bnoob.*{_VPRED}|\bnaixl.*{_VPRED}", Family.NOOBAI_VPRED, _SDXL, 0.9),
    _pattern(r"\bnoob|\bnaixl", Family.NOOBAI, _SDXL, 0.9),
    _pattern(r"illustrious|\bilxl|\bilx\b|\bil ?v\d|\bwai (ani|nsfw|illu)", Family.ILLUSTRIOUS, _SDXL, 0.9),
    _pattern(r"\bpony|pony ?xl\b|pdxl|\bpdv6|autism ?mix", Family.PONY, _SDXL, 0.9),
    _pattern(r"\b(sd|stable diffusion) ?v?3( ?5)?m?\b", Family.UNKNOWN, Architecture.SD3, 0.9),
    _pattern(r"\bflux", Family.UNKNOWN, Architecture.FLUX, 0.9),
    _pattern(r"\b(sd|stable diffusion) ?v?1( ?[45])?\b|\bsd ?1[45]\b|\bv1 [45]\b", Family.SD15, Architecture.SD1, 0.85),
    _pattern(r"\b(sd|stable diffusion) ?v?2( ?[01])?\b|\bv2 1\b", Family.SD2, Architecture.SD2, 0.85),
    _pattern(r"\b(sd ?xl|stable diffusion xl) base\b", Family.SDXL, _SDXL, 0.95),
    _pattern(r"\bsd ?xl|stable diffusion xl|\bjuggernaut ?xl|\brealvis ?xl|\banimagine ?xl", Family.SDXL, _SDXL, 0.7),
    _pattern(r"xl\b", Family.SDXL, _SDXL, 0.6),
    _pattern(
        r"\b(wan|hunyuan|qwen|ltx|ltxv|chroma|lumina|pixart|kolors|cascade|playground|z image|cogvideo\w*|mochi)\b",
        Family.UNKNOWN,
        Architecture.OTHER,
        0.85,
    ),
)
"""The first pattern that matches counts. Pony, Illustrious, NoobAI and plain SDXL have weights of the same shapes."""

_KIND_TAGS = {
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

_KIND_WORDS = (
    (re.compile(r"\b(?:art ?)?styles?\b|\bartstyle|\bpainting\b|\billustration\b|\baesthetics?\b"), LoRAKind.STYLE),
    (re.compile(r"\bsliders?\b|\bdetail(?:er|s|ed)?\b|\btweak\w*|\benhanc\w*|\bfx\b|\beffects?\b"), LoRAKind.EFFECT),
    (re.compile(r"\blighting\b|\bglow\w*|\bsparkl\w*|\bparticles\b|\bbokeh\b|\bblur\b"), LoRAKind.EFFECT),
    (re.compile(r"\bcharacters?\b|\bcosplay\b|\b[12](?:girl|boy)s?\b"), LoRAKind.CHARACTER),
    (re.compile(r"\boutfits?\b|\bclothes\b|\bclothing\b|\bposes?\b|\bconcept\b|\bdress\b"), LoRAKind.CONCEPT),
)

_PARTS_OF_PICTURES = (
    (re.compile(r"\bhair(?:styles?|cuts?|do)?\b|\b(?:buzz|pixie|hime) ?cut\b|\bponytails?\b"), LoRAKind.CONCEPT),
    (re.compile(r"\bbraids?\b|\bbangs\b|\bmake ?up\b|\bposes?\b|\beyes?\b|\bnails?\b"), LoRAKind.CONCEPT),
    (re.compile(r"\boutfits?\b|\bcostumes?\b|\bdress(?:es)?\b|\bcloth(?:es|ing)\b"), LoRAKind.CONCEPT),
    (re.compile(r"\bfilters?\b|\blens\b|\blighting\b|\bbokeh\b|\b(?:hair ?)?detailer\b"), LoRAKind.EFFECT),
)
"""Words of a name which say that a LoRA called a style is that of something in the picture, or a finish."""
_ART = re.compile(r"\bart ?styles?\b|\bpaint(?:ing|er)s?\b|\billustrat\w+\b|\bdrawings?\b|\banime style\b")


@lru_cache(maxsize=4096)
def words_of(name: str) -> str:
    """Return a file name or base model as lower-case words: `ponyDiffusionV6XL_v6` → `pony diffusion v6 xl v6`."""
    return " ".join(re.sub(r"[^0-9a-z]+", " ", _CAMEL.sub(" ", name).lower()).split())


def plain_name(text: str) -> str:
    """Return a model's file name as it is compared: lower case, without folder and extension."""
    return _EXTENSION.sub("", text.replace("\\", "/").lower().rpartition("/")[2]).strip()


def architecture_named(text: str) -> Architecture:
    """Return the architecture that a base model's name states (`sdxl_base_v1-0`, `SD 1.5`, `Pony` …), or UNKNOWN."""
    words = words_of(text)
    found = (row.architecture for row in NAME_PATTERNS if row.architecture is not None and row.pattern.search(words))
    return next(found, Architecture.UNKNOWN)


def match_family(text: str, architecture: Architecture, skip: frozenset[Family] = frozenset()) -> NamePattern | None:
    """Return the first pattern that `text` matches and that does not contradict `architecture`.

    None where it is of no known family. Flux has a Hyper and Qwen a Lightning of their own, which do not count.
    """
    words = words_of(text)
    fits = {None, architecture} if architecture is not Architecture.UNKNOWN else {None, *Architecture}
    if architecture is not Architecture.UNKNOWN and architecture not in BASE_FAMILIES:
        skip |= DISTILLED
    for row in NAME_PATTERNS:
        if row.family not in skip and row.architecture in fits and row.pattern.search(words):
            return row if row.family is not Family.UNKNOWN else None
    return None


def names_v_prediction(text: str) -> bool:
    return re.search(_VPRED, words_of(text)) is not None


def names_speed_lora(text: str) -> bool:
    """Return whether a LoRA's name states few-step distillation (`sdxl_lightning_4step` …)."""
    return _SPEED_LORA.search(words_of(text)) is not None


def steps_named(text: str) -> int | None:
    """Return the step count, up to 16, that a distilled model's name states (`…_4step…`), or None."""
    match = _STEPS.search(words_of(text))
    return int(match[1]) if match and 0 < int(match[1]) <= MAX_FEW_STEPS else None


def lora_kind(names: Iterable[str], hub_tags: Iterable[str], description: str) -> Finding:
    """Return the purpose of a LoRA: speed by its names, else by hub tags, by its names, by its description."""
    names = [words_of(name) for name in names]
    for name in names:
        if names_speed_lora(name):
            return Finding(LoRAKind.SPEED, f"name {name}", 0.9)
    tagged = ((tag, kind) for tag in hub_tags if (kind := _KIND_TAGS.get(tag.lower())))
    found = next((Finding(kind, f"tag {tag}", 0.9) for tag, kind in tagged), None) or _kind_by_words("name", names, 0.7)
    if found is not None and found.value is LoRAKind.STYLE:
        return _part_of_picture(names, found.confidence) or found
    return (
        found
        or _kind_by_words("description", [words_of(description[:500])], 0.5)
        or Finding(LoRAKind.UNKNOWN, "no evidence", 0.0)
    )


def _part_of_picture(names: Iterable[str], confidence: float) -> Finding | None:
    """The kind of a LoRA called a style whose name says that it is no style of the whole picture: `bob hairstyle`."""
    if any(_ART.search(name) for name in names):
        return None
    found = ((kind, match) for pattern, kind in _PARTS_OF_PICTURES for name in names if (match := pattern.search(name)))
    return next((Finding(kind, f"name: {match[0]}", confidence) for kind, match in found), None)


def _kind_by_words(source: str, texts: Iterable[str], confidence: float) -> Finding | None:
    for pattern, kind in _KIND_WORDS:
        for text in texts:
            if match := pattern.search(text):
                return Finding(kind, f"{source}: {match[0]}", confidence)
    return None
