"""How every benchmark compares and tells its figures: lines of text, or one flat JSON object with --json."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence


def parser(description: str) -> argparse.ArgumentParser:
    """A parser that already knows --json."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--json", action="store_true", help="print one flat JSON object")
    return made


def paired(mine: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the quotients of runs that took turns: what slows the machine for a while slows both."""
    return statistics.median(one / other for one, other in zip(mine, theirs, strict=True))


def report(figures: Mapping[str, float | int | str | bool | None], as_json: bool) -> None:
    """Print `figures`; floats keep four significant digits."""
    rounded = {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in figures.items()}
    if as_json:
        print(json.dumps(rounded))
        return
    width = max(map(len, rounded), default=0)
    for name, value in rounded.items():
        print(f"{name:<{width}}  {value}")
