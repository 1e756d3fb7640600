"""How every benchmark tells its figures: lines of text, or one flat JSON object with --json."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping


def parser(description: str) -> argparse.ArgumentParser:
    """A parser that already knows --json."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--json", action="store_true", help="print one flat JSON object")
    return made


def report(figures: Mapping[str, float | int | str | bool | None], as_json: bool) -> None:
    """Print `figures`; floats keep four significant digits."""
    rounded = {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in figures.items()}
    if as_json:
        print(json.dumps(rounded))
        return
    width = max(map(len, rounded), default=0)
    for name, value in rounded.items():
        print(f"{name:<{width}}  {value}")
