"""Making the index of a library, of nothing or of what an earlier index has read.

What is read of a LoRA hangs on its record alone and is kept; what a word tells hangs on the whole library and is
counted anew. So an index that grew with a library is, bit for bit, the one that is made of that library at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...models import ModelMetadata
from .documents import EXAMPLES, TELLING, TRIGGER, Group, Listed, ReadModels, Use, document, stamp
from .index import STYLES, Floats, Index, ranges
from .tokens import MAX_PHRASE, digest

PRIOR = 2000
"""LoRAs' worth of general knowledge that stands beside what the library itself says of a word."""
RARE = 1e-4
"""Share of LoRAs, and of prompts, that have a word which general knowledge does not list."""


class Background(NamedTuple):
    """What is generally known of a word: the share of LoRAs that have it, and the share of example prompts."""

    loras: float = RARE
    prompts: float = RARE


FIRST = (
    *("name", "title", "trigger", "tag", "description", "rare_trigger", "example", "telling", "likelihood"),
    "covered",
)
"""What the first pass over all LoRAs weighs."""
RARE_IDF = 5.0
_CHUNK = 1 << 20


def first_values(columns: NDArray[np.uint8], idf: Floats, rarity: Floats, own: Floats) -> Floats:
    """`FIRST` of some postings, shape (postings, 10). Args: idf, rarity, own: per posting."""
    shares = columns.astype(np.float32) / 255
    share = shares[:, EXAMPLES]
    telling = share**2 * rarity * shares[:, TELLING]
    return np.column_stack(
        (
            shares[:, :EXAMPLES] * idf[:, None],
            shares[:, TRIGGER] * np.where(idf > RARE_IDF, idf, 0),
            share * rarity,
            telling,
            np.log1p(share * np.exp(rarity)),
            telling / (own + 1),
        )
    ).astype(np.float32)


def build(
    models: Sequence[Listed],
    background: Mapping[str, Background],
    first: Floats,
    known: Index | None = None,
    read: ReadModels = iter,
) -> Index:
    """The index of `models`, which keep their order.

    Args:
        first: weights of `FIRST` for tags and for sentences, shape (2, 10).
        known: an index made with the same `background` and `first`; what it has read is not read again.
        read: gives the whole records of some of `models`.
    """
    stamps = digest(map(stamp, models))
    places = {} if known is None else dict(zip(known.stamps.tolist(), range(known.size), strict=True))
    came = [places.pop(mark, -1) for mark in stamps.tolist()]
    if known is not None and came == list(range(known.size)):
        return known
    loras = _read(read([model for model, place in zip(models, came, strict=True) if place < 0]))
    source = np.array(came, np.int64)
    new = source < 0
    if known is None:
        source = np.arange(len(models))
    else:
        source[new] = known.size + np.arange(np.count_nonzero(new))
        loras = _joined(_of(known), loras)
    return _weighed(_picked(loras, source), stamps, background, first)


class _Loras(NamedTuple):
    """What is known of some LoRAs by themselves. `groups`, `phrases`, `words` and `uses` say how many there are."""

    keys: NDArray[np.uint64]
    """Sorted."""
    lora: NDArray[np.int32]
    """Per posting, as the next two."""
    key: NDArray[np.int32]
    columns: NDArray[np.uint8]
    """Without `TELLING`."""
    examples: NDArray[np.uint8]
    """Per LoRA, as the next three."""
    creators: NDArray[np.uint64]
    numbers: NDArray[np.int64]
    styles: NDArray[np.uint8]
    groups: NDArray[np.int64]
    """Of every LoRA."""
    group_column: NDArray[np.uint8]
    phrases: NDArray[np.int64]
    """Of every group."""
    phrase_key: NDArray[np.int32]
    words: NDArray[np.int64]
    """Of every phrase."""
    word_key: NDArray[np.int32]
    uses: NDArray[np.int64]
    """Of every LoRA."""
    use_strength: NDArray[np.float64]
    use_stacked: NDArray[np.int8]
    use_times: NDArray[np.int32]


def _read(models: Iterable[ModelMetadata]) -> _Loras:
    numbers: dict[str, int] = {}
    key: list[int] = []
    columns = [np.empty((0, TELLING), np.uint8)]
    creators: list[str] = []
    per_lora: list[tuple[int, int, int, int, int, int]] = []
    groups: list[Group] = []
    uses: list[Use] = []
    for model in models:  # once, and one after the other: their words take much room until they are numbers
        read = document(model)
        key += [numbers.setdefault(text, len(numbers)) for text in read.postings]
        values = np.array(list(read.postings.values()), np.float32).reshape(-1, TELLING)
        columns.append(np.ceil(values * 255).clip(0, 255).astype(np.uint8))
        creators.append(read.creator)
        counts = len(read.postings), len(read.groups), len(read.uses)
        per_lora.append((*counts, read.examples, read.number, STYLES.index(read.style)))
        groups += read.groups
        uses += read.uses
    hashes = digest(numbers)
    order = np.argsort(hashes, kind="stable")
    rank = np.full(len(order) + 1, -1, np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    phrases = [phrase for group in groups for phrase in group.phrases]
    whole = [numbers["".join(phrase)] if 0 < len(phrase) <= MAX_PHRASE else -1 for phrase in phrases]
    postings, group_counts, use_counts, examples, number, styles = np.array(per_lora, np.int64).reshape(-1, 6).T
    return _Loras(
        keys=hashes[order],
        lora=np.repeat(np.arange(len(per_lora), dtype=np.int32), postings),
        key=rank[np.array(key, np.int64)],
        columns=np.concatenate(columns),
        examples=examples.astype(np.uint8),
        creators=np.where([bool(name) for name in creators], digest(creators), np.uint64(0)),
        numbers=number,
        styles=styles.astype(np.uint8),
        groups=group_counts,
        group_column=np.array([group.column for group in groups], np.uint8),
        phrases=np.array([len(group.phrases) for group in groups], np.int64),
        phrase_key=rank[np.array(whole, np.int64)],
        words=np.array([len(phrase) for phrase in phrases], np.int64),
        word_key=rank[np.array([numbers[word] for phrase in phrases for word in phrase], np.int64)],
        uses=use_counts,
        use_strength=np.array([use.strength for use in uses], np.float64),
        use_stacked=np.array([-1 if use.stacked is None else use.stacked for use in uses], np.int8),
        use_times=np.array([use.times for use in uses], np.int32),
    )


def _of(index: Index) -> _Loras:
    return _Loras(
        keys=index.keys,
        lora=index.loras,
        key=np.repeat(np.arange(len(index.keys), dtype=np.int32), np.diff(index.starts)),
        columns=index.columns[:, :TELLING],
        examples=index.examples,
        creators=index.creators,
        numbers=index.numbers,
        styles=index.styles,
        groups=np.diff(index.group_starts),
        group_column=index.group_column,
        phrases=np.diff(index.phrase_starts),
        phrase_key=index.phrase_key,
        words=np.diff(index.word_starts),
        word_key=index.word_key,
        uses=np.diff(index.use_starts),
        use_strength=index.use_strength,
        use_stacked=index.use_stacked,
        use_times=index.use_times,
    )


def _joined(one: _Loras, other: _Loras) -> _Loras:
    """Those of `one`, then those of `other`."""
    keys = np.union1d(one.keys, other.keys)
    parts = []
    for loras, offset in ((one, 0), (other, len(one.examples))):
        rank = np.append(np.searchsorted(keys, loras.keys), -1).astype(np.int32)
        parts.append(
            loras._replace(
                lora=loras.lora + np.int32(offset),
                key=rank[loras.key],
                phrase_key=rank[loras.phrase_key],
                word_key=rank[loras.word_key],
            )
        )
    return _Loras(*map(np.concatenate, zip(*parts, strict=True)))._replace(keys=keys)


def _picked(loras: _Loras, source: NDArray[np.int64]) -> _Loras:
    """Those at the places `source`, in that order; postings by key, then LoRA; keys that none of them has left out."""
    place = np.full(len(loras.examples), -1, np.int32)
    place[source] = np.arange(len(source), dtype=np.int32)
    lora = place[loras.lora]
    rows = np.flatnonzero(lora >= 0)
    rows = rows[np.argsort(loras.key[rows].astype(np.int64) * len(source) + lora[rows], kind="stable")]
    had = np.zeros(len(loras.keys), bool)
    had[loras.key[rows]] = True
    rank = np.append(np.cumsum(had) - 1, -1).astype(np.int32)
    groups = ranges(_starts(loras.groups)[source], loras.groups[source])
    phrases = ranges(_starts(loras.phrases)[groups], loras.phrases[groups])
    words = ranges(_starts(loras.words)[phrases], loras.words[phrases])
    uses = ranges(_starts(loras.uses)[source], loras.uses[source])
    return _Loras(
        keys=loras.keys[had],
        lora=lora[rows],
        key=rank[loras.key[rows]],
        columns=loras.columns[rows],
        examples=loras.examples[source],
        creators=loras.creators[source],
        numbers=loras.numbers[source],
        styles=loras.styles[source],
        groups=loras.groups[source],
        group_column=loras.group_column[groups],
        phrases=loras.phrases[groups],
        phrase_key=rank[loras.phrase_key[phrases]],
        words=loras.words[phrases],
        word_key=rank[loras.word_key[words]],
        uses=loras.uses[source],
        use_strength=loras.use_strength[uses],
        use_stacked=loras.use_stacked[uses],
        use_times=loras.use_times[uses],
    )


def _weighed(loras: _Loras, stamps: NDArray[np.uint64], background: Mapping[str, Background], first: Floats) -> Index:
    """What every word tells in this library."""
    count, key, lora = len(loras.examples), loras.key, loras.lora
    frequency = np.bincount(key, minlength=len(loras.keys))
    prior = np.full((len(loras.keys), 2), RARE)
    general = digest(background)
    _, ours, theirs = np.intersect1d(loras.keys, general, assume_unique=True, return_indices=True)
    prior[ours] = np.array(list(background.values()), np.float64).reshape(-1, 2)[theirs]
    share = loras.columns[:, EXAMPLES] / 255
    with_examples = int(np.count_nonzero(loras.examples))
    known = count + PRIOR
    prompts = (np.bincount(key, share, len(frequency)) + PRIOR * prior[:, 1] + 0.1) / (with_examples + PRIOR + 0.2)
    others = _creator_shares(loras.creators, lora, key, share)
    rarity = -np.log(prompts)
    telling = np.maximum(0, -np.log(np.minimum(1, prompts[key] + others))) / np.maximum(rarity[key], 1e-3)
    idf = np.log((known + 1) / (frequency + PRIOR * prior[:, 0] + 0.5)).astype(np.float32)
    rarity = rarity.astype(np.float32)
    own = np.bincount(lora, share**2 * rarity[key], count).astype(np.float32)
    columns = np.column_stack((loras.columns, np.round(telling * 255).clip(0, 255).astype(np.uint8)))
    impact = np.empty((len(columns), 2), np.float16)
    for start in range(0, len(columns), _CHUNK):
        part = slice(start, start + _CHUNK)
        impact[part] = first_values(columns[part], idf[key[part]], rarity[key[part]], own[lora[part]]) @ first.T
    return Index(
        keys=loras.keys,
        starts=_starts(frequency),
        loras=lora,
        columns=columns,
        impact=impact,
        idf=idf,
        rarity=rarity,
        examples=loras.examples,
        creators=loras.creators,
        numbers=loras.numbers,
        use_starts=_starts(loras.uses),
        use_strength=loras.use_strength,
        use_stacked=loras.use_stacked,
        use_times=loras.use_times,
        styles=loras.styles,
        own=own,
        group_starts=_starts(loras.groups),
        group_column=loras.group_column,
        phrase_starts=_starts(loras.phrases),
        phrase_key=loras.phrase_key,
        word_starts=_starts(loras.words),
        word_key=loras.word_key,
        stamps=stamps,
    )


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


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
