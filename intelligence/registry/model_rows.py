"""Records as rows of registry.db: columns to list by, and JSON that is read without a validator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from ..models.kinds import Architecture, ExamplePrompt, Family, Finding, LoRAKind, ModelKind, TriggerSet
from ..models.metadata import EMPTY, ModelMetadata, ModelSummary
from ..models.name_patterns import words_of

_DEFAULTS = vars(EMPTY)


class DamagedRowError(Exception):
    """A row of registry.db cannot be read; the next scan reads its file again."""


COLUMNS = tuple(field.name for field in fields(ModelSummary) if field.name in _DEFAULTS)
"""Fields that have a column of their own."""

SUMMARY_COLUMNS = (*COLUMNS, "mark")
"""Columns of a `ModelSummary`, in its order."""

_FROM_JSON: dict[str, Callable[[Any], Any]] = {
    "kind": ModelKind,
    "architecture": Architecture,
    "family": Family,
    "lora_kind": LoRAKind,
    "trigger_sets": lambda items: tuple(TriggerSet(tuple(item["words"]), item["source"]) for item in items),
    "strength_range": lambda bounds: tuple(bounds) if bounds else None,
    "example_prompts": lambda items: tuple(ExamplePrompt(**item) for item in items),
    "findings": lambda items: {name: Finding(**item) for name, item in items.items()},
    "previous_ids": tuple,
}
"""Field → function from its JSON to its value; the other fields are JSON themselves."""


def dump(record: ModelMetadata) -> str:
    """Return `record` as JSON, without empty fields."""
    values = {name: value for name, empty in _DEFAULTS.items() if (value := getattr(record, name)) != empty}
    return json.dumps(values, default=vars, ensure_ascii=False)


def fields_from_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a record from JSON values that this package wrote; unknown names are left out."""
    return {
        name: _FROM_JSON[name](value) if name in _FROM_JSON else value
        for name, value in values.items()
        if name in _DEFAULTS
    }


def load(text: str) -> ModelMetadata:
    """Return the record that `dump` (or, in older databases, `to_json`) wrote. Raises DamagedRowError."""
    try:
        return ModelMetadata(**fields_from_json(json.loads(text)))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedRowError(f"a damaged record ({type(error).__name__}: {str(error)[:100]})") from None


def sound(text: str) -> ModelMetadata | None:
    """Return the record in a row's JSON; None: the row is damaged."""
    try:
        return load(text)
    except DamagedRowError:
        return None


class ModelRow(NamedTuple):
    """A record as text, for the database and for pipes between processes.

    Strings rather than containers: a scan holds thousands of rows, and a full run of Python's garbage collector over
    many containers would stop every thread.
    """

    columns: tuple[str | None, ...]
    """The values of `COLUMNS`."""
    record: str
    """`dump` of the record."""
    tags: str
    words: str
    """Text that searches for words look into, as `tags` for tags."""

    @property
    def problem(self) -> str | None:
        return self.columns[COLUMNS.index("problem")]

    @property
    def digest(self) -> str | None:
        return self.columns[COLUMNS.index("digest")]

    @property
    def local_path(self) -> str:
        return self.columns[COLUMNS.index("local_path")] or ""


def row_of(record: ModelMetadata) -> ModelRow:
    path = record.model_id.partition(":")[2]
    words = (
        path,
        words_of(path),
        record.title,
        record.base_model or "",
        record.creator or "",
        *(word for item in record.trigger_sets for word in item.words),
        *record.tags,
        record.description[:2000],
    )
    return ModelRow(
        tuple(getattr(record, name) for name in COLUMNS),
        dump(record),
        f"|{'|'.join(record.tags)}|".casefold(),
        "\n".join(words).casefold(),
    )


def summary_of(row: Iterable[Any]) -> ModelSummary | None:
    """Return the summary in a row of `SUMMARY_COLUMNS`; None for a damaged one."""
    model_id, name, kind, local_path, source, architecture, family, base_model, lora_kind, *others = row
    problem, sha256, modules, excluded, digest, version = others
    try:
        kinds = ModelKind(kind), Architecture(architecture), Family(family), LoRAKind(lora_kind)
    except ValueError:
        return None
    return ModelSummary(
        model_id,
        name,
        kinds[0],
        local_path,
        source,
        kinds[1],
        kinds[2],
        base_model,
        kinds[3],
        problem,
        sha256,
        modules,
        bool(excluded),
        digest,
        version,
    )


def from_summary(summary: ModelSummary) -> ModelMetadata:
    """Return the record that has the fields of `summary` and no others."""
    return ModelMetadata(**{name: getattr(summary, name) for name in COLUMNS})
