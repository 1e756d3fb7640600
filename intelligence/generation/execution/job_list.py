"""Job lists: JSON lines, each a run as in a run file, with a sweep or without."""

from __future__ import annotations

import copy
import hashlib
import itertools
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ...config import require
from ...errors import InvalidInputError
from ...models.sanitize import parse_json
from ...parameters.parameters import ALIASES
from ...validation import did_you_mean, validated
from ..run_file import RunFile, RunSettings

SWEEP = "sweep"
"""Name in a line of what varies: place → values."""

LORA = "lora:"
"""Begins the place of a LoRA's strength."""

MAX_POINTS = 1_000_000
"""Points of a sweep."""

_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)")

_RUN = ("seed", "prompt", "negative_prompt")


@dataclass(frozen=True)
class JobLine:
    """A line of a list, read and found sound."""

    id: str
    """Digest of its text; the second of two equal lines has another."""
    runs: tuple[RunFile, ...]
    """Its run, or that of each point of its sweep."""


def read_job_list(lines: Iterable[str], sweep: str = "") -> list[JobLine]:
    """Read a list; empty lines and those that begin with # are left out.

    Args:
        sweep: varies in every line, beside the line's own sweep; see `parse_sweep`.

    Raises InvalidInputError with the number of the line.
    """
    common, seen, found = parse_sweep(sweep), Counter[str](), []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            runs = tuple(_runs(_parsed(text), common))
        except InvalidInputError as error:
            raise InvalidInputError(f"line {number}: {error}") from None
        content = f"{text} {sweep}".strip()
        seen[content] += 1
        found.append(JobLine(hashlib.sha256(f"{seen[content]} {content}".encode()).hexdigest()[:32], runs))
    require(bool(found), "the job list is empty: give a line of JSON for each run")
    return found


def parse_sweep(text: str) -> dict[str, list[Any]]:
    """Read `seed=0..9 steps=12,20 lora:NAME=0.4,0.8`: places with values; `a..b` counts, both ends included.

    Places are `seed`, `prompt`, `negative_prompt`, `base_model`, the settings of a run file (`steps`, `cfg` … too), and
    `lora:` with a name. Raises InvalidInputError.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidInputError(f"sweep: {error}") from None
    found: dict[str, list[Any]] = {}
    for word in words:
        place, equals, values = word.rpartition("=") if word.startswith(LORA) else word.partition("=")
        require(bool(place and equals and values), f"sweep: {word!r} must look like steps=12,20 or seed=0..9")
        found[place] = [value for part in values.split(",") for value in _values(part)]
    return found


def _values(part: str) -> Sequence[Any]:
    if bounds := _RANGE.fullmatch(part):
        first, last = map(int, bounds.groups())
        require(first <= last, f"sweep: {part} counts down; give the smaller number first")
        require(last - first < MAX_POINTS, f"sweep: {part} has more than {MAX_POINTS:,} values")
        return range(first, last + 1)
    try:
        return [parse_json(part)]
    except ValueError:
        return [part]


def _parsed(text: str) -> dict[str, Any]:
    try:
        content = parse_json(text)
    except ValueError as error:
        raise InvalidInputError(str(error)) from None
    require(isinstance(content, dict), f"must be an object, got {type(content).__name__}")
    return dict(content)


def _runs(content: dict[str, Any], common: Mapping[str, list[Any]]) -> Iterator[RunFile]:
    given = content.pop(SWEEP, {})
    if isinstance(given, str):
        given = parse_sweep(given)
    require(isinstance(given, Mapping), f"sweep must be an object or a text, got {given!r}")
    sweep = {**common, **{place: _listed(place, values) for place, values in given.items()}}
    count = 1
    for values in sweep.values():
        count *= len(values)
    require(count <= MAX_POINTS, f"sweep: {count:,} points are more than {MAX_POINTS:,}")
    places = [_place(name) for name in sweep]
    for point in itertools.product(*sweep.values()):
        yield _run(content, dict(zip(places, point, strict=True)))


def _listed(place: str, values: Any) -> list[Any]:
    found = _values(values) if isinstance(values, str) else values
    require(isinstance(found, Sequence) and bool(found), f"sweep: {place} must have a list of values, got {values!r}")
    return list(found)


def _run(content: dict[str, Any], point: Mapping[tuple[str, ...], Any]) -> RunFile:
    whole = copy.deepcopy(content) if point else content
    for place, value in point.items():
        parent = whole
        for name in place[:-1]:
            parent = parent.setdefault(name, {})
            require(isinstance(parent, dict), f"{name} must be an object")
        parent[place[-1]] = value
    found = validated(RunFile, whole)
    require(bool(found.run.prompt.strip()), "run.prompt is missing")
    require(found.run.best_of == 1, "run.best_of: a job list makes every picture that it names; leave it out")
    return found


def _place(name: str) -> tuple[str, ...]:
    """Return the path in a run file that a sweep's place means. Raises InvalidInputError."""
    if name.startswith(LORA):
        return ("run", "settings", "loras", name.removeprefix(LORA))
    name = ALIASES.get(name, name)
    if name in _RUN:
        return ("run", name)
    settings = [each.name for each in fields(RunSettings)]
    if name in settings:
        return ("run", "settings", name)
    known = ("base_model", *_RUN, *settings, *ALIASES)
    require(name == "base_model", f"sweep: {name} is no place that can vary{did_you_mean(name, known)}")
    return (name,)
