"""Records of `families.json`, the built-in one and a user's own, whose families replace the built-in ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from ..config import Settings, require
from ..models import Family
from ..validation import bounds, one_of, read_user_file
from .parameters import MAX_CFG, MAX_STEPS
from .resolution import NATIVE_SIDES
from .samplers import SAMPLER_NAMES
from .schedules import AYS_TABLES, SCHEDULER_NAMES

BUILT_IN = Path(__file__).with_name("families.json")

LOOK_NAMES = ("default", "photo", "anime", "guided", "merge")
"""Looks that a family may have settings for: styles of pictures, then variants of its checkpoints."""


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
    schedule: Annotated[str, one_of(AYS_TABLES)] | None = None
    rescale_cfg: Annotated[float, bounds(ge=0, le=1)] = 0.0
    cfg_cutoff_sigma: Annotated[float, bounds(ge=0)] = 0.0
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
    """The whole file."""

    families: dict[Family, FamilyEntry]


def family_table(path: str | Path | None = None) -> Mapping[Family, FamilyEntry]:
    """Return the built-in families, replaced by those of the file at `path`, if there is one.

    Raises:
        InvalidInputError: the file cannot be read or holds a wrong value; names file and place.
    """
    tables = (read_user_file(Path(file), FamilyTable) for file in (BUILT_IN, path) if file)
    return {family: entry for table in tables if table for family, entry in table.families.items()}
