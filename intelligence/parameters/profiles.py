"""Profiles: the settings that model cards and other programs use, by family, look and priority, and which one holds.

They stand in `families.json`, the built-in one and a user's own, whose families replace the built-in ones. Each row
names its source. Rows that cite a template of ComfyUI are compared with it by a test, as far as the installed package
holds it; FLUX 3, MOSS-Image and Qwen-Image 2.1 are newer, and theirs were read elsewhere. Of SD3.5 medium and large
turbo the cards were read as others quote them (40 steps, guidance 4.5; 4 steps, guidance 0); SD3 medium's sampler and
cfg are cited from memory: diffusers' StableDiffusion3Pipeline confirms its 28 steps alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from ..config import Priority, Settings, require
from ..models import Architecture, Family, FamilyFinding, LoRAKind, ModelEvidence, identify_family
from ..models.evidence import AppliedLoRA
from ..models.family_detection import SHAPE_CONFIDENCE
from ..models.kinds import DISTILLED, TITLES, UNETS
from ..models.name_patterns import match_family, names_speed_lora, steps_named
from ..prompt import ArtisticStyle
from ..records import Reason, Source
from ..validation import bounds, one_of, read_user_file
from .parameter_messages import ParameterMessage
from .parameters import MAX_CFG, MAX_SHIFT, MAX_STEPS, ParameterRequest
from .resolution import NATIVE_SIDES
from .samplers import SAMPLER_NAMES
from .schedules import EXPLICIT_SCHEDULES, SCHEDULER_NAMES, ZSNR_SCHEDULERS

LORA_CONFIDENCE = 0.45
TAGS_CONFIDENCE = 0.4
"""Confidence in a family that only the LoRAs' family, or the prompt's quality tags, speak for."""

_INFERABLE = frozenset({Family.PONY, Family.ILLUSTRIOUS, Family.NOOBAI})
"""Families that LoRAs and tags are particular to. SDXL's own LoRAs are used with them all, and v-prediction is a trait
of the model that no LoRA or tag shows."""

BUILT_IN = Path(__file__).with_name("families.json")

LOOK_NAMES = ("default", "photo", "anime", "guided", "merge", "speed", "flow", "embedded")
"""Looks that a family may have settings for: styles of pictures, then variants (`FamilyFinding.variant`); `speed` is
what a speed LoRA changes."""

SPEED = "speed"
MANY_FEW_STEPS = 8
"""Steps with a speed LoRA whose family lists none and whose name has no number."""

ZSNR_STAND_IN = Family.NOOBAI_VPRED
"""Family whose sampling is used for any undistilled model with zero terminal SNR."""

LCM_SAMPLING = "LCM"
"""Class of ComfyUI's that predicts as an LCM does."""

STYLE_LOOKS = {
    ArtisticStyle.PHOTOREALISTIC: "photo",
    ArtisticStyle.ANIME: "anime",
    ArtisticStyle.CARTOON: "anime",
}
"""Style of a prompt → look of the table. Styles that are not listed have the default look."""

_DISTILLED_BASES = {Architecture.SD1: Family.SD15, Architecture.SD2: Family.SD15}
"""Architecture of a distilled model → family with its native size: SD Turbo and LCM for SD 1.5 both paint 512²."""


@dataclass
class SettingsRow(Settings):
    """Sampling settings of one look and priority."""

    steps: Annotated[int, bounds(ge=1, le=MAX_STEPS)]
    cfg: Annotated[float, bounds(ge=0, le=MAX_CFG)]
    sampler: Annotated[str, one_of(SAMPLER_NAMES)]
    scheduler: Annotated[str, one_of(SCHEDULER_NAMES)]
    source: Annotated[str, bounds(min_length=1)]
    """Model card, paper or program that uses these settings."""
    complex_steps: Annotated[int, bounds(ge=1, le=MAX_STEPS)] | None = None
    schedule: Annotated[str, one_of(EXPLICIT_SCHEDULES)] | None = None
    rescale_cfg: Annotated[float, bounds(ge=0, le=1)] = 0.0
    cfg_cutoff_sigma: Annotated[float, bounds(ge=0)] = 0.0
    guidance: Annotated[float, bounds(ge=0, le=MAX_CFG)] | None = None
    """Guidance value that the network reads; None: it reads none."""
    shift: Annotated[float, bounds(gt=0, le=MAX_SHIFT)] | None = None
    """Shift of the flow schedule; None: the model's own."""
    native: Annotated[str, one_of(NATIVE_SIDES)] | None = None
    """None: the family's."""


@dataclass
class SettingsRange(Settings):
    """Settings worth comparing with a row's. None or empty: none."""

    steps: tuple[int, int] | None = None
    cfg: tuple[float, float] | None = None
    samplers: tuple[Annotated[str, one_of(SAMPLER_NAMES)], ...] = ()
    schedulers: tuple[Annotated[str, one_of(SCHEDULER_NAMES)], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, span, low, high in (("steps", self.steps, 1, MAX_STEPS), ("cfg", self.cfg, 0, MAX_CFG)):
            require(
                span is None or low <= span[0] <= span[1] <= high,
                f"{name} must be the smallest and largest value, from {low} to {high}, got {span}",
            )


@dataclass
class Look(Settings):
    """Rows by priority; BALANCED stands in for one that is missing."""

    BALANCED: SettingsRow
    SPEED: SettingsRow | None = None
    QUALITY: SettingsRow | None = None
    range: SettingsRange | None = None
    """None: the family's."""


@dataclass
class FamilyEntry(Settings):
    """Looks, words for prompts and traits of a family."""

    native: Annotated[str, one_of(NATIVE_SIDES)]
    looks: dict[Annotated[str, one_of(LOOK_NAMES)], Look]
    fixed: bool = False
    quality_tags: tuple[Annotated[str, bounds(min_length=1)], ...] = ()
    quality_front: bool = False
    negative_hints: tuple[Annotated[str, bounds(min_length=1)], ...] = ()
    tags_source: str = ""
    range: SettingsRange = field(default_factory=SettingsRange)

    def __post_init__(self) -> None:
        super().__post_init__()
        require("default" in self.looks, "looks.default is missing")


@dataclass
class FamilyTable(Settings):
    """All families of a file."""

    families: dict[Family, FamilyEntry]


@dataclass(frozen=True)
class Profile:
    """Settings that a family is sampled with, and its words for prompts."""

    family: Family
    priority: Priority
    steps: int
    cfg: float
    sampler: str
    scheduler: str
    """The core scheduler that comes nearest to `schedule`, where that is set."""
    source: str
    complex_steps: int | None = None
    """Steps for a complex prompt; None: the same."""
    schedule: str | None = None
    """Name of an explicit schedule (`EXPLICIT_SCHEDULES`), or None."""
    rescale_cfg: float = 0.0
    cfg_cutoff_sigma: float = 0.0
    """Guidance is off at this sigma and below; 0: never."""
    guidance: float | None = None
    """Guidance value that the network reads; None: it reads none."""
    shift: float | None = None
    """Shift of the flow schedule; None: the model's own."""
    native: str = "sdxl"
    """Sizes that it was trained at, see `NATIVE_SIDES`."""
    quality_tags: tuple[str, ...] = ()
    quality_front: bool = False
    """Quality tags have to start the prompt."""
    negative_hints: tuple[str, ...] = ()
    fixed: bool = False
    """Distilled: steps and cfg must stay what they are, whatever the budget."""
    zsnr: bool = False
    step_range: tuple[int, int] | None = None
    """Steps worth comparing, as are the next three; None: only `steps`."""
    cfg_range: tuple[float, float] | None = None
    samplers: tuple[str, ...] = ()
    schedulers: tuple[str, ...] = ()


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
    if not profile.fixed and (few_step := _few_step(request, evidence, finding, profile, table)):
        profile, reasons["few-step"] = few_step
    return finding, profile, reasons


def _few_step(
    request: ParameterRequest, evidence: ModelEvidence, finding: FamilyFinding, usual: Profile, table: Path | None
) -> tuple[Profile, Reason] | None:
    """The profile that a few-step LoRA or a sampling patch on the model makes of the usual one, and the reason; None:
    there is no such."""
    style, priority = request.analysis.intent.artistic_style, request.constraints.priority
    if finding.architecture in (*UNETS, Architecture.UNKNOWN):
        found = _few_step_lora(request, evidence) or _few_step_sampling(evidence)
        if found is None:
            return None
        name, distilled = found
        distilled = replace(distilled, architecture=finding.architecture, base=finding.family, zsnr=finding.zsnr)
        message = ParameterMessage.FEW_STEP_LORA if name else ParameterMessage.FEW_STEP_SAMPLING
        family, weight = distilled.family, distilled.confidence
        # The LoRA decides how to sample; the model under it, at which size.
        profile = replace(profile_for(distilled, style, priority, table), native=usual.native)
    else:
        name = next((each.name for each in _speed_loras(request, evidence)), "")
        if not name:
            return None
        message, family, weight = ParameterMessage.SPEED_LORA, finding.family, 0.9
        few_steps = steps_named(name)
        profile = profile_for(replace(finding, variant=SPEED, few_steps=few_steps), style, priority, table)
        if not profile.fixed:  # the family lists none
            profile = replace(usual, steps=few_steps or MANY_FEW_STEPS, cfg=1.0, fixed=True, schedule=None)
    arguments: dict[str, Any] = {"family": TITLES[family], "steps": profile.steps, "cfg": profile.cfg}
    reason = Reason.of(
        *("few-step LoRA", Source.LORA, message) if name else ("few-step sampling", Source.USER, message),
        value=family.value,
        otherwise=f"{usual.steps} steps, cfg {usual.cfg:g}, {usual.sampler}, as for {TITLES[usual.family]}",
        weight=weight,
        **arguments | ({"lora": name} if name else {}),
    )
    return profile, reason


class _SpeedLoRA(NamedTuple):
    name: str
    family: Family
    """By its record; UNKNOWN: it has none."""
    architecture: Architecture = Architecture.SDXL


def _speed_loras(request: ParameterRequest, evidence: ModelEvidence) -> Iterator[_SpeedLoRA]:
    """Speed LoRAs: the chosen ones, then those that the host has on the model already, by their records or names."""
    for lora in (each.lora_metadata for each in request.loras):
        if lora.lora_kind is LoRAKind.SPEED:
            yield _SpeedLoRA(lora.name, lora.family, lora.architecture)
    records = {each.name: each for each in evidence.applied}
    for name in evidence.loras:
        record = records.get(name, AppliedLoRA())
        if record.kind is LoRAKind.SPEED or names_speed_lora(name):
            yield _SpeedLoRA(name, record.family)


def _few_step_lora(request: ParameterRequest, evidence: ModelEvidence) -> tuple[str, FamilyFinding] | None:
    """The first speed LoRA of a distilled family."""
    for lora in _speed_loras(request, evidence):
        named = identify_family(ModelEvidence(name=lora.name, architecture=lora.architecture))
        family = lora.family if lora.family in DISTILLED else named.family
        if family in DISTILLED:
            return lora.name, replace(named, family=family)
    return None


def _few_step_sampling(evidence: ModelEvidence) -> tuple[str, FamilyFinding] | None:
    """The family as which a node has the MODEL sampled (ComfyUI's ModelSamplingDiscrete), without a LoRA's name."""
    for patch in evidence.patches:
        if patch.slot == "model_sampling" and LCM_SAMPLING in patch.name.split("+"):
            return "", FamilyFinding(Family.LCM, evidence.architecture, 0.9, patch.name)
    return None


def infer_from_loras_and_tags(request: ParameterRequest, finding: FamilyFinding) -> tuple[FamilyFinding, Reason] | None:
    """Return the family that the applied LoRAs were made for, else the one whose quality tags the prompt uses."""
    made_for = [(lora.lora_metadata.name, lora.lora_metadata.family) for lora in request.loras]
    made_for += [(lora.name, lora.family) for lora in (request.model.applied if request.model else ())]
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


def find_profile(
    family: Family,
    style: ArtisticStyle | None = None,
    priority: Priority = Priority.BALANCED,
    *,
    few_steps: int | None = None,
    zsnr: bool = False,
    variant: str = "",
    table: Path | None = None,
) -> Profile:
    """Return the profile of a family for the style of a prompt and a priority.

    Args:
        few_steps: the step count that a distilled checkpoint was made for.
        zsnr: zero terminal SNR; an undistilled model then takes the v-prediction family's sampling.
        variant: see `FamilyFinding.variant`.
        table: a JSON file like `families.json` whose families stand in place of the built-in ones. It need not exist.

    Raises InvalidInputError where `table` cannot be read or holds a wrong value.
    """
    families = _families(table)
    look = variant or (STYLE_LOOKS.get(style, "default") if style else "default")
    found = _profile(family, look, priority, families)
    if found.fixed:
        scheduler = "sgm_uniform" if zsnr and found.scheduler not in ZSNR_SCHEDULERS else found.scheduler
        steps, step_range = (few_steps, None) if few_steps else (found.steps, found.step_range)
        return replace(found, steps=steps, step_range=step_range, scheduler=scheduler, zsnr=zsnr)
    if not zsnr and family is not ZSNR_STAND_IN:
        return found
    sampling = replace(_profile(ZSNR_STAND_IN, "default", priority, families), family=family, zsnr=True)
    return _with_words_of(found, replace(sampling, native=found.native))


def profile_for(
    finding: FamilyFinding,
    style: ArtisticStyle | None = None,
    priority: Priority = Priority.BALANCED,
    table: Path | None = None,
) -> Profile:
    """Return the profile of an identified model. A distilled one keeps the tags of the family that it came from.

    Raises like `find_profile`.
    """
    profile = find_profile(
        finding.family,
        style,
        priority,
        few_steps=finding.few_steps,
        zsnr=finding.zsnr,
        variant=finding.variant,
        table=table,
    )
    if not profile.fixed:
        return profile
    if base := _DISTILLED_BASES.get(finding.architecture):
        return replace(profile, native=find_profile(base, table=table).native)
    if finding.base is Family.UNKNOWN:
        return profile
    return _with_words_of(find_profile(finding.base, table=table), profile)


def _with_words_of(base: Profile, profile: Profile) -> Profile:
    words = ("quality_tags", "quality_front", "negative_hints")
    return replace(profile, **{name: getattr(base, name) for name in words})


def _profile(family: Family, look: str, priority: Priority, families: Mapping[Family, FamilyEntry]) -> Profile:
    entry = families[family]
    rows = entry.looks.get(look, entry.looks["default"])
    row: SettingsRow = getattr(rows, priority.value) or rows.BALANCED
    compared = rows.range or entry.range
    return Profile(
        family=family,
        priority=priority,
        **vars(row) | {"native": row.native or entry.native},
        quality_tags=entry.quality_tags,
        quality_front=entry.quality_front,
        negative_hints=entry.negative_hints,
        fixed=entry.fixed or (look == SPEED and SPEED in entry.looks),
        step_range=compared.steps,
        cfg_range=compared.cfg,
        samplers=compared.samplers,
        schedulers=compared.schedulers,
    )


def _families(path: Path | None) -> Mapping[Family, FamilyEntry]:
    tables = (read_user_file(file, FamilyTable) for file in (BUILT_IN, path) if file)
    return {family: entry for table in tables if table for family, entry in table.families.items()}
