"""Which family a checkpoint or LoRA is of, from the evidence at hand.

Pony, Illustrious, NoobAI, the distilled ones and plain SDXL share their weights' shapes, so that only how the model
samples, what its header says, and names tell them apart; each row below carries how far it is to be believed.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from .evidence import FamilyFinding, ModelEvidence
from .kinds import Architecture, Family, Finding
from .sanitize import words_of

ZSNR_SIGMA = 100.0
"""Between the 14.6 of SDXL's usual schedule and the 4518.8 of zero terminal SNR."""

NAMES_FAMILY = 0.5
"""Confidence from which a base model's name tells the family too; trainers write `sdxl_base` for Pony as well."""

BARE_SDXL = 0.5
"""Confidence in plain SDXL where only the shape of the weights is known: most such files are fine-tunes."""

DISTILLED = frozenset({Family.TURBO, Family.LIGHTNING, Family.HYPER, Family.LCM, Family.DMD2})

TITLES = {
    Family.SDXL: "SDXL",
    Family.PONY: "Pony",
    Family.ILLUSTRIOUS: "Illustrious",
    Family.NOOBAI: "NoobAI",
    Family.NOOBAI_VPRED: "NoobAI v-pred",
    Family.TURBO: "Turbo",
    Family.LIGHTNING: "Lightning",
    Family.HYPER: "Hyper-SD",
    Family.LCM: "LCM",
    Family.DMD2: "DMD2",
    Family.SD15: "SD 1.5",
    Family.SD2: "SD 2",
    Family.UNKNOWN: "unknown",
}
"""How people write them."""


class Row(NamedTuple):
    """A pattern over `words_of(name)` and what a match says."""

    pattern: re.Pattern[str]
    family: Family
    architecture: Architecture | None
    """None: the rest of the name tells."""
    confidence: float
    variant: str = ""


def _row(pattern: str, family: Family, architecture: Architecture | None, confidence: float, variant: str = "") -> Row:
    return Row(re.compile(pattern), family, architecture, confidence, variant)


EDM_KEYS = ("edm_mean", "edm_vpred.sigma_max")
V_PREDICTION_KEY = "v_pred"
V_PREDICTION_NAMES = ("v", "v_prediction")

_SDXL = Architecture.SDXL
_VPRED = r"\bv ?pred"

ROWS = (
    _row(r"\bdmd ?2\b", Family.DMD2, None, 0.9),
    _row(r"\blightning|lightning\b", Family.LIGHTNING, None, 0.85),
    _row(r"\bhyper ?sd.*\bcfg\b", Family.HYPER, None, 0.9, "guided"),
    _row(r"\bhyper ?(sd|sdxl|xl|\d)|\b(sdxl|xl|sd 1 5|pony) hyper\b", Family.HYPER, None, 0.85),
    _row(r"\bsd turbo\b", Family.TURBO, Architecture.SD2, 0.85),
    _row(r"\b(sd ?xl|stabilityai) turbo\b", Family.TURBO, None, 0.9),
    _row(r"\bturbo", Family.TURBO, None, 0.8, "merge"),
    _row(r"\blcm\b", Family.LCM, None, 0.85),
    _row(r"\bpony v7\b|\bauraflow\b", Family.UNKNOWN, Architecture.OTHER, 0.9),
    _row(r"\brefiner\b", Family.UNKNOWN, Architecture.OTHER, 0.85),
    _row(rf"\bnoob.*{_VPRED}|\bnaixl.*{_VPRED}", Family.NOOBAI_VPRED, _SDXL, 0.9),
    _row(r"\bnoob|\bnaixl", Family.NOOBAI, _SDXL, 0.9),
    _row(r"illustrious|\bilxl|\bilx\b|\bil ?v\d|\bwai (ani|nsfw|illu)", Family.ILLUSTRIOUS, _SDXL, 0.9),
    _row(r"\bpony|pony ?xl\b|pdxl|\bpdv6|autism ?mix", Family.PONY, _SDXL, 0.9),
    _row(r"\b(sd|stable diffusion) ?v?3( ?5)?m?\b", Family.UNKNOWN, Architecture.SD3, 0.9),
    _row(r"\bflux", Family.UNKNOWN, Architecture.FLUX, 0.9),
    _row(r"\b(sd|stable diffusion) ?v?1( ?[45])?\b|\bsd ?1[45]\b|\bv1 [45]\b", Family.SD15, Architecture.SD1, 0.85),
    _row(r"\b(sd|stable diffusion) ?v?2( ?[01])?\b|\bv2 1\b", Family.SD2, Architecture.SD2, 0.85),
    _row(r"\b(sd ?xl|stable diffusion xl) base\b", Family.SDXL, _SDXL, 0.95),
    _row(r"\bsd ?xl|stable diffusion xl|\bjuggernaut ?xl|\brealvis ?xl|\banimagine ?xl", Family.SDXL, _SDXL, 0.7),
    _row(r"xl\b", Family.SDXL, _SDXL, 0.6),
    _row(
        r"\b(wan|hunyuan|qwen|ltx|ltxv|chroma|lumina|pixart|kolors|cascade|playground|z image|cogvideo\w*|mochi)\b",
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
_OURS = frozenset({*_ARCHITECTURE_FAMILY, Architecture.UNKNOWN})
"""Architectures that the families mean: Flux has a Hyper and Qwen a Lightning of their own."""

_STEPS = re.compile(r"\b(\d{1,2}) ?steps?\b")
MAX_FEW_STEPS = 16


def architecture_of(text: str) -> Architecture:
    """The architecture that a base model's name implies (`sdxl_base_v1-0`, `SD 1.5`, `Pony` …), or UNKNOWN."""
    words = words_of(text)
    found = (row.architecture for row in ROWS if row.architecture is not None and row.pattern.search(words))
    return next(found, Architecture.UNKNOWN)


def match_family(text: str, architecture: Architecture, skip: frozenset[Family] = frozenset()) -> Row | None:
    """The first row that `text` matches, its family known and its architecture not against `architecture`."""
    words = words_of(text)
    fits = {None, architecture} if architecture is not Architecture.UNKNOWN else {None, *Architecture}
    if architecture not in _OURS:
        skip |= DISTILLED
    for row in ROWS:
        if row.family not in skip and row.architecture in fits and row.pattern.search(words):
            return row if row.family is not Family.UNKNOWN else None
    return None


def prediction_in(keys: Container[str], metadata: Mapping[str, str]) -> str | None:
    """How a checkpoint predicts, by the marks in its tensor names and header (those that ComfyUI goes by): `edm`,
    `v_prediction`, or None where nothing marks it."""
    if any(mark in keys for mark in EDM_KEYS):
        return "edm"
    if V_PREDICTION_KEY in keys or metadata.get("modelspec.prediction_type") in V_PREDICTION_NAMES:
        return "v_prediction"
    return None


def steps_in(name: str) -> int | None:
    """The step count, up to 16, that a distilled model's name gives (`…_4step…`), or None."""
    match = _STEPS.search(words_of(name))
    return int(match[1]) if match and 0 < int(match[1]) <= MAX_FEW_STEPS else None


def identify_family(evidence: ModelEvidence) -> FamilyFinding:
    """The family of the base model that `evidence` describes, with confidence (0 to 1) and reason.

    Order: the user's word; how the loaded model samples; a distilled model's name, wherever it stands; the header; the
    base model that the registry or a hub names; the file name; the bare architecture. UNKNOWN with confidence 0 where
    nothing is known.
    """
    texts = _texts(evidence)
    architecture = _architecture(evidence, [text for _, text, _ in texts])
    distilled = _named(texts, architecture, frozenset(Family) - DISTILLED)
    named = _named(texts, architecture, DISTILLED)
    sampling = _sampling(evidence, architecture, texts, named)

    if evidence.family is not Family.UNKNOWN:
        found = _chosen_by_user(evidence, architecture, distilled)
    elif evidence.prediction == "edm" and architecture in _OURS:
        reason = f"it samples {_schedule(evidence)} without fixed steps, as Playground v2.5 and CosXL do"
        return FamilyFinding(Family.UNKNOWN, architecture, 0.0, f"{reason}, for which no settings are known")
    else:
        found = distilled or sampling or named or _bare(architecture)
    declared = sampling is not None and sampling.zsnr and evidence.family is Family.UNKNOWN
    # A distilled merge of Pony is run as a distilled model, but still knows Pony's quality tags.
    return replace(
        found,
        zsnr=found.zsnr or declared or (evidence.sigma_max or 0) > ZSNR_SIGMA,
        few_steps=_few_steps(evidence) if found.family in DISTILLED else None,
        base=named.family if named and found.family in DISTILLED else Family.UNKNOWN,
    )


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


def _named(
    texts: list[tuple[str, str, float]], architecture: Architecture, skip: frozenset[Family]
) -> FamilyFinding | None:
    """What the first text that names a family says."""
    for source, text, trust in texts:
        if row := match_family(text, architecture, skip):
            chosen = row.architecture or (architecture if architecture is not Architecture.UNKNOWN else _SDXL)
            reason = f"{source}, '{text[:80]}', names {TITLES[row.family]}"
            return FamilyFinding(row.family, chosen, round(row.confidence * trust, 2), reason, variant=row.variant)
    return None


def _sampling(
    evidence: ModelEvidence,
    architecture: Architecture,
    texts: list[tuple[str, str, float]],
    named: FamilyFinding | None,
) -> FamilyFinding | None:
    """What v-prediction says of an SDXL model: of the loaded one, else of what its header or names declare.

    Pony and Illustrious keep their names (and tags) where zero terminal SNR tells how to sample them.
    """
    stated = evidence.metadata.get("modelspec.prediction_type") in V_PREDICTION_NAMES
    told = next((text for _, text, _ in texts if re.search(_VPRED, words_of(text))), None)
    declared = evidence.prediction is None and (stated or told is not None)
    if not declared and evidence.prediction != "v_prediction":
        # The loaded model is no v-prediction model, whatever it is called.
        if evidence.prediction == "epsilon" and named and named.family is Family.NOOBAI_VPRED:
            return replace(named, family=Family.NOOBAI, reason=f"{named.reason}, but it predicts noise")
        return None
    high = (evidence.sigma_max or 0) > ZSNR_SIGMA
    if architecture is not _SDXL and not (architecture is Architecture.UNKNOWN and (high or declared)):
        return None
    zsnr = high or evidence.sigma_max is None
    if zsnr and named and named.family in (Family.PONY, Family.ILLUSTRIOUS):
        return replace(named, zsnr=True, reason=f"{named.reason}, and it predicts v")
    noob = named is not None and named.family in (Family.NOOBAI, Family.NOOBAI_VPRED)
    if declared:
        source = f"'{told[:80]}'" if told else "its header"
        reason = f"{source} says v-prediction, which NoobAI v-pred is known for"
    else:
        reason = f"it predicts v, {_schedule(evidence)}, as NoobAI v-pred does"
    return FamilyFinding(Family.NOOBAI_VPRED, _SDXL, (0.95 if noob else 0.8) - 0.1 * declared, reason, zsnr)


def _chosen_by_user(
    evidence: ModelEvidence, architecture: Architecture, distilled: FamilyFinding | None
) -> FamilyFinding:
    chosen = _FAMILY_ARCHITECTURE.get(evidence.family, architecture)
    assumed = evidence.family is Family.NOOBAI_VPRED and evidence.sigma_max is None
    variant = distilled.variant if distilled and distilled.family is evidence.family else ""
    return FamilyFinding(evidence.family, chosen, 1.0, "chosen by you", assumed, variant=variant)


def _bare(architecture: Architecture) -> FamilyFinding:
    """What is left where neither sampling nor a name tells anything."""
    family = _ARCHITECTURE_FAMILY.get(architecture, Family.UNKNOWN)
    if family is Family.SDXL:
        reason = "its weights are shaped like SDXL's, and nothing tells which fine-tune it is"
        return FamilyFinding(family, architecture, BARE_SDXL, reason)
    if family is not Family.UNKNOWN:
        return FamilyFinding(family, architecture, 0.9, f"its weights are shaped like {TITLES[family]}'s")
    if architecture is Architecture.UNKNOWN:
        return FamilyFinding(family, architecture, 0.0, "neither its name nor its file tells what it is")
    what = "neither SD 1.5, SD 2 nor SDXL" if architecture is Architecture.OTHER else f"a {architecture.upper()} model"
    return FamilyFinding(family, architecture, 0.0, f"it is {what}, for which no settings are known")


def _schedule(evidence: ModelEvidence) -> str:
    if evidence.sigma_max is None:
        return "from an unknown noise level"
    zero = " (zero terminal SNR)" if evidence.sigma_max > ZSNR_SIGMA and evidence.prediction != "edm" else ""
    return f"from noise level {evidence.sigma_max:g}{zero}"


def _few_steps(evidence: ModelEvidence) -> int | None:
    return next((steps for text in (evidence.name, evidence.base_model or "") if (steps := steps_in(text))), None)


def _texts(evidence: ModelEvidence) -> list[tuple[str, str, float]]:
    """(what it is, text, how far to trust it), the most trusted first."""
    header = evidence.metadata
    texts = [
        ("the title in its header", header.get("modelspec.title", ""), 0.95),
        ("the model it was trained from", header.get("ss_sd_model_name", ""), 0.95),
        ("its base model", evidence.base_model or "", 1.0),
        ("its name", evidence.name.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".safetensors"), 0.9),
    ]
    return [(source, text, trust) for source, text, trust in texts if text]


def _architecture(evidence: ModelEvidence, texts: list[str]) -> Architecture:
    if evidence.architecture is not Architecture.UNKNOWN:
        return evidence.architecture
    header = [evidence.metadata.get(key, "") for key in ("modelspec.architecture", "ss_base_model_version")]
    found = (architecture_of(text) for text in [*header, *texts] if text)
    return next((item for item in found if item is not Architecture.UNKNOWN), Architecture.UNKNOWN)
