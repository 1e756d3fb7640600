"""The table of families (`families.json`): what model cards and peers use, by family, look and priority."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..config import Priority, is_number, require
from ..errors import InvalidInputError
from ..models import Architecture, Family, FamilyFinding
from ..prompt import ArtisticStyle
from .resolution import NATIVE_SIDES
from .samplers import SAMPLER_NAMES
from .schedules import AYS_TABLES, SCHEDULER_NAMES, ZSNR_SCHEDULERS

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
    families = _table(path)
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


def _row(family: Family, look: str, priority: Priority, families: Mapping[str, Any]) -> Profile:
    entry = families[family.value]
    looks = entry["looks"]
    rows = looks.get(look, looks["default"])
    row = rows.get(priority.value, rows["BALANCED"])
    span = rows.get("range", entry.get("range", {}))
    return Profile(
        family=family,
        priority=priority,
        steps=row["steps"],
        cfg=float(row["cfg"]),
        sampler=row["sampler"],
        scheduler=row["scheduler"],
        source=row["source"],
        complex_steps=row.get("complex_steps"),
        schedule=row.get("schedule"),
        rescale_cfg=row.get("rescale_cfg", 0.0),
        cfg_cutoff_sigma=row.get("cfg_cutoff_sigma", 0.0),
        native=row.get("native", entry["native"]),
        quality_tags=tuple(entry.get("quality_tags", ())),
        quality_front=entry.get("quality_front", False),
        negative_hints=tuple(entry.get("negative_hints", ())),
        fixed=entry.get("fixed", False),
        step_range=tuple(span["steps"]) if "steps" in span else None,
        cfg_range=tuple(span["cfg"]) if "cfg" in span else None,
        samplers=tuple(span.get("samplers", ())),
        schedulers=tuple(span.get("schedulers", ())),
    )


def _table(path: str | Path | None) -> Mapping[str, Any]:
    built_in = _parsed((files(__package__) / "families.json").read_text(encoding="utf-8"), "families.json")
    if path is None:
        return built_in
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return built_in
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"cannot read the table of families {path}: {error}") from None
    return {**built_in, **_parsed(text, str(path))}


@lru_cache(maxsize=8)
def _parsed(text: str, name: str) -> Mapping[str, Any]:
    """The families of a table, each checked. Raises InvalidInputError that names file, family and value."""
    try:
        families = json.loads(text)["families"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInputError(f"{name} is no table of families ({error}): it needs an object `families`") from None
    require(isinstance(families, dict), f"{name}: `families` must be an object")
    for family, entry in families.items():
        where = f"{name}: {family}"
        require(family in list(Family), f"{where}: no such family; known: {', '.join(Family)}")
        _check(entry, _ENTRY, where)
        require("default" in entry["looks"], f"{where}: needs `looks` with a `default`")
        for look, rows in entry["looks"].items():
            require(look in _LOOK_NAMES, f"{where}: {look}: no such look; known: {', '.join(_LOOK_NAMES)}")
            require(isinstance(rows, dict) and "BALANCED" in rows, f"{where}: {look}: needs a row BALANCED")
            for priority, row in rows.items():
                known = ", ".join((*Priority, "range"))
                require(priority in (*Priority, "range"), f"{where}: {look}: {priority} is none of {known}")
                _check(row, _RANGE if priority == "range" else _ROW, f"{where}: {look}: {priority}")
        _check(entry.get("range", {}), _RANGE, f"{where}: range")
    return families


_LOOK_NAMES = ("default", *dict.fromkeys(LOOKS.values()), *VARIANTS)

Rules = Mapping[str, tuple[bool, Callable[[Any], bool]]]
"""Key → (whether it is needed, what its value must be)."""


def _check(values: Any, rules: Rules, where: str) -> None:
    """Raise InvalidInputError that names `where` and the key, unless `values` is an object that keeps the rules."""
    require(isinstance(values, dict), f"{where}: must be an object")
    for key in values:
        require(key in rules, f"{where}: `{key}` is not known; known: {', '.join(rules)}")
    for key, (needed, fits) in rules.items():
        holds = fits(values[key]) if key in values else not needed
        require(holds, f"{where}: `{key}` is missing or wrong: {values.get(key)!r}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_steps(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1000


def _is_span(value: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(fits, value)) and value[0] <= value[1]


def _is_cfg(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 100


_ENTRY: Rules = {
    "native": (True, lambda value: isinstance(value, str) and value in NATIVE_SIDES),
    "looks": (True, lambda value: isinstance(value, dict)),
    "fixed": (False, lambda value: isinstance(value, bool)),
    "quality_tags": (False, _is_texts),
    "quality_front": (False, lambda value: isinstance(value, bool)),
    "negative_hints": (False, _is_texts),
    "tags_source": (False, _is_text),
    "range": (False, lambda value: isinstance(value, dict)),
}
_RANGE: Rules = {
    "steps": (False, lambda value: _is_span(value, _is_steps)),
    "cfg": (False, lambda value: _is_span(value, _is_cfg)),
    "samplers": (False, lambda value: _is_texts(value) and set(value) <= set(SAMPLER_NAMES)),
    "schedulers": (False, lambda value: _is_texts(value) and set(value) <= set(SCHEDULER_NAMES)),
}
_ROW: Rules = {
    "steps": (True, _is_steps),
    "complex_steps": (False, _is_steps),
    "cfg": (True, _is_cfg),
    "sampler": (True, lambda value: value in SAMPLER_NAMES),
    "scheduler": (True, lambda value: value in SCHEDULER_NAMES),
    "source": (True, _is_text),
    "schedule": (False, lambda value: value in (None, *AYS_TABLES)),
    "rescale_cfg": (False, lambda value: is_number(value) and 0 <= value <= 1),
    "cfg_cutoff_sigma": (False, lambda value: is_number(value) and value >= 0),
    "native": (False, lambda value: isinstance(value, str) and value in NATIVE_SIDES),
}
