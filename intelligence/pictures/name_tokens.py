"""`%seed%`, `%model%`, `%date:yyyy-MM-dd%` … in names of pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

LONGEST_VALUE = 80
"""Characters of a filled token."""

_TOKEN = re.compile(r"%(\w+)(?::([^%/\\]*))?%")
_DATE_PART = re.compile(r"yyyy|yy|MM?|dd?|hh?|mm?|ss?")
_NOT_IN_NAMES = re.compile(r'[\\/:*?"<>|\x00-\x1f]+')
_DEFAULT_DATE = "yyyyMMddhhmmss"


def filled(pattern: str, values: Mapping[str, object], now: datetime | None = None) -> str:
    """Return the name with its tokens filled in; those of nobody (and ComfyUI's own, `%year%`) stay as they are.

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

    return _TOKEN.sub(value, pattern)


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
