"""Which row of the table holds: by the model, the LoRAs on it, and the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from ..config import Priority
from ..models import Architecture, Family, FamilyFinding, LoRAKind, ModelEvidence, ModelMetadata, identify_family
from ..models.architecture import SPEED_NAME
from ..models.family import BARE_SDXL, DISTILLED, TITLES, match_family
from ..models.sanitize import words_of
from ..prompt import PromptAnalysis
from ..records import Reason
from .profiles import Profile, profile_for

BY_LORA = 0.45
BY_TAGS = 0.4
"""Confidence in a family that only the LoRAs' family, or the prompt's quality tags, speak for."""


class LoRALike(Protocol):
    """A chosen LoRA, as far as the settings depend on it."""

    lora_metadata: ModelMetadata


def row_for(
    analysis: PromptAnalysis,
    priority: Priority,
    model: ModelEvidence | None,
    loras: Sequence[LoRALike],
    path: Path | None = None,
) -> tuple[FamilyFinding, Profile, dict[str, Reason]]:
    """The family, its row of the table, and why. A few-step LoRA puts its own row in place of the model's.

    Raises InvalidInputError for a user's table that cannot be used.
    """
    evidence = model or ModelEvidence()
    finding = identify_family(evidence)
    on_model = [lora.lora_metadata for lora in loras]
    if finding.confidence <= BARE_SDXL and finding.architecture in (Architecture.UNKNOWN, Architecture.SDXL):
        finding = _from_company(analysis, on_model, evidence, finding)
    style = analysis.intent.artistic_style
    row = profile_for(finding, style, priority, path)
    text = f"{TITLES[finding.family]}: {finding.reason}"
    if finding.family is Family.UNKNOWN:
        text = f"unknown: {finding.reason}. Safe defaults are used; name the family to get its own"
    reasons = {"family": Reason("family", text, finding.confidence)}
    speed = next((found for lora in on_model if (found := _speed(lora))), None) or _speed_by_name(evidence)
    if speed is not None and not row.fixed:
        name, few = speed
        few = replace(few, architecture=finding.architecture, base=finding.family, zsnr=finding.zsnr)
        otherwise = f"{row.steps} steps, cfg {row.cfg:g}, {row.sampler}, as for {TITLES[row.family]}"
        # The LoRA decides how to sample; the model under it, at which size.
        row = replace(profile_for(few, style, priority, path), native=row.native)
        text = f"the LoRA {name} makes it a {TITLES[few.family]} model, which has to be sampled as one"
        reasons["few-step LoRA"] = Reason("few-step LoRA", text, few.confidence, otherwise)
    return finding, row, reasons


def _from_company(
    analysis: PromptAnalysis, loras: Sequence[ModelMetadata], evidence: ModelEvidence, finding: FamilyFinding
) -> FamilyFinding:
    """The family that the applied LoRAs were made for, else the one whose quality tags the prompt uses."""
    made_for = [(lora.name, lora.family) for lora in loras]
    named = ((name, match_family(name, Architecture.SDXL, DISTILLED)) for name in evidence.loras)
    made_for += [(name, row.family) for name, row in named if row]
    for name, family in made_for:
        if family in _TOLD_BY_COMPANY:
            reason = f"nothing of the model itself tells, but the LoRA {name} was made for {TITLES[family]}"
            return replace(finding, family=family, confidence=BY_LORA, reason=reason)
    if analysis.quality_family in list(_TOLD_BY_COMPANY):
        family = Family(analysis.quality_family)
        reason = f"nothing of the model itself tells, but the prompt uses {TITLES[family]}'s quality tags"
        return replace(finding, family=family, confidence=BY_TAGS, reason=reason)
    return finding


_TOLD_BY_COMPANY = frozenset({Family.PONY, Family.ILLUSTRIOUS, Family.NOOBAI})
"""Families that LoRAs and tags are particular to. SDXL's own LoRAs are used with them all; how v-prediction models
sample is known from the model, never from its company."""


def _speed(lora: ModelMetadata) -> tuple[str, FamilyFinding] | None:
    if lora.lora_kind is not LoRAKind.SPEED:
        return None
    named = identify_family(ModelEvidence(name=lora.name, architecture=lora.architecture))
    family = lora.family if lora.family in DISTILLED else named.family
    return (lora.name, replace(named, family=family)) if family in DISTILLED else None


def _speed_by_name(evidence: ModelEvidence) -> tuple[str, FamilyFinding] | None:
    """The first few-step LoRA among those that the host has on the model already."""
    for name in evidence.loras:
        found = identify_family(ModelEvidence(name=name, architecture=Architecture.SDXL))
        if SPEED_NAME.search(words_of(name)) and found.family in DISTILLED:
            return name, found
    return None
