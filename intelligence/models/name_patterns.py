"""Names of checkpoints, base models and LoRAs, and what they state: family, architecture, steps, purpose of a LoRA."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from .kinds import DISTILLED, UNETS, Architecture, Family, Finding, LoRAKind

MAX_FEW_STEPS = 16
"""Step count up to which a number in a name is that of a distilled model."""

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=\d)(?=[A-Z][a-z])")
SAFETENSORS_SUFFIXES = (".safetensors", ".sft")
_EXTENSION = re.compile(r"\.(?:safetensors|sft|gguf|pt|ckpt)$")
_STEPS = re.compile(r"\b(\d{1,2}) ?steps?\b")
_SPEED_LORA = re.compile(
    r"\b(?:sdxl|xl|sd) lightning\b|\blightning (?:lo ?ra|\d+ ?steps?)|\blightning\b.*\b\d+ ?steps?\b|\blightx2v\b"
    r"|\bhyper ?(?:sd|sdxl|flux)\b|\bhyper\b.*\b\d+ ?steps?\b|\blcm\b|\bdmd ?2\b|\bsdxl turbo\b"
    r"|\bturbo alpha\b|\bdistill\w*"
    r"|(?<!image )(?<!krea2 )(?<!krea 2 )(?<!ernie )\bturbo lo ?ra\b|\b\d+ ?steps? lo ?ra\b|\btcd\b|\bcausvid\b"
    r"|\bpcm (?:sd|lo ?ra|\w*cfg)|\bphased consistency|\bflash (?:sd|sdxl|xl|sd3|pix ?art)\b|\b(?:sd|sdxl|xl) flash\b"
)
"""Few-step distillation. A LoRA of Z-Image Turbo, Krea 2 Turbo and the like is usually one made for that edition."""

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


_DTYPES = r"(?: (?:bf16|fp16|fp8\w*|int8\w*|int4\w*|nvfp4|scaled|e4m3fn|mixed|convrot|q\d\w*|k|m|s|gguf))*$"
"""Ends of the names of official files: without a word for the edition they are the base."""
_SD3 = r"\b(?:sd|stable diffusion) ?v?3"
_KLEIN_BASE = r"\bklein\b.*\bbase\b"
_UNKNOWN = Family.UNKNOWN
_A, _F = Architecture, Family

_UNET_SPEED = (
    _pattern(r"\bdmd ?2\b", _F.DMD2, None, 0.9),
    _pattern(r"\blightning|lightning\b", _F.LIGHTNING, None, 0.85),
    _pattern(r"\bhyper ?sd.*\bcfg\b", _F.HYPER, None, 0.9, "guided"),
    _pattern(r"\bhyper ?(sd|sdxl|xl|\d)|\b(sdxl|xl|sd 1 5|pony) hyper\b", _F.HYPER, None, 0.85),
    _pattern(r"\bpcm\b.*\bnormal ?cfg|\bphased consistency.*\bnormal ?cfg", _F.PCM, None, 0.9, "guided"),
    _pattern(r"\bpcm (?:sd|lora|\w*cfg)|\bphased consistency", _F.PCM, None, 0.9),
    _pattern(r"\btcd\b", _F.TCD, None, 0.9),
    _pattern(r"\bflash (?:sd|sdxl|xl)\b", _F.FLASH, None, 0.9),
    _pattern(r"\b(?:sd|sdxl|xl) flash\b", _F.FLASH, None, 0.9, "guided"),
    _pattern(r"\bsd turbo\b", _F.TURBO, _A.SD2, 0.85),
    _pattern(r"\b(sd ?xl|stabilityai) turbo\b", _F.TURBO, None, 0.9),
    _pattern(r"\bturbo", _F.TURBO, None, 0.8, "merge"),
    _pattern(r"\blcm\b", _F.LCM, None, 0.85),
)
"""Distilled editions of the UNets; other networks have editions of their own, with words that are the same."""

_DEMO = _pattern(r"\bintelligent generation demo\b", _F.DEMO, _A.DEMO, 0.95)

_TRANSFORMERS = (
    _pattern(r"\bqwen.*\b2 1\b.*\bturbo\b", _F.QWEN_IMAGE_21_TURBO, _A.QWEN_IMAGE_21, 0.9),
    _pattern(r"\bqwen ?(?:image ?)?2 1\b|\bqwen 2$", _F.QWEN_IMAGE_21, _A.QWEN_IMAGE_21, 0.9),
    _pattern(r"\bqwen.*\bedit\b", _F.QWEN_IMAGE_EDIT, _A.QWEN_IMAGE, 0.9),
    _pattern(r"\bqwen.*\b2512\b", _F.QWEN_IMAGE_2512, _A.QWEN_IMAGE, 0.9),
    _pattern(r"\bqwen", _F.QWEN_IMAGE, _A.QWEN_IMAGE, 0.85),
    _pattern(r"\bz ?image.*\bturbo\b|\bzit\b", _F.Z_IMAGE_TURBO, _A.Z_IMAGE, 0.9),
    _pattern(r"\bz ?image.*\bbase\b|^z ?image" + _DTYPES, _F.Z_IMAGE, _A.Z_IMAGE, 0.9),
    _pattern(r"\bz ?image", _UNKNOWN, _A.Z_IMAGE, 0.85),
    _pattern(r"\bkrea ?2.*\bturbo\b", _F.KREA2_TURBO, _A.KREA2, 0.9),
    _pattern(r"\bkrea ?2.*\braw\b", _F.KREA2_RAW, _A.KREA2, 0.9),
    _pattern(r"\bkrea ?2\b", _UNKNOWN, _A.KREA2, 0.85),
    _pattern(r"\bflux ?3\b.*\b(?:distill\w*|turbo)\b", _F.FLUX3_KLEIN_DISTILLED, _A.FLUX3, 0.9),
    _pattern(r"\bflux ?3 (?:klein|dev|pro)\b|^flux ?3\b", _F.FLUX3_KLEIN, _A.FLUX3, 0.85),
    _pattern(rf"{_KLEIN_BASE}.*\b4b\b|\bklein\b.*\b4b\b.*\bbase\b", _F.FLUX2_KLEIN_BASE, _A.FLUX2_KLEIN_4B, 0.9),
    _pattern(r"\bklein\b.*\b4b\b", _F.FLUX2_KLEIN, _A.FLUX2_KLEIN_4B, 0.9),
    _pattern(_KLEIN_BASE, _F.FLUX2_KLEIN_BASE, _A.FLUX2_KLEIN_9B, 0.85),
    _pattern(_KLEIN_BASE, _F.FLUX2_KLEIN_BASE, _A.FLUX2_KLEIN_4B, 0.85),
    _pattern(r"\bklein\b", _F.FLUX2_KLEIN, _A.FLUX2_KLEIN_9B, 0.85),
    _pattern(r"\bklein\b", _F.FLUX2_KLEIN, _A.FLUX2_KLEIN_4B, 0.85),
    _pattern(r"\bflux ?2\b", _F.FLUX2_DEV, _A.FLUX2_DEV, 0.85),
    _pattern(r"\bchroma\w* radiance\b", _UNKNOWN, _A.CHROMA_RADIANCE, 0.9),
    _pattern(r"\bchroma[12]?\b", _F.CHROMA, _A.CHROMA, 0.85),
    _pattern(r"\bschnell\b|\bflux ?1 s\b", _F.FLUX_SCHNELL, _A.FLUX, 0.9),
    _pattern(r"\bkontext\b", _F.FLUX_KONTEXT, _A.FLUX, 0.9),
    _pattern(r"\bflux ?(?:1 ?)?(?:d|dev|krea)\b", _F.FLUX_DEV, _A.FLUX, 0.9),
    _pattern(r"\bflux", _F.FLUX_DEV, _A.FLUX, 0.8),
    _pattern(_SD3 + r"\b.*\blarge\b.*\bturbo\b", _F.SD35_LARGE_TURBO, _A.SD35_LARGE, 0.9),
    _pattern(_SD3 + r"\b.*\b(?:large|l)\b", _F.SD35_LARGE, _A.SD35_LARGE, 0.9),
    _pattern(_SD3 + r" ?5\b.*\b(?:medium|m)\b", _F.SD35_MEDIUM, _A.SD3, 0.9),
    _pattern(_SD3 + r" ?5\b", _UNKNOWN, _A.SD3, 0.6),
    _pattern(_SD3 + r"m?\b", _F.SD3, _A.SD3, 0.85),
    _pattern(r"\bhi ?dream.*\bo1\b", _F.HIDREAM_O1, _A.HIDREAM_O1, 0.9),
    _pattern(r"\bhi ?dream.*\bfull\b", _F.HIDREAM_FULL, _A.HIDREAM, 0.9),
    _pattern(r"\bhi ?dream.*\bfast\b", _F.HIDREAM_FAST, _A.HIDREAM, 0.9),
    _pattern(r"\bhi ?dream.*\bdev\b", _F.HIDREAM_DEV, _A.HIDREAM, 0.9),
    _pattern(r"\bhi ?dream", _UNKNOWN, _A.HIDREAM, 0.85),
    _pattern(r"\bernie(?: image)?.*\bturbo\b", _F.ERNIE_IMAGE_TURBO, _A.ERNIE_IMAGE, 0.9),
    _pattern(r"^ernie image(?: base)?" + _DTYPES, _F.ERNIE_IMAGE, _A.ERNIE_IMAGE, 0.9),
    _pattern(r"\bernie image\b|^ernie$", _UNKNOWN, _A.ERNIE_IMAGE, 0.85),
    _pattern(r"\banima\b(?! pencil)(?!.*xl\b)", _F.ANIMA, _A.ANIMA, 0.8),
    _pattern(r"\blumina\b|\bneta ?(?:yume|lumina)", _F.LUMINA2, _A.LUMINA2, 0.85),
    _pattern(r"\bmoss image\b", _F.MOSS_IMAGE, _A.MOSS_IMAGE, 0.9),
    _pattern(r"\bmage ?flow\b", _F.MAGE_FLOW, _A.MAGE_FLOW, 0.9),
    _pattern(r"\bideogram ?(?:v ?)?4?\b", _F.IDEOGRAM4, _A.IDEOGRAM4, 0.85),
    _pattern(r"(?<!obi )\bwan\w*\b.*\b(?:5b|ti2v)\b", _F.WAN_5B, _A.WAN_5B, 0.9),
    _pattern(r"(?<!obi )\bwan\w*\b.*\b1 3b\b", _F.WAN, _A.WAN_1_3B, 0.9),
    _pattern(r"(?<!obi )\bwan(?:2\w*)?\b", _F.WAN, _A.WAN_14B, 0.8),
    _pattern(r"\bltxv? ?2\b|\bltxav\b", _UNKNOWN, _A.LTX2, 0.85),
    _pattern(r"\bltxv?\b", _UNKNOWN, _A.LTX_VIDEO, 0.85),
    _pattern(r"\bhunyuan ?image", _UNKNOWN, _A.HUNYUAN_IMAGE, 0.85),
    _pattern(r"\bhunyuan ?video ?1 5\b", _UNKNOWN, _A.HUNYUAN_VIDEO_15, 0.85),
    _pattern(r"\bhunyuan ?video|\bhyvid|\bframe ?pack\b|\bsky ?reels\b", _UNKNOWN, _A.HUNYUAN_VIDEO, 0.85),
    _pattern(r"\bhunyuan ?(?:di ?t|1)\b", _UNKNOWN, _A.HUNYUAN_DIT, 0.85),
    _pattern(r"\bmochi ?(?:1|preview)\b|^mochi$", _UNKNOWN, _A.MOCHI, 0.85),
    _pattern(r"\bcog ?video", _UNKNOWN, _A.COGVIDEOX, 0.85),
    _pattern(r"\bpix ?art\b", _UNKNOWN, _A.PIXART, 0.85),
    _pattern(r"\bsana (?:\d|sprint|video)", _UNKNOWN, _A.SANA, 0.85),
    _pattern(r"\bpony v7\b|\baura ?flow\b", _UNKNOWN, _A.AURAFLOW, 0.9),
    _pattern(r"\bkandinsky ?5\b", _UNKNOWN, _A.KANDINSKY5, 0.85),
    _pattern(r"\bcosmos predict ?2.*\b14b\b", _UNKNOWN, _A.COSMOS_PREDICT2_14B, 0.85),
    _pattern(r"\bcosmos predict ?2\b", _UNKNOWN, _A.COSMOS_PREDICT2, 0.85),
    _pattern(r"\bomni ?gen ?2?\b", _UNKNOWN, _A.OMNIGEN2, 0.85),
    _pattern(r"\blong ?cat image\b", _UNKNOWN, _A.LONGCAT_IMAGE, 0.85),
    _pattern(r"\bovis image\b", _UNKNOWN, _A.OVIS_IMAGE, 0.85),
)
"""Networks that are no UNets of Stable Diffusion."""

_UNETS = (
    _pattern(r"\bstable cascade\b|^cascade\b", _UNKNOWN, _A.CASCADE, 0.85),
    _pattern(r"\bsvd\b|\bstable video\b", _UNKNOWN, _A.SVD, 0.85),
    _pattern(r"\bkolors\b", _UNKNOWN, _A.KOLORS, 0.85),
    _pattern(r"\bplayground v?2", _UNKNOWN, _A.PLAYGROUND, 0.85),
    _pattern(r"xl.*\brefiner\b|^refiner\b", _UNKNOWN, _A.SDXL_REFINER, 0.85),
    _pattern(rf"\bnoob.*{_VPRED}|\bnaixl.*{_VPRED}", _F.NOOBAI_VPRED, _SDXL, 0.9),
    _pattern(r"\bnoob|\bnaixl", _F.NOOBAI, _SDXL, 0.9),
    _pattern(r"illustrious|\bilxl|\bilx\b|\bil ?v\d|\bwai (ani|nsfw|illu)", _F.ILLUSTRIOUS, _SDXL, 0.9),
    _pattern(
        r"(?<!little )(?<!\bmlp )\bpony(?!tails?\b| (?:tails?|hair|ears?|ride|riding|express|town|girl costume)\b)"
        r"|pony ?xl\b|pdxl|\bpdv6|autism ?mix",
        *(_F.PONY, _SDXL, 0.9),
    ),
    _pattern(r"\banimagine", _F.ANIMAGINE, _SDXL, 0.9),
    _pattern(r"\b(sd|stable diffusion) ?v?1( ?[45])?\b|\bsd ?1[45]\b|\bv1 [45]\b", _F.SD15, _A.SD1, 0.85),
    _pattern(r"\b(sd|stable diffusion) ?v?2( ?[01])?\b|\bv2 1\b", _F.SD2, _A.SD2, 0.85),
    _pattern(r"\b(sd ?xl|stable diffusion xl) base\b", _F.SDXL, _SDXL, 0.95),
    _pattern(r"\bsd ?xl|stable diffusion xl|\bjuggernaut ?xl|\brealvis ?xl", _F.SDXL, _SDXL, 0.7),
    _pattern(r"xl\b", _F.SDXL, _SDXL, 0.6),
)

NAME_PATTERNS = (_DEMO, *_UNET_SPEED, *_TRANSFORMERS, *_UNETS)
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


@lru_cache(maxsize=4096)
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
    if architecture is not Architecture.UNKNOWN and architecture not in UNETS:
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
