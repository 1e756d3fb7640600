"""The profile of the table that settings start from: by the model, the LoRAs on it, and the prompt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..models import Architecture, Family, FamilyFinding, LoRAKind, ModelEvidence, identify_family
from ..models.family_detection import SHAPE_CONFIDENCE
from ..models.kinds import DISTILLED, TITLES
from ..models.name_patterns import match_family, names_speed_lora
from ..records import Reason, Source
from .parameter_messages import ParameterMessage
from .parameters import ParameterRequest
from .profiles import Profile, profile_for

LORA_CONFIDENCE = 0.45
TAGS_CONFIDENCE = 0.4
"""Confidence in a family that only the LoRAs' family, or the prompt's quality tags, speak for."""

_INFERABLE = frozenset({Family.PONY, Family.ILLUSTRIOUS, Family.NOOBAI})
"""Families that LoRAs and tags are particular to. SDXL's own LoRAs are used with them all, and v-prediction is a trait
of the model that no LoRA or tag shows."""


def choose_profile(
    request: ParameterRequest, table: Path | None = None
) -> tuple[FamilyFinding, Profile, dict[str, Reason]]:
    """Return the family of the request's model, its profile, or that of a few-step LoRA, and the reasons by setting.

    Raises InvalidInputError for a user's table that cannot be used.
    """
    evidence = request.model or ModelEvidence()
    style, priority = request.analysis.intent.artistic_style, request.constraints.priority
    finding = identify_family(evidence)
    reason = _family_reason(
        finding,
        Source.USER if evidence.family is not Family.UNKNOWN else Source.MODEL,
        ParameterMessage.FAMILY_UNKNOWN if finding.family is Family.UNKNOWN else ParameterMessage.FAMILY,
        evidence=finding.reason,
    )
    if finding.confidence <= SHAPE_CONFIDENCE and finding.architecture in (Architecture.UNKNOWN, Architecture.SDXL):
        finding, reason = infer_from_loras_and_tags(request, finding) or (finding, reason)
    profile = profile_for(finding, style, priority, table)
    reasons = {"family": reason}
    few_step = None if profile.fixed else _few_step_lora(request, evidence)
    if few_step is not None:
        name, distilled = few_step
        distilled = replace(distilled, architecture=finding.architecture, base=finding.family, zsnr=finding.zsnr)
        reasons["few-step LoRA"] = Reason.of(
            "few-step LoRA",
            Source.LORA,
            ParameterMessage.FEW_STEP_LORA,
            value=distilled.family.value,
            otherwise=f"{profile.steps} steps, cfg {profile.cfg:g}, {profile.sampler}, as for {TITLES[profile.family]}",
            weight=distilled.confidence,
            lora=name,
            family=TITLES[distilled.family],
        )
        # The LoRA decides how to sample; the model under it, at which size.
        profile = replace(profile_for(distilled, style, priority, table), native=profile.native)
    return finding, profile, reasons


def infer_from_loras_and_tags(request: ParameterRequest, finding: FamilyFinding) -> tuple[FamilyFinding, Reason] | None:
    """Return the family that the applied LoRAs were made for, else the one whose quality tags the prompt uses."""
    made_for = [(lora.lora_metadata.name, lora.lora_metadata.family) for lora in request.loras]
    for name in request.model.loras if request.model else ():
        if match := match_family(name, Architecture.SDXL, DISTILLED):
            made_for.append((name, match.family))
    for name, family in made_for:
        if family in _INFERABLE:
            finding = replace(finding, family=family, confidence=LORA_CONFIDENCE)
            return finding, _family_reason(finding, Source.LORA, ParameterMessage.FAMILY_BY_LORA, lora=name)
    if request.analysis.quality_family in list(_INFERABLE):
        finding = replace(finding, family=Family(request.analysis.quality_family), confidence=TAGS_CONFIDENCE)
        return finding, _family_reason(finding, Source.PROMPT, ParameterMessage.FAMILY_BY_TAGS)
    return None


def _family_reason(finding: FamilyFinding, source: Source, message: ParameterMessage, **arguments: Any) -> Reason:
    title, family, weight = TITLES[finding.family], finding.family.value, finding.confidence
    return Reason.of("family", source, message, value=family, weight=weight, family=title, **arguments)


def _few_step_lora(request: ParameterRequest, evidence: ModelEvidence) -> tuple[str, FamilyFinding] | None:
    """The first few-step LoRA: among the chosen ones, else among those that the host has on the model already."""
    for lora in (each.lora_metadata for each in request.loras):
        if lora.lora_kind is LoRAKind.SPEED:
            named = identify_family(ModelEvidence(name=lora.name, architecture=lora.architecture))
            family = lora.family if lora.family in DISTILLED else named.family
            if family in DISTILLED:
                return lora.name, replace(named, family=family)
    for name in evidence.loras:
        named = identify_family(ModelEvidence(name=name, architecture=Architecture.SDXL))
        if names_speed_lora(name) and named.family in DISTILLED:
            return name, named
    return None
