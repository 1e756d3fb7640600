"""Units of memory and picture size, and how memory, times and counts are written."""

from __future__ import annotations

BYTES_PER_MIB = 2**20
BYTES_PER_GIB = 2**30
MIB_PER_GIB = 1024

PIXELS_PER_MEGAPIXEL = 1024 * 1024
"""SDXL's native size, by which work and memory are counted."""


def format_memory(gib: float, digits: int = 1) -> str:
    """Return an amount of memory as people say it: "17 MiB", "3.6 GiB"; `digits` after the point of GiB."""
    return f"{gib:.{digits}f} GiB" if gib >= 1 else f"{gib * MIB_PER_GIB:.0f} MiB"


def format_duration(seconds: float) -> str:
    """Return a time as people say it: "0.4 s", "54 s", "2 min 5 s", "2 h 27 min"."""
    if seconds < 0.95:
        return f"{seconds:.2g} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def counted(count: int, one: str, many: str) -> str:
    """Return a number with its noun: `one` for 1, `many` for any other."""
    return f"{count} {one if count == 1 else many}"
