"""The table of families (`families.json`): what model cards and peers use, by family, look and priority."""

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
"""The row whose sampling is used for any undistilled model with zero terminal SNR."""

LOOKS = {
    ArtisticStyle.PHOTOREALISTIC: "photo",
    ArtisticStyle.ANIME: "anime",
    ArtisticStyle.CARTOON: "anime",
}
VARIANTS = ("guided", "merge")
"""Looks that `FamilyFinding.variant` asks for, whatever the style."""

_BASES = {Architecture.SD1: Family.SD15, Architecture.SD2: Family.SD15}
"""What a distilled model of an older architecture takes its size from: SD Turbo and LCM for SD 1.5 both paint 512²."""


@dataclass(frozen=True)
class Profile:
    """What a family is sampled with."""

    family: Family
    priority: Priority
    steps: int
    cfg: float
    sampler: str
    """ComfyUI's name."""
    scheduler: str
    """ComfyUI's name; where `schedule` is set, the core scheduler that comes nearest to it."""
    source: str
    """Where the row comes from."""
    complex_steps: int | None = None
    """Steps for a prompt that the picture has much to hold of; None: the same."""
    schedule: str | None = None
    """Name of an explicit schedule (`AYS_TABLES`), or None."""
    rescale_cfg: float = 0.0
    cfg_cutoff_sigma: float = 0.0
    """Sigma from which on guidance is left out; 0: never."""
    native: str = "sdxl"
    """`sdxl` (buckets around 1024²), `768` or `512`."""
    quality_tags: tuple[str, ...] = ()
    quality_front: bool = False
    """Whether the quality tags have to start the prompt."""
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
    few_steps: int | None = None,
    zsnr: bool = False,
    path: str | Path | None = None,
    variant: str = "",
) -> Profile:
    """The row of the table for a family, the look of a prompt and a priority.

    Args:
        few_steps: the step count that a distilled checkpoint was made for.
        zsnr: zero terminal SNR; an undistilled model then takes the v-prediction row's sampling.
        path: a JSON file like `families.json` whose families stand in place of the built-in ones; one that does not
            exist changes nothing.
        variant: see `FamilyFinding.variant`.

    Raises:
        InvalidInputError: `path` cannot be read or lacks a value.
    """
    families = family_table(path)
    found = _row(family, variant or LOOKS.get(style, "default") if style else variant, priority, families)
    if found.fixed:
        scheduler = "sgm_uniform" if zsnr and found.scheduler not in ZSNR_SCHEDULERS else found.scheduler
        only = None if few_steps else found.step_range
        return replace(found, steps=few_steps or found.steps, step_range=only, scheduler=scheduler, zsnr=zsnr)
    if not zsnr and family is not ZSNR_STAND_IN:
        return found
    sampling = replace(_row(ZSNR_STAND_IN, "", priority, families), family=family, zsnr=True)
    return _dressed(replace(sampling, native=found.native), found)


def profile_for(
    finding: FamilyFinding,
    style: ArtisticStyle | None = None,
    priority: Priority = Priority.BALANCED,
    path: str | Path | None = None,
) -> Profile:
    """The row for what is known of a model. A distilled one keeps the tags of the family that it came from.

    Raises like `profile`.
    """
    row = find_profile(finding.family, style, priority, finding.few_steps, finding.zsnr, path, finding.variant)
    if not row.fixed:
        return row
    if base := _BASES.get(finding.architecture):
        return replace(row, native=find_profile(base, path=path).native)
    return row if finding.base is Family.UNKNOWN else _dressed(row, find_profile(finding.base, path=path))


def _dressed(row: Profile, base: Profile) -> Profile:
    """`row` with the prompt's words of `base`."""
    return replace(
        row,
        quality_tags=base.quality_tags,
        quality_front=base.quality_front,
        negative_hints=base.negative_hints,
    )


def _row(family: Family, look: str, priority: Priority, families: Mapping[Family, FamilyEntry]) -> Profile:
    entry = families[family]
    rows = entry.looks.get(look, entry.looks["default"])
    row: SettingsRow = getattr(rows, priority.value) or rows.BALANCED
    compared = rows.range or entry.range
    return Profile(
        family=family,
        priority=priority,
        steps=row.steps,
        cfg=row.cfg,
        sampler=row.sampler,
        scheduler=row.scheduler,
        source=row.source,
        complex_steps=row.complex_steps,
        schedule=row.schedule,
        rescale_cfg=row.rescale_cfg,
        cfg_cutoff_sigma=row.cfg_cutoff_sigma,
        native=row.native or entry.native,
        quality_tags=entry.quality_tags,
        quality_front=entry.quality_front,
        negative_hints=entry.negative_hints,
        fixed=entry.fixed,
        step_range=compared.steps,
        cfg_range=compared.cfg,
        samplers=compared.samplers,
        schedulers=compared.schedulers,
    )
