"""Records in rows: JSON of our own without a validator, and records whose rarely read fields wait in the database."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from ..models.kinds import Architecture, ExamplePrompt, Family, Finding, LoRAKind, ModelKind, TriggerSet
from ..models.metadata import ModelMetadata
from ..models.sanitize import words_of

FIELDS = tuple(field.name for field in fields(ModelMetadata))

COLUMNS = (
    "model_id",
    "name",
    "kind",
    "local_path",
    "source",
    "architecture",
    "family",
    "base_model",
    "lora_kind",
    "problem",
    "sha256",
)
"""Fields that have a column of their own: enough to list, filter and name models."""

_EMPTY = ModelMetadata(model_id="", name="")

_BUILD: dict[str, Callable[[Any], Any]] = {
    "kind": {str(kind): kind for kind in ModelKind}.__getitem__,
    "architecture": {str(item): item for item in Architecture}.__getitem__,
    "family": {str(item): item for item in Family}.__getitem__,
    "lora_kind": {str(item): item for item in LoRAKind}.__getitem__,
    "trigger_sets": lambda items: tuple(TriggerSet(tuple(item["words"]), item["source"]) for item in items),
    "strength_range": lambda bounds: tuple(bounds) if bounds else None,
    "example_prompts": lambda items: tuple(ExamplePrompt(**item) for item in items),
    "findings": lambda items: {name: Finding(**item) for name, item in items.items()},
    "previous_ids": tuple,
}
"""Field → what makes its value of JSON; every other field is JSON itself."""


def dump(record: ModelMetadata) -> str:
    """`record` as JSON, without the fields that say nothing."""
    values = {name: value for name in FIELDS if (value := getattr(record, name)) != getattr(_EMPTY, name)}
    return json.dumps(values, default=vars, ensure_ascii=False)


def revive(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a record from their JSON values, which this package wrote; names that it does not know are left out."""
    return {
        name: _BUILD[name](value) if name in _BUILD else value for name, value in values.items() if name in _FIELD_SET
    }


_FIELD_SET = frozenset(FIELDS)


def load(text: str) -> ModelMetadata:
    """The record that `dump` (or, in older databases, `to_json`) wrote."""
    return ModelMetadata(**revive(json.loads(text)))


class Row(NamedTuple):
    """A record as text, ready for the database and for the way between processes.

    Hardly anything in it is a container: what a scan holds of thousands of files must not wake Python's garbage
    collector, whose full collection stops every thread of the program that scans.
    """

    columns: tuple[str | None, ...]
    """The values of `COLUMNS`."""
    record: str
    """`dump` of the record."""
    tags: str
    words: str
    """What a search for tags and for words looks at."""

    @property
    def problem(self) -> str | None:
        """Why the file cannot be used, or None."""
        return self.columns[_PROBLEM]

    @property
    def local_path(self) -> str:
        """Absolute path of the file."""
        return self.columns[_LOCAL_PATH] or ""


_PROBLEM, _LOCAL_PATH = COLUMNS.index("problem"), COLUMNS.index("local_path")


def row_of(record: ModelMetadata) -> Row:
    """The row of a record."""
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
    return Row(
        tuple(getattr(record, name) for name in COLUMNS),
        dump(record),
        f"|{'|'.join(record.tags)}|".casefold(),
        "\n".join(words).casefold(),
    )


class _Waiting:
    """A field that is read from the database whenever it is asked for."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, record: StoredModel | None, owner: type) -> Any:
        empty = getattr(_EMPTY, self.name)
        return empty if record is None else vars(record)["_read"](record.model_id).get(self.name, empty)


class StoredModel(ModelMetadata):
    """A record in the registry of which only `COLUMNS` are in memory; ten thousand of them take a few megabytes.

    `mark` is a number that no other state of the record had.

    The other fields are those of the database at the time they are read; of a model that was forgotten since they are
    empty.
    """

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelMetadata) and all(getattr(self, name) == getattr(other, name) for name in FIELDS)

    mark: int
    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return ModelMetadata, tuple(getattr(self, name) for name in FIELDS)

    def to_dict(self) -> dict[str, Any]:
        """This record as JSON types."""
        return ModelMetadata(*(getattr(self, name) for name in FIELDS)).to_dict()


for _name in FIELDS:
    if _name not in COLUMNS:
        setattr(StoredModel, _name, _Waiting(_name))


def stored_model(row: Any, read: Callable[[str], dict[str, Any]]) -> StoredModel:
    """The record of a row of `COLUMNS` and the mark; `read` gives all fields of a model id."""
    record = object.__new__(StoredModel)
    model_id, name, kind, local_path, source, architecture, family, base_model, lora_kind, problem, sha256, mark = row
    vars(record).update(
        model_id=model_id,
        name=name,
        kind=_BUILD["kind"](kind),
        local_path=local_path,
        source=source,
        architecture=_BUILD["architecture"](architecture),
        family=_BUILD["family"](family),
        base_model=base_model,
        lora_kind=_BUILD["lora_kind"](lora_kind),
        problem=problem,
        sha256=sha256,
        mark=mark,
        _read=read,
    )
    return record
