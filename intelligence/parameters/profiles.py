"""The table of families (`families.json`): what model cards and peers use, by family, look and priority."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..config import Priority, is_number, require
from ..errors import InvalidInputError
from ..prompt import ArtisticStyle
from ..registry import Family

ZSNR_STAND_IN = Family.NOOBAI_VPRED
"""The row whose sampling is used for any undistilled model with zero terminal SNR."""

ZSNR_SCHEDULERS = frozenset({"normal", "simple", "sgm_uniform", "ddim_uniform"})
"""Schedulers that follow the model's own steps. The others would spend most steps above sigma 60 there: karras-10 6 of
10 [measured at sigma_max 4518.8]."""

LOOKS = {
    ArtisticStyle.PHOTOREALISTIC: "photo",
    ArtisticStyle.ANIME: "anime",
    ArtisticStyle.CARTOON: "anime",
}

AYS_TABLES: dict[str, tuple[float, ...]] = {
    "ays": (14.615, 6.318, 3.768, 2.181, 1.341, 0.862, 0.555, 0.380, 0.233, 0.111, 0.029),
    "ays_sd1": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
}
"""Align Your Steps (arXiv 2404.14507), 10 steps, before the last sigma is put to 0: SDXL and SD 1.5."""


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
    schedule: str | None = None
    """Name of an explicit schedule (`AYS_TABLES`), or None."""
    rescale_cfg: float = 0.0
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


def profile(
    family: Family,
    style: ArtisticStyle | None = None,
    priority: Priority = Priority.BALANCED,
    few_steps: int | None = None,
    zsnr: bool = False,
    path: str | Path | None = None,
) -> Profile:
    """The row of the table for a family, the look of a prompt and a priority.

    Args:
        few_steps: the step count that a distilled checkpoint was made for.
        zsnr: zero terminal SNR; an undistilled model then takes the v-prediction row's sampling.
        path: a JSON file like `families.json` whose families are used before the built-in ones.

    Raises:
        InvalidInputError: `path` cannot be read or lacks a value.
    """
    families = _families() if path is None else {**_families(), **_read(Path(path))}
    found = _row(family, style, priority, families)
    if found.fixed:
        return replace(found, steps=few_steps or found.steps, step_range=None if few_steps else found.step_range)
    if not zsnr and family is not ZSNR_STAND_IN:
        return found
    sampling = _row(ZSNR_STAND_IN, style, priority, families)
    return replace(
        sampling,
        family=family,
        zsnr=True,
        native=found.native,
        quality_tags=found.quality_tags,
        quality_front=found.quality_front,
        negative_hints=found.negative_hints,
    )


def schedule_sigmas(schedule: str, steps: int) -> tuple[float, ...]:
    """`steps` + 1 sigmas of an explicit schedule, ending in 0; log-linearly interpolated for other counts than 10."""
    table = AYS_TABLES[schedule]
    logs = [math.log(sigma) for sigma in table]
    positions = [index * (len(table) - 1) / steps for index in range(steps)]
    sigmas = []
    for position in positions:
        low = int(position)
        sigmas.append(math.exp(logs[low] + (logs[low + 1] - logs[low]) * (position - low)))
    return (*(round(sigma, 6) for sigma in sigmas), 0.0)


def _row(family: Family, style: ArtisticStyle | None, priority: Priority, families: Mapping[str, Any]) -> Profile:
    entry = families[family.value]
    looks = entry["looks"]
    look = looks.get(LOOKS.get(style, "default") if style else "default", looks["default"])
    row = look.get(priority.value, look["BALANCED"])
    span = entry.get("range", {})
    return Profile(
        family=family,
        priority=priority,
        steps=row["steps"],
        cfg=float(row["cfg"]),
        sampler=row["sampler"],
        scheduler=row["scheduler"],
        source=row["source"],
        schedule=row.get("schedule"),
        rescale_cfg=row.get("rescale_cfg", 0.0),
        native=entry["native"],
        quality_tags=tuple(entry.get("quality_tags", ())),
        quality_front=entry.get("quality_front", False),
        negative_hints=tuple(entry.get("negative_hints", ())),
        fixed=entry.get("fixed", False),
        step_range=tuple(span["steps"]) if "steps" in span else None,
        cfg_range=tuple(span["cfg"]) if "cfg" in span else None,
        samplers=tuple(span.get("samplers", ())),
        schedulers=tuple(span.get("schedulers", ())),
    )


@cache
def _families() -> Mapping[str, Any]:
    return _parse((files(__package__) / "families.json").read_text(encoding="utf-8"), "families.json")


def _read(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"cannot read the table of families {path}: {error}") from None
    return _parse(text, str(path))


def _parse(text: str, name: str) -> Mapping[str, Any]:
    """The families of a table, each checked. Raises InvalidInputError that names file, family and value."""
    try:
        families = json.loads(text)["families"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInputError(f"{name} is no table of families ({error}): it needs an object `families`") from None
    require(isinstance(families, dict), f"{name}: `families` must be an object")
    for family, entry in families.items():
        where = f"{name}: {family}"
        require(family in list(Family), f"{where}: no such family; known: {', '.join(Family)}")
        require(isinstance(entry, dict) and entry.get("native") in ("sdxl", "768", "512"), f"{where}: needs `native`")
        looks = entry.get("looks")
        require(isinstance(looks, dict) and "default" in looks, f"{where}: needs `looks` with a `default`")
        for look, rows in looks.items():
            require(isinstance(rows, dict) and "BALANCED" in rows, f"{where}: {look}: needs a row BALANCED")
            for priority, row in rows.items():
                _check_row(row, f"{where}: {look}: {priority}")
    return families


def _check_row(row: Any, where: str) -> None:
    require(isinstance(row, dict), f"{where}: must be an object")
    checks = {
        "steps": isinstance(row.get("steps"), int) and row["steps"] >= 1,
        "cfg": is_number(row.get("cfg")) and row["cfg"] >= 0,
        "sampler": isinstance(row.get("sampler"), str),
        "scheduler": isinstance(row.get("scheduler"), str),
        "source": isinstance(row.get("source"), str),
        "schedule": row.get("schedule") in (None, *AYS_TABLES),
        "rescale_cfg": is_number(row.get("rescale_cfg", 0)),
    }
    for key, holds in checks.items():
        require(holds, f"{where}: `{key}` is missing or wrong: {row.get(key)!r}")
