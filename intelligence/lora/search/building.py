"""Building the index of a library, from its records and from what an earlier index has read.

What is read of a LoRA depends on its record alone and is kept; what a word tells depends on the whole library and is
counted anew. So an index that grew with a library is, bit for bit, the one that is made of that library at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...models import ModelMetadata
from .documents import EXAMPLES, TELLING, TRIGGER, Document, Listed, ReadModels, read_document, stamp
from .index import (
    KINDS,
    NAME_WEIGHT_STEP,
    STYLES,
    Columns,
    Floats,
    Groups,
    Index,
    LoRAs,
    Names,
    NameWords,
    Nested,
    Phrases,
    UsageHistory,
    concat,
    starts_of,
)
from .naming import name_weight
from .tokens import MAX_PHRASE, digest, root

PRIOR_LORAS = 2000
"""LoRAs' worth of general knowledge that stands beside what the library itself says of a word."""
UNKNOWN_SHARE = 1e-4
"""Share of LoRAs, and of prompts, that have a word which general knowledge does not list."""


class Background(NamedTuple):
    """General knowledge of a word: the share of LoRAs that have it, and the share of example prompts."""

    loras: float = UNKNOWN_SHARE
    prompts: float = UNKNOWN_SHARE


ROUGH_FEATURES = (
    *("name", "title", "trigger", "tag", "description", "rare_trigger", "example", "telling", "likelihood"),
    "covered",
)
"""Features of the first pass over all LoRAs."""
MIN_RARE_IDF = 5.0
_CHUNK = 1 << 20


def rough_features(columns: NDArray[np.uint8], idf: Floats, rarity: Floats, own: Floats) -> Floats:
    """`ROUGH_FEATURES` of some postings, shape (postings, 10). Args: idf, rarity, own: per posting."""
    shares = columns.astype(np.float32) / 255
    share = shares[:, EXAMPLES]
    telling = share**2 * rarity * shares[:, TELLING]
    return np.column_stack(
        (
            shares[:, :EXAMPLES] * idf[:, None],
            shares[:, TRIGGER] * np.where(idf > MIN_RARE_IDF, idf, 0),
            share * rarity,
            telling,
            np.log1p(share * np.exp(rarity)),
            telling / (own + 1),
        )
    ).astype(np.float32)


@dataclass(frozen=True)
class Occurrences(Columns):
    """Keys of a LoRA, and where each stands in it."""

    key: NDArray[np.uint64]
    """`digest` of the key."""
    columns: NDArray[np.uint8]
    """Without `TELLING`."""


@dataclass(frozen=True)
class Documents(Columns):
    """The LoRAs as read from their records. Keys are digests here; 0 stands for a phrase that is too long to be one."""

    loras: LoRAs
    occurrences: Nested[Occurrences]


def build(
    models: Sequence[Listed],
    background: Mapping[str, Background],
    first: Floats,
    known: Index | None = None,
    read: ReadModels = iter,
) -> Index:
    """Return the index of `models`, which keep their order.

    Args:
        first: weights of `ROUGH_FEATURES` for tags and for sentences, shape (2, 10).
        known: an index made with the same `background` and `first`; what it has read is not read again.
        read: gives the whole records of some of `models`.
    """
    stamps = digest(map(stamp, models))
    size = known.size if known else 0
    places = {mark: place for place, mark in enumerate(known.loras.stamp.tolist())} if known else {}
    rows = np.array([places.pop(mark, -1) for mark in stamps.tolist()], np.int64)
    if known and np.array_equal(rows, np.arange(size)):
        return known
    new = rows < 0
    documents = _read(read([models[number] for number in np.flatnonzero(new).tolist()]), stamps[new])
    if known:
        documents = concat([_documents_of(known), documents])
    rows[new] = size + np.arange(np.count_nonzero(new))
    return _weighed(documents.take(rows), background, first)


def _read(models: Iterable[ModelMetadata], stamps: NDArray[np.uint64]) -> Documents:
    numbers: dict[str, int] = {}
    key: list[int] = []
    columns = [np.empty((0, TELLING), np.uint8)]
    read: list[Document] = []
    for model in models:  # once, and one after the other: their words take much room until they are numbers
        document = read_document(model)
        key += [numbers.setdefault(text, len(numbers)) for text in document.postings]
        values = np.array(list(document.postings.values()), np.float32).reshape(-1, TELLING)
        columns.append(np.ceil(values * 255).clip(0, 255).astype(np.uint8))
        read.append(document._replace(postings={}))
    hashes = np.append(digest(numbers), np.uint64(0))

    def hashed(texts: Iterable[str]) -> NDArray[np.uint64]:
        return hashes[np.array([numbers[text] if text else -1 for text in texts], np.int64)]

    creators = [document.creator for document in read]
    uses = [(*use, times) for document in read for use, times in document.usage.items()]
    history = UsageHistory(
        strength=np.array([strength for strength, _, _ in uses], np.float64),
        stacked=np.array([-1 if stacked is None else stacked for _, stacked, _ in uses], np.int8),
        times=np.array([times for _, _, times in uses], np.int32),
    )
    loras = LoRAs(
        stamp=stamps,
        examples=np.array([document.examples for document in read], np.uint8),
        creator=np.where([bool(name) for name in creators], digest(creators), np.uint64(0)),
        civitai_id=np.array([document.civitai_id for document in read], np.int64),
        style=np.array([STYLES.index(document.style) for document in read], np.uint8),
        kind=np.array([KINDS.index(document.kind) for document in read], np.uint8),
        usage=Nested.of(_lengths(document.usage for document in read), history),
        groups=_groups(read, hashed),
        names=_names(read),
    )
    occurrences = Occurrences(hashes[np.array(key, np.int64)], np.concatenate(columns))
    return Documents(loras, Nested.of(_lengths(columns[1:]), occurrences))


def _groups(read: Sequence[Document], hashed: Callable[[Iterable[str]], NDArray[np.uint64]]) -> Nested[Groups]:
    groups = [group for document in read for group in document.groups]
    phrases = [phrase for _, phrases in groups for phrase in phrases]
    words = Nested.of(_lengths(phrases), hashed(word for phrase in phrases for word in phrase))
    keys = hashed("".join(phrase) if len(phrase) <= MAX_PHRASE else "" for phrase in phrases)
    inside = Nested.of(_lengths(phrases for _, phrases in groups), Phrases(keys, words))
    return Nested.of(
        _lengths(document.groups for document in read),
        Groups(np.array([column for column, _ in groups], np.uint8), inside),
    )


def _names(read: Sequence[Document]) -> Nested[Names]:
    named = [name for document in read for name in document.names]
    keys, words = _digests("".join(phrase) for _, phrase in named), [word for _, phrase in named for word in phrase]
    weights = np.array([name_weight(word) for word in words], np.float64) / NAME_WEIGHT_STEP
    parts = NameWords(_digests(map(root, words)), np.round(weights).astype(np.uint8))
    sources = np.array([source for source, _ in named], np.uint8)
    names = Names(keys, sources, Nested.of(_lengths(phrase for _, phrase in named), parts))
    return Nested.of(_lengths(document.names for document in read), names)


def _digests(texts: Iterable[str]) -> NDArray[np.uint64]:
    """The digest of each text, each made once."""
    every = list(texts)
    numbers = {text: number for number, text in enumerate(dict.fromkeys(every))}
    return digest(numbers)[np.array([numbers[text] for text in every], np.int64)]


def _lengths(items: Iterable[Sized]) -> NDArray[np.int64]:
    return np.array([len(item) for item in items], np.int64)


def _documents_of(index: Index) -> Documents:
    order = np.argsort(index.posting_lora, kind="stable")
    hashes = np.repeat(index.keys, np.diff(index.starts))[order]
    occurrences = Occurrences(hashes, index.posting_columns[order, :TELLING])
    counts = np.bincount(index.posting_lora, minlength=index.size)
    digests = np.append(index.keys, np.uint64(0))
    return Documents(_with_keys(index.loras, lambda numbers: digests[numbers]), Nested.of(counts, occurrences))


def _with_keys(loras: LoRAs, change: Callable[[NDArray[Any]], NDArray[Any]]) -> LoRAs:
    groups = loras.groups.rows
    phrases = groups.phrases.rows
    changed = Phrases(change(phrases.key), replace(phrases.words, rows=change(phrases.words.rows)))
    groups = replace(groups, phrases=replace(groups.phrases, rows=changed))
    return replace(loras, groups=replace(loras.groups, rows=groups))


def _weighed(documents: Documents, background: Mapping[str, Background], first: Floats) -> Index:
    """The index of some LoRAs, with the weight of every word in their library."""
    loras, occurrences = documents.loras, documents.occurrences
    count = len(loras.stamp)
    order = np.argsort(occurrences.rows.key, kind="stable")
    keys, frequency = np.unique(occurrences.rows.key, return_counts=True)
    key = np.repeat(np.arange(len(keys), dtype=np.int32), frequency)
    lora = np.repeat(np.arange(count, dtype=np.int32), occurrences.counts)[order]
    columns = occurrences.rows.columns[order]
    prior = np.full((len(keys), 2), UNKNOWN_SHARE)
    _, ours, theirs = np.intersect1d(keys, digest(background), assume_unique=True, return_indices=True)
    prior[ours] = np.array(list(background.values()), np.float64).reshape(-1, 2)[theirs]
    share = columns[:, EXAMPLES] / 255
    prompts = np.bincount(key, share, len(keys)) + PRIOR_LORAS * prior[:, 1] + 0.1
    prompts /= np.count_nonzero(loras.examples) + PRIOR_LORAS + 0.2
    others = _creator_shares(loras.creator, lora, key, share)
    rarity = -np.log(prompts)
    telling = np.maximum(0, -np.log(np.minimum(1, prompts[key] + others))) / np.maximum(rarity[key], 1e-3)
    idf = np.log((count + PRIOR_LORAS + 1) / (frequency + PRIOR_LORAS * prior[:, 0] + 0.5)).astype(np.float32)
    rarity = rarity.astype(np.float32)
    coverage = np.bincount(lora, share**2 * rarity[key], count).astype(np.float32)
    columns = np.column_stack((columns, np.round(telling * 255).clip(0, 255).astype(np.uint8)))
    impact = np.empty((len(columns), 2), np.float16)
    for start in range(0, len(columns), _CHUNK):
        part = slice(start, start + _CHUNK)
        impact[part] = rough_features(columns[part], idf[key[part]], rarity[key[part]], coverage[lora[part]]) @ first.T

    def numbered(hashes: NDArray[np.uint64]) -> NDArray[np.int32]:
        return np.where(hashes == 0, -1, np.searchsorted(keys, hashes)).astype(np.int32)

    return Index(
        keys=keys,
        starts=starts_of(frequency),
        idf=idf,
        rarity=rarity,
        posting_lora=lora,
        posting_columns=columns,
        posting_impact=impact,
        coverage=coverage,
        loras=_with_keys(loras, numbered),
    )


def _creator_shares(
    creators: NDArray[np.uint64], loras: NDArray[np.int32], keys: NDArray[np.int32], shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Per posting: the mean share over the other LoRAs of the same creator; 0 where there is none."""
    _, creator, having = np.unique(creators, return_inverse=True, return_counts=True)
    others = np.where(creators != 0, having[creator] - 1, 0)
    mean = np.zeros(len(loras))
    rows = np.flatnonzero(others[loras] > 0)
    pair = creator[loras[rows]] * np.int64(len(shares) + 1) + keys[rows]
    _, place = np.unique(pair, return_inverse=True)
    total = np.bincount(place, shares[rows])
    mean[rows] = (total[place] - shares[rows]) / others[loras[rows]]
    return mean
