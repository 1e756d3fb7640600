"""Tables as arrays: columns of equal length, and rows that each own rows of another table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, Self, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Rows = NDArray[np.int64]
"""Numbers of rows."""


def starts_of(counts: NDArray[Any]) -> Rows:
    """Return the start of each of some runs, and the end of the last, shape (counts + 1,)."""
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


def ranges(starts: Rows, counts: Rows) -> Rows:
    """start, start + 1 … for every start, as many as its count."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)


@dataclass(frozen=True)
class Columns:
    """Base of tables. Each field has one entry a row: an array, a `Nested` table, or further columns."""

    def take(self, rows: Rows) -> Self:
        """Return these rows, in this order."""
        return type(self)(*(take(column, rows) for column in vars(self).values()))


@dataclass(frozen=True)
class Nested(Generic[T]):
    """Rows of a table, some of them for each row of another."""

    starts: Rows
    """Start of each one's rows, and the end of the last."""
    rows: T

    @classmethod
    def of(cls, counts: NDArray[Any], rows: T) -> Nested[T]:
        """Cut `rows` into runs of these lengths."""
        return cls(starts_of(counts), rows)

    @property
    def counts(self) -> Rows:
        """Number of rows that each one has."""
        return np.diff(self.starts)

    def take(self, owners: Rows) -> Nested[T]:
        """Return the rows of these owners, in this order."""
        counts = self.counts[owners]
        return Nested.of(counts, take(self.rows, ranges(self.starts[owners], counts)))


def take(table: Any, rows: Rows) -> Any:
    """Return some rows of an array or table."""
    return table[rows] if isinstance(table, np.ndarray) else table.take(rows)


def concat(tables: Sequence[Any]) -> Any:
    """Return the rows of all `tables`, which are arrays or tables of one kind."""
    first = tables[0]
    if isinstance(first, np.ndarray):
        return np.concatenate(tables)
    if isinstance(first, Nested):
        return Nested.of(np.concatenate([table.counts for table in tables]), concat([table.rows for table in tables]))
    return type(first)(*map(concat, zip(*(vars(table).values() for table in tables), strict=True)))


def arrays_of(table: Any, name: str = "") -> dict[str, NDArray[Any]]:
    """Name → array, for every array of a table and the tables within it."""
    if isinstance(table, np.ndarray):
        return {name: table}
    prefix = f"{name}." if name else ""
    return {key: one for field, part in vars(table).items() for key, one in arrays_of(part, prefix + field).items()}


def table_from(kind: Any, arrays: Mapping[str, NDArray[Any]], name: str = "") -> Any:
    """Make the table of this kind that `arrays_of` took apart. Raises KeyError where an array is missing."""
    origin: Any = get_origin(kind) or kind
    prefix = f"{name}." if name else ""
    if origin is np.ndarray:
        return arrays[name]
    if origin is Nested:
        return Nested(arrays[f"{prefix}starts"], table_from(get_args(kind)[0], arrays, f"{prefix}rows"))
    hints = get_type_hints(origin)
    return origin(*(table_from(hints[field.name], arrays, prefix + field.name) for field in fields(origin)))
