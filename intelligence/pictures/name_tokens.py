"""`%seed%`, `%model%`, `%date:yyyy-MM-dd%` … in names of pictures."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import PurePath

from .picture_files import FORMATS, LONGEST_NAME, shortened

LONGEST_VALUE = 80
"""Characters of a filled token."""

UNNAMED = "image"
"""Name of a file or folder of whose pattern nothing is left."""

SPARE_BYTES = 12
"""Room in a filled name for what is added to one that is taken already (`-2`)."""

_SEPARATOR = re.compile(r"([/\\])" if os.name == "nt" else "(/)")
_TOKEN = re.compile(r"%(\w+)(?::([^%/\\]*))?%")
_DATE_PART = re.compile(r"yyyy|yy|MM?|dd?|hh?|mm?|ss?")
_NOT_IN_NAMES = re.compile(r'[\\/:*?"<>|\x00-\x1f]+')
_DEFAULT_DATE = "yyyyMMddhhmmss"


def filled(pattern: str, values: Mapping[str, object], now: datetime | None = None) -> str:
    """Return the path with its tokens filled in; those of nobody (and ComfyUI's own, `%year%`) stay as they are.

    Each part of the path that had tokens is a name that a file can have: long values are cut where it would exceed
    `LONGEST_NAME`, and `UNNAMED` stands where nothing is left of it.

    Args:
        values: token → value, from which no path can come.
        now: of `%date:…%`, in the parts of ComfyUI's page: yyyy, yy, M, MM, d, dd, h, hh, m, mm, s, ss; None: now.
    """
    moment = now or datetime.now()

    def value(token: re.Match[str]) -> str:
        name, layout = token[1], token[2]
        if name == "date":
            return _plain(_date(moment, layout or _DEFAULT_DATE))
        return _plain(str(values[name])) if name in values and layout is None else token[0]

    return "".join(_named(part, value) for part in _SEPARATOR.split(pattern))


def _named(part: str, value: Callable[[re.Match[str]], str]) -> str:
    """Return one part of a path, filled and usable; as it is where it has no token."""
    if (whole := _TOKEN.sub(value, part)) == part:
        return part
    spare = 0
    while len(os.fsencode(whole)) > LONGEST_NAME - SPARE_BYTES and spare < LONGEST_NAME:
        spare += 1
        whole = _cut(part, value, spare)
    suffix = PurePath(part).suffix
    suffix = suffix if suffix.lower() in FORMATS else ""
    return whole if whole.removesuffix(suffix).strip(" .") else UNNAMED + suffix


def _cut(part: str, value: Callable[[re.Match[str]], str], spare: int) -> str:
    return _TOKEN.sub(lambda token: shortened(value(token), spare), part)


def _plain(text: str) -> str:
    """Return the text as part of one file name on every system."""
    return _NOT_IN_NAMES.sub("_", text)[:LONGEST_VALUE].strip(" .")


def _date(moment: datetime, layout: str) -> str:
    numbers = {
        "y": moment.year,
        "M": moment.month,
        "d": moment.day,
        "h": moment.hour,
        "m": moment.minute,
        "s": moment.second,
    }

    def part(found: re.Match[str]) -> str:
        letters = found[0]
        number = str(numbers[letters[0]]).zfill(len(letters))
        return number[-2:] if letters == "yy" else number

    return _DATE_PART.sub(part, layout)
