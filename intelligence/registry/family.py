"""Which family a checkpoint or LoRA is of, from the evidence at hand.

Pony, Illustrious, NoobAI, the distilled ones and plain SDXL share their weights' shapes, so that only how the model
samples, what its header says, and names tell them apart; each row below carries how far it is to be believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

from .evidence import FamilyFinding, ModelEvidence
from .kinds import Architecture, Family, Finding
from .text import words_of

ZSNR_SIGMA = 100.0
"""Between the 14.6 of SDXL's usual schedule and the 4518.8 of zero terminal SNR."""

NAMES_FAMILY = 0.5
"""Confidence from which a base model's name tells the family too; trainers write `sdxl_base` for Pony as well."""

DISTILLED = frozenset({Family.TURBO, Family.LIGHTNING, Family.HYPER, Family.LCM, Family.DMD2})


class Row(NamedTuple):
    """A pattern over `words_of(name)` and what a match says."""

    pattern: re.Pattern[str]
    family: Family
    architecture: Architecture | None
    """None: the rest of the name tells."""
    confidence: float


def _row(pattern: str, family: Family, architecture: Architecture | None, confidence: float) -> Row:
    return Row(re.compile(pattern), family, architecture, confidence)


_SDXL = Architecture.SDXL

ROWS = (
    _row(r"\bdmd ?2\b", Family.DMD2, None, 0.9),
    _row(r"\blightning", Family.LIGHTNING, None, 0.85),
    _row(r"\bhyper ?(sd|sdxl|xl|\d)|\b(sdxl|xl|sd 1 5|pony) hyper\b", Family.HYPER, None, 0.85),
    _row(r"\bsd turbo\b", Family.TURBO, Architecture.SD2, 0.85),
    _row(r"\bturbo", Family.TURBO, None, 0.85),
    _row(r"\blcm\b", Family.LCM, None, 0.85),
    _row(r"\bpony v7\b|\bauraflow\b", Family.UNKNOWN, Architecture.OTHER, 0.9),
    _row(r"\bnoob.*\bv ?pred|\bnaixl.*\bv ?pred", Family.NOOBAI_VPRED, _SDXL, 0.9),
    _row(r"\bnoob|\bnaixl", Family.NOOBAI, _SDXL, 0.9),
    _row(r"illustrious|\bilxl|\bilx\b|\bwai (ani|nsfw|illu)", Family.ILLUSTRIOUS, _SDXL, 0.9),
    _row(r"\bpony|pdxl|\bpdv6|autism ?mix", Family.PONY, _SDXL, 0.9),
    _row(r"\b(sd|stable diffusion) ?v?3( ?5)?m?\b", Family.UNKNOWN, Architecture.SD3, 0.9),
    _row(r"\bflux", Family.UNKNOWN, Architecture.FLUX, 0.9),
    _row(r"\b(sd|stable diffusion) ?v?1( ?[45])?\b|\bsd ?1[45]\b|\bv1 [45]\b", Family.SD15, Architecture.SD1, 0.85),
    _row(r"\b(sd|stable diffusion) ?v?2( ?[01])?\b|\bv2 1\b", Family.SD2, Architecture.SD2, 0.85),
    _row(r"\b(sd ?xl|stable diffusion xl) base\b", Family.SDXL, _SDXL, 0.95),
    _row(r"\bsd ?xl|stable diffusion xl|\bjuggernaut ?xl|\brealvis ?xl|\banimagine ?xl", Family.SDXL, _SDXL, 0.7),
    _row(r"xl\b", Family.SDXL, _SDXL, 0.6),
    _row(
        r"\b(wan|hunyuan|qwen|ltx|ltxv|chroma|lumina|pixart|kolors|cascade|z image|cogvideo\w*|mochi)\b",
        Family.UNKNOWN,
        Architecture.OTHER,
        0.85,
    ),
)

_ARCHITECTURE_FAMILY = {Architecture.SD1: Family.SD15, Architecture.SD2: Family.SD2, Architecture.SDXL: Family.SDXL}
_FAMILY_ARCHITECTURE = {
    Family.SD15: Architecture.SD1,
    Family.SD2: Architecture.SD2,
    **dict.fromkeys((Family.SDXL, Family.PONY, Family.ILLUSTRIOUS, Family.NOOBAI, Family.NOOBAI_VPRED), _SDXL),
}
_STEPS = re.compile(r"\b(\d{1,2}) ?steps?\b")


def architecture_of(text: str) -> Architecture:
    """The architecture that a base model's name implies (`sdxl_base_v1-0`, `SD 1.5`, `Pony` …), or UNKNOWN."""
    words = words_of(text)
    found = (row.architecture for row in ROWS if row.architecture is not None and row.pattern.search(words))
    return next(found, Architecture.UNKNOWN)


def match_family(text: str, architecture: Architecture, skip: frozenset[Family] = frozenset()) -> Row | None:
    """The first row that `text` matches, its family known and its architecture not against `architecture`."""
    words = words_of(text)
    fits = {None, architecture} if architecture is not Architecture.UNKNOWN else {None, *Architecture}
    for row in ROWS:
        if row.family not in skip and row.architecture in fits and row.pattern.search(words):
            return row if row.family is not Family.UNKNOWN else None
    return None


def steps_in(name: str) -> int | None:
    """The step count that a distilled model's name gives (`…_4step…`), or None."""
    match = _STEPS.search(words_of(name))
    return int(match[1]) if match and int(match[1]) > 0 else None


def identify_family(evidence: ModelEvidence) -> FamilyFinding:
    """The family of the base model that `evidence` describes, with confidence (0 to 1) and reason.

    Order: the user's word; how the loaded model samples; the header; the base model that the registry or a hub names;
    the file name; the bare architecture. UNKNOWN with confidence 0 where nothing is known.
    """
    zsnr = evidence.sigma_max is not None and evidence.sigma_max > ZSNR_SIGMA
    texts = _texts(evidence)
    architecture = _architecture(evidence, [text for _, text, _ in texts])
    steps = next((steps for text in (evidence.name, evidence.base_model or "") if (steps := steps_in(text))), None)

    if evidence.family is not Family.UNKNOWN:
        chosen = _FAMILY_ARCHITECTURE.get(evidence.family, architecture)
        assumed = evidence.family is Family.NOOBAI_VPRED and evidence.sigma_max is None
        return FamilyFinding(evidence.family, chosen, 1.0, "chosen by the user", zsnr or assumed, steps)

    if evidence.prediction == "v_prediction" and (
        architecture is _SDXL or (architecture is Architecture.UNKNOWN and zsnr)
    ):
        named = any(row and row.family in (Family.NOOBAI, Family.NOOBAI_VPRED) for row in _matches(texts, architecture))
        schedule = f"up to sigma {evidence.sigma_max:g}" if evidence.sigma_max else "with an unknown schedule"
        reason = f"samples with v-prediction {schedule}, as NoobAI v-pred does"
        return FamilyFinding(Family.NOOBAI_VPRED, _SDXL, 0.95 if named else 0.8, reason, zsnr)

    # A distilled merge of Pony is run as a distilled model, whatever else names it Pony.
    named_after = frozenset({Family.NOOBAI_VPRED}) if evidence.prediction == "epsilon" else frozenset[Family]()
    for skip, (source, text, trust) in product((frozenset(Family) - DISTILLED, named_after), texts):
        if row := match_family(text, architecture, skip):
            chosen = row.architecture or (architecture if architecture is not Architecture.UNKNOWN else _SDXL)
            return FamilyFinding(
                family=row.family,
                architecture=chosen,
                confidence=round(row.confidence * trust, 2),
                reason=f"{source} {text[:80]!r} says {row.family}",
                zsnr=zsnr or (row.family is Family.NOOBAI_VPRED and evidence.sigma_max is None),
                few_steps=steps if row.family in DISTILLED else None,
            )
    if family := _ARCHITECTURE_FAMILY.get(architecture):
        confidence = 0.9 if architecture is not _SDXL else 0.5
        reason = f"only its architecture, {architecture}, is known"
        return FamilyFinding(family, architecture, confidence, reason, zsnr)
    reason = (
        "nothing known tells its family"
        if architecture is Architecture.UNKNOWN
        else f"no settings are known for its architecture, {architecture}"
    )
    return FamilyFinding(Family.UNKNOWN, architecture, 0.0, reason, zsnr)


def identify_lora_family(
    name: str,
    architecture: Architecture,
    base_model: Finding | None,
    trained_on: str | None,
    tags: Iterable[str],
    speed: bool = False,
) -> Finding:
    """The family that a LoRA was made for: hub's base model, then training checkpoint, tags, file name, architecture.

    Args:
        base_model: what a hub or sidecar wrote, with its confidence.
        trained_on: `ss_sd_model_name` of the header.
        speed: whether it is a distillation LoRA; only then may a word like `lightning` in a name mean the family.
    """
    skip = frozenset[Family]() if speed else DISTILLED
    if (
        base_model
        and base_model.confidence >= NAMES_FAMILY
        and (row := match_family(base_model.value, architecture, skip))
    ):
        return Finding(row.family, f"{base_model.source}: {base_model.value}", base_model.confidence)
    if trained_on and (row := match_family(trained_on, architecture, skip)):
        return Finding(row.family, f"ss_sd_model_name: {trained_on}", round(row.confidence * 0.95, 2))
    if architecture in (_SDXL, Architecture.UNKNOWN) and any(tag.startswith("score_9") for tag in tags):
        return Finding(Family.PONY, "tag score_9", 0.75)
    if row := match_family(name, architecture, skip):
        return Finding(row.family, f"file name {name}", round(row.confidence * 0.8, 2))
    if family := _ARCHITECTURE_FAMILY.get(architecture):
        return Finding(family, f"architecture {architecture}", 0.4 if architecture is _SDXL else 0.9)
    return Finding(Family.UNKNOWN, "no evidence", 0.0)


def _texts(evidence: ModelEvidence) -> list[tuple[str, str, float]]:
    """(what it is, text, how far to trust it), the most trusted first."""
    header = evidence.metadata
    texts = [
        ("header entry modelspec.title", header.get("modelspec.title", ""), 0.95),
        ("header entry ss_sd_model_name", header.get("ss_sd_model_name", ""), 0.95),
        ("base model", evidence.base_model or "", 1.0),
        ("file name", evidence.name.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".safetensors"), 0.9),
    ]
    return [(source, text, trust) for source, text, trust in texts if text]


def _architecture(evidence: ModelEvidence, texts: list[str]) -> Architecture:
    if evidence.architecture is not Architecture.UNKNOWN:
        return evidence.architecture
    header = [evidence.metadata.get(key, "") for key in ("modelspec.architecture", "ss_base_model_version")]
    found = (architecture_of(text) for text in [*header, *texts] if text)
    return next((item for item in found if item is not Architecture.UNKNOWN), Architecture.UNKNOWN)


def _matches(texts: list[tuple[str, str, float]], architecture: Architecture) -> list[Row | None]:
    return [match_family(text, architecture) for _, text, _ in texts]
