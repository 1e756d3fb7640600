"""Profiles: the settings that model cards and other programs use, by family, look and priority."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..config import Priority
from ..models import Architecture, Family, FamilyFinding
from ..prompt import ArtisticStyle
from .family_table import FamilyEntry, SettingsRow, family_table
from .schedules import ZSNR_SCHEDULERS

ZSNR_STAND_IN = Family.NOOBAI_VPRED
"""Family whose sampling is used for any undistilled model with zero terminal SNR."""

STYLE_LOOKS = {
    ArtisticStyle.PHOTOREALISTIC: "photo",
    ArtisticStyle.ANIME: "anime",
    ArtisticStyle.CARTOON: "anime",
}
"""Style of a prompt → look of the table. Styles that are not listed have the default look."""

_DISTILLED_BASES = {Architecture.SD1: Family.SD15, Architecture.SD2: Family.SD15}
"""Architecture of a distilled model → family with its native size: SD Turbo and LCM for SD 1.5 both paint 512²."""


@dataclass(frozen=True)
class Profile:
    """Settings that a family is sampled with, and its words for prompts."""

    family: Family
    priority: Priority
    steps: int
    cfg: float
    sampler: str
    """ComfyUI's name."""
    scheduler: str
    """ComfyUI's name; where `schedule` is set, the core scheduler that comes nearest to it."""
    source: str
    """Model card, paper or program that uses these settings."""
    complex_steps: int | None = None
    """Steps for a complex prompt; None: the same."""
    schedule: str | None = None
    """Name of an explicit schedule (`AYS_TABLES`), or None."""
    rescale_cfg: float = 0.0
    cfg_cutoff_sigma: float = 0.0
    """Guidance is off at this sigma and below; 0: never."""
    native: str = "sdxl"
    """`sdxl` (buckets around 1024²), `768` or `512`."""
    quality_tags: tuple[str, ...] = ()
    quality_front: bool = False
    """Quality tags have to start the prompt."""
    negative_hints: tuple[str, ...] = ()
    fixed: bool = False
    """Distilled: steps and cfg must stay what they are, whatever the budget."""
    zsnr: bool = False
    step_range: tuple[int, int] | None = None
    """Steps worth comparing; None: only `steps`."""
    cfg_range: tuple[float, float] | None = None
    samplers: tuple[str, ...] = ()
    """Samplers worth comparing."""
    schedulers: tuple[str, ...] = ()


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

    Raises:
        InvalidInputError: `table` cannot be read or holds a wrong value.
    """
    families = family_table(table)
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
    return replace(
        profile,
        quality_tags=base.quality_tags,
        quality_front=base.quality_front,
        negative_hints=base.negative_hints,
    )


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
        fixed=entry.fixed,
        step_range=compared.steps,
        cfg_range=compared.cfg,
        samplers=compared.samplers,
        schedulers=compared.schedulers,
    )
