"""The LoRAs of a library as flat postings: which word or phrase stands where in which LoRA, and how much it tells.

A *key* is a word, or a phrase of up to six words written without spaces (`nice nature` and `NiceNature` share one).
A *posting* is one key in one LoRA with seven columns, each 0 … 1 in 255 steps: how strongly it stands in the name, the
title, the trigger words, the tags and the description (BM25's saturated term frequency, normalised by length), the
share of the LoRA's example prompts (or training captions) that have it, and how much of the key's rarity is left beside
the prompts of its creator's other LoRAs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any, Generic, NamedTuple, Self, TypeVar, get_args, get_origin, get_type_hints
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ...models import LoRAKind
from ...prompt import ArtisticStyle
from .naming import STRONG, NameSource
from .tokens import Query

NAME, TITLE, TRIGGER, TAG, DESCRIPTION, EXAMPLES, TELLING = range(7)
"""Columns of a posting."""
T = TypeVar("T")
Rows = NDArray[np.int64]
"""Numbers of rows."""
Floats = NDArray[np.float32]
STYLES = tuple(ArtisticStyle)
KINDS = tuple(LoRAKind)
NAME_WEIGHT_STEP = 0.02


def starts_of(counts: NDArray[Any]) -> Rows:
    """Return the start of each of some runs, and the end of the last, shape (counts + 1,)."""
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


def ranges(starts: Rows, counts: Rows) -> Rows:
    """start, start + 1 … for every start, as many as its count."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)


def runs_of(starts: Rows, owners: Rows) -> Rows:
    """Return the rows of some owners. Args: starts: see `starts_of`."""
    first = starts[owners]
    return ranges(first, starts[owners + 1] - first)


def is_among(keys: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which of the keys are known. Args: known: sorted."""
    if not len(known):
        return np.zeros(len(keys), bool)
    found: NDArray[np.bool_] = known[np.minimum(np.searchsorted(known, keys), len(known) - 1)] == keys
    return found


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

    @property
    def owners(self) -> NDArray[np.int32]:
        """The owner of each row."""
        return np.repeat(np.arange(len(self.starts) - 1, dtype=np.int32), self.counts)

    def take(self, owners: Rows) -> Nested[T]:
        """Return the rows of these owners, in this order."""
        counts = self.starts[owners + 1] - self.starts[owners]
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


@dataclass(frozen=True)
class Phrases(Columns):
    """Phrases that are matched together."""

    key: NDArray[Any]
    """The phrase's key: its number in the index, −1 where it is too long to be one; see `building.Documents`."""
    words: Nested[NDArray[Any]]


@dataclass(frozen=True)
class Groups(Columns):
    """A name, a title or one trigger set each."""

    field: NDArray[np.uint8]
    """`documents.NAME`, `TITLE` or `TRIGGER`."""
    phrases: Nested[Phrases]


class GroupTotals(NamedTuple):
    """Information of the words of a library's `Groups`, and which word, phrase and group belongs to which LoRA."""

    lora: NDArray[np.int32]
    """Per group."""
    information: NDArray[np.float64]
    """Likewise."""
    group_of_phrase: NDArray[np.int32]
    information_of_phrase: NDArray[np.float64]
    phrase_of_word: NDArray[np.int32]
    phrase_starts: Rows
    """Start of each LoRA's phrases, and the end of the last."""
    word_starts: Rows
    """Likewise of its words."""


@dataclass(frozen=True)
class UsageHistory(Columns):
    """Strengths at which example prompts apply a LoRA."""

    strength: NDArray[np.float64]
    stacked: NDArray[np.int8]
    """Beside other LoRAs: 1, alone: 0, not known: −1."""
    times: NDArray[np.int32]


@dataclass(frozen=True)
class NameWords(Columns):
    """Words of naming phrases."""

    key: NDArray[np.uint64]
    """`digest` of the word's `tokens.root`."""
    weight: NDArray[np.uint8]
    """Information of the word, in `NAME_WEIGHT_STEP`s; see `naming.name_weight`."""


@dataclass(frozen=True)
class Names(Columns):
    """Phrases that name a LoRA."""

    key: NDArray[np.uint64]
    """`digest` of the phrase without its spaces."""
    source: NDArray[np.uint8]
    """A `naming.NameSource`."""
    words: Nested[NameWords]


@dataclass(frozen=True)
class LoRAs(Columns):
    """The LoRAs of a library, in its order."""

    stamp: NDArray[np.uint64]
    """`digest` of the record's `documents.stamp`, by which a LoRA is recognised when the library changes."""
    examples: NDArray[np.uint8]
    creator: NDArray[np.uint64]
    """`digest` of the name, 0 where it is not known."""
    civitai_id: NDArray[np.int64]
    """Of the model, −1 where it is not known."""
    style: NDArray[np.uint8]
    """Place of its style in `STYLES`; unspecified for a LoRA that is there for something else."""
    kind: NDArray[np.uint8]
    """Place of its kind in `KINDS`."""
    usage: Nested[UsageHistory]
    groups: Nested[Groups]
    names: Nested[Names]


@dataclass(frozen=True)
class Postings:
    """The postings of a prompt's keys; `coverage` and `examples` are those of the index."""

    index: Index
    keys: NDArray[np.int64]
    """Numbers of the prompt's keys that some LoRA has."""
    is_word: NDArray[np.bool_]
    """Per key."""
    key: NDArray[np.int64]
    """Per posting, its place in `keys`; never falling."""
    lora: NDArray[np.int64]
    impact: NDArray[np.float16]
    columns: NDArray[np.uint8]
    """Per posting; see `Index.posting_columns`."""
    coverage: Floats
    examples: NDArray[np.uint8]
    sequence: NDArray[np.int64]
    """The prompt's words as they follow each other: places in `keys`, −1 for a word that no LoRA has.

    A word that stands for nothing but in a phrase, as `nice nature` where LoRAs write `nicenature`, has the phrase's.
    """
    piece_starts: NDArray[np.int64]
    """Places in `sequence` at which the prompt's comma pieces start."""
    number: dict[str, int]
    """Word of the prompt → its number in the index, −1 where no LoRA has it."""
    idf: dict[str, float]
    """Likewise → its idf, 0 where no LoRA has it."""

    def has_any(self, allowed: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Return which of `keys` an allowed LoRA has. Args: allowed: per LoRA of the index; None: all are."""
        starts = np.searchsorted(self.key, np.arange(len(self.keys) + 1))
        if allowed is None or not len(self.keys):
            return starts[1:] > starts[:-1]
        fits = np.append(allowed.take(self.lora), False)
        return np.logical_or.reduceat(fits, starts[:-1]) & (starts[1:] > starts[:-1])


@dataclass(frozen=True)
class Index:
    """All LoRAs' postings, ordered by key and then LoRA, and what else is known of each LoRA."""

    keys: NDArray[np.uint64]
    """`digest` of every key, sorted; a key's place here is its number."""
    starts: NDArray[np.int64]
    """Start of each key's postings, and the end of the last."""
    idf: Floats
    """Per key: log of the inverse share of LoRAs that have it, general knowledge included."""
    rarity: Floats
    """Per key: log of the inverse share of example prompts that have it, likewise."""
    posting_lora: NDArray[np.int32]
    posting_columns: NDArray[np.uint8]
    """Shape (postings, 7)."""
    posting_impact: NDArray[np.float16]
    """Weight of a posting in the ranker's first pass, shape (postings, 2): for tags and for sentences."""
    coverage: Floats
    """Per LoRA: the sum of share² · rarity over its keys."""
    loras: LoRAs

    @cached_property
    def named(self) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.bool_]]:
        """Keys of naming phrases with the LoRAs that have them, sorted, each pair once; whether one of its sources
        names the LoRA itself."""
        names = self.loras.names
        naming = names.rows.source != NameSource.TAG
        keys, loras = names.rows.key[naming], np.repeat(np.arange(self.size, dtype=np.int32), names.counts)[naming]
        strong = np.isin(names.rows.source[naming], STRONG)
        order = np.lexsort((~strong, loras, keys))
        keys, loras, strong = keys[order], loras[order], strong[order]
        first = np.ones(len(keys), bool)
        first[1:] = (keys[1:] != keys[:-1]) | (loras[1:] != loras[:-1])
        return keys[first], loras[first], strong[first]

    @cached_property
    def groups(self) -> GroupTotals:
        """Totals of the LoRAs' names, titles and trigger sets."""
        groups = self.loras.groups
        phrases = groups.rows.phrases
        words = phrases.rows.words
        phrase_of_word, group_of_phrase = words.owners, phrases.owners
        of_phrase: NDArray[Any] = np.bincount(phrase_of_word, self.idf[words.rows], len(words.counts))
        of_group: NDArray[Any] = np.bincount(group_of_phrase, of_phrase, len(phrases.counts))
        starts = phrases.starts[groups.starts]
        return GroupTotals(
            groups.owners, of_group, group_of_phrase, of_phrase, phrase_of_word, starts, words.starts[starts]
        )

    @cached_property
    def name_words(self) -> NDArray[np.uint64]:
        """Digests of the words of names, titles and first trigger phrases, sorted."""
        telling = self.posting_columns[:, [NAME, TITLE, TRIGGER]].max(axis=1) > 0
        numbers = np.repeat(np.arange(len(self.keys)), np.diff(self.starts))[telling]
        return self.keys[np.unique(numbers)]

    @property
    def size(self) -> int:
        """Number of LoRAs."""
        return len(self.coverage)

    def find(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The numbers of the keys with these digests, −1 for keys that no LoRA has."""
        places = np.minimum(np.searchsorted(self.keys, hashes), max(0, len(self.keys) - 1))
        return np.where(self.keys[places] == hashes, places, -1) if len(self.keys) else np.full(len(hashes), -1)

    def match_query(self, query: Query) -> Postings:
        """All postings of the prompt's words and phrases."""
        texts, found = query.keys, self.find(query.hashes)
        known = found >= 0
        keys = found[known]
        counts = self.starts[keys + 1] - self.starts[keys]
        places = dict(zip(compress(texts, known.tolist()), range(len(keys)), strict=True))
        of_words = np.array([places.get(word, -1) for word in query.tokens], np.int64)
        numbers, idf = np.append(keys, -1)[of_words].tolist(), np.append(self.idf[keys], 0)[of_words].tolist()
        unknown = {word: -1 for word in query.tokens if word not in places}
        for key, place in places.items() if unknown else ():
            for start, end, _ in query.places[key]:
                unknown.update(
                    (word, max(place, unknown[word])) for word in query.sequence[start:end] if word in unknown
                )
        places |= unknown
        sequence = np.array([places[word] for word in query.sequence], np.int64)
        runs = [slice(0, 0), *map(slice, self.starts[keys].tolist(), self.starts[keys + 1].tolist())]

        def of_runs(column: NDArray[Any]) -> NDArray[Any]:
            return np.concatenate([column[run] for run in runs])

        return Postings(
            self,
            keys,
            np.fromiter(texts.values(), bool, len(texts))[known],
            np.repeat(np.arange(len(keys)), counts),
            of_runs(self.posting_lora).astype(np.int64),
            of_runs(self.posting_impact),
            of_runs(self.posting_columns),
            self.coverage,
            self.loras.examples,
            sequence=sequence,
            piece_starts=np.cumsum([0, *map(len, query.pieces[:-1])]),
            number=dict(zip(query.tokens, numbers, strict=True)),
            idf=dict(zip(query.tokens, idf, strict=True)),
        )


def save(index: Index, path: Path, mark: str) -> None:
    """Write `index` beside the registry; where that cannot be, it is simply made again next time."""
    arrays: Any = arrays_of(index)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, mark=np.array(mark), **arrays)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)


def load(path: Path, mark: str) -> Index | None:
    """Return the index that `save` wrote under this `mark`; None where there is none, or another, or it is broken."""
    try:
        with np.load(path, allow_pickle=False) as data:
            return table_from(Index, data) if str(data["mark"]) == mark else None
    except (OSError, EOFError, ValueError, KeyError, BadZipFile):
        return None
