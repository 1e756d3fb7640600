"""The LoRAs of a library as flat postings: which word or phrase stands where in which LoRA, and how much it tells.

A *key* is a word, or a phrase of up to six words written without spaces (`nice nature` and `NiceNature` share one).
A *posting* is one key in one LoRA with seven columns, each 0 … 1 in 255 steps: how strongly it stands in the name, the
title, the trigger words, the tags and the description (BM25's saturated term frequency, normalised by length), the
share of the LoRA's example prompts (or training captions) that have it, and how much of the key's rarity is left beside
the prompts of its creator's other LoRAs.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ..prompt import ArtisticStyle, vocabulary
from ..prompt.words import terms
from ..registry import ModelMetadata
from .selection import is_style
from .text import MAX_PHRASE, pieces, tokens

NAME, TITLE, TRIGGER, TAG, DESCRIPTION, EXAMPLES, TELLING = range(7)
COLUMNS = 7
LENGTHS = {NAME: 3.0, TITLE: 5.0, TRIGGER: 8.0, TAG: 8.0, DESCRIPTION: 60.0}
"""Usual length of a field in words."""
K1, B = 1.2, 0.5
"""BM25's constants."""
CAPTIONS = 0.9
"""Share of the captions that the most frequent training tag counts as."""
PRIOR = 2000
"""LoRAs' worth of general knowledge that stands beside what the library itself says of a word."""
RARE = 1e-4
"""Share of LoRAs, and of prompts, that have a word which general knowledge does not list."""

MAX_EXAMPLES = 20
MAX_SETS = 24
MAX_PHRASES = 24
MAX_TAGS = 150
MAX_DESCRIPTION = 4_000
"""Characters, as the next two."""
MAX_EXAMPLE = 1_500
MAX_TEXT = 300

Floats = NDArray[np.float32]
STYLES = tuple(ArtisticStyle)


class Background(NamedTuple):
    """What is generally known of a word: the share of LoRAs that have it, and the share of example prompts."""

    loras: float = RARE
    prompts: float = RARE


class Group(NamedTuple):
    """Phrases that are met together: a name, a title or one trigger set."""

    column: int
    phrases: tuple[tuple[str, ...], ...]


class Document(NamedTuple):
    """One LoRA, read: key → its columns (without `TELLING`), and its groups."""

    postings: dict[str, list[float]]
    groups: list[Group]
    examples: int


def document(model: ModelMetadata) -> Document:
    """Read one LoRA's words."""
    postings: dict[str, list[float]] = {}
    groups: list[Group] = []

    def put(column: int, phrases: Iterable[tuple[str, ...]]) -> None:
        phrases = list(dict.fromkeys(phrases))
        words = Counter(word for phrase in phrases for word in phrase)
        room = K1 * (1 - B + B * sum(words.values()) / LENGTHS[column])
        for word, count in words.items():
            columns = postings.setdefault(word, [0.0] * TELLING)
            columns[column] = max(columns[column], count / (count + room))
        for phrase in phrases:
            if 1 < len(phrase) <= MAX_PHRASE:
                columns = postings.setdefault("".join(phrase), [0.0] * TELLING)
                columns[column] = max(columns[column], 1 / (1 + room))

    name, title = tokens(model.name[:MAX_TEXT]), tuple(pieces(model.title[:MAX_TEXT]))
    sets = [
        tuple(phrase for word in trigger.words[:MAX_PHRASES] if (phrase := tokens(word[:MAX_TEXT])))
        for trigger in model.trigger_sets[:MAX_SETS]
    ]
    put(NAME, (name,))
    put(TITLE, title)
    put(TRIGGER, (phrase for phrases in sets for phrase in phrases))
    ranked = sorted(model.tags.items(), key=lambda item: (-item[1], item[0]))[:MAX_TAGS]
    put(TAG, (tokens(tag[:MAX_TEXT]) for tag, _ in ranked[:20]))
    description = tokens(model.description[:MAX_DESCRIPTION])
    room = K1 * (1 - B + B * len(description) / LENGTHS[DESCRIPTION])
    for word, count in Counter(description).items():
        postings.setdefault(word, [0.0] * TELLING)[DESCRIPTION] = count / (count + room)
    for key, share in _shares(model, ranked).items():
        postings.setdefault(key, [0.0] * TELLING)[EXAMPLES] = share
    groups = [Group(NAME, (name,)), Group(TITLE, title), *(Group(TRIGGER, phrases) for phrases in sets)]
    return Document(postings, groups, min(len(model.example_prompts), MAX_EXAMPLES))


def _shares(model: ModelMetadata, ranked: Sequence[tuple[str, int]]) -> dict[str, float]:
    """Key → share of the example prompts that have it; of training captions where the tags are counted.

    Phrases of one prompt alone are left out unless there are only one or two.
    """
    words: Counter[str] = Counter()
    phrases: Counter[str] = Counter()
    examples = model.example_prompts[:MAX_EXAMPLES]
    for example in examples:
        found = pieces(example.prompt[:MAX_EXAMPLE])
        words.update({word for piece in found for word in piece})
        phrases.update({"".join(piece) for piece in found if 1 < len(piece) <= MAX_PHRASE})
    least = 1 if len(examples) <= 2 else 2
    counts = {**{key: count for key, count in phrases.items() if count >= least}, **words}
    shares = {key: count / (len(examples) + 0.5) for key, count in counts.items()}
    most = ranked[0][1] if ranked else 0
    for tag, count in ranked if most > 1 else ():
        phrase = tokens(tag[:MAX_TEXT])
        for key in {*phrase, "".join(phrase)} if len(phrase) <= MAX_PHRASE else phrase:
            shares[key] = max(shares.get(key, 0.0), CAPTIONS * max(0, count) / most)
    return shares


def _style_of(model: ModelMetadata) -> ArtisticStyle:
    """The style that a style LoRA's name, trigger words and most frequent tags speak of."""
    if not is_style(model):
        return ArtisticStyle.UNSPECIFIED
    votes: Counter[ArtisticStyle] = Counter()
    known = vocabulary.load(None)
    ranked = sorted(model.tags.items(), key=lambda item: (-item[1], item[0]))[:10]
    most = max(1, ranked[0][1]) if ranked else 1
    texts = [(model.name, 1.0), *((word, 1.0) for trigger in model.trigger_sets[:MAX_SETS] for word in trigger.words)]
    texts = [*texts[: MAX_SETS * MAX_PHRASES], *((tag, count / most) for tag, count in ranked)]
    for text, weight in texts:
        for match in known.find(terms(text[:MAX_TEXT])):
            for style, strength in match.meaning.styles:
                votes[style] += weight * strength  # type: ignore[assignment]
    best = min(votes, key=lambda style: (-votes[style], style), default=ArtisticStyle.UNSPECIFIED)
    return best if votes[best] >= 0.5 else ArtisticStyle.UNSPECIFIED


def digest(keys: Iterable[str]) -> NDArray[np.uint64]:
    """The 64-bit number of every key."""
    data = b"".join(blake2b(key.encode(), digest_size=8).digest() for key in keys)
    return np.frombuffer(data, np.uint64)


@dataclass(frozen=True)
class Index:
    """All LoRAs' postings, ordered by key and then LoRA; their groups, ordered by LoRA."""

    keys: NDArray[np.uint64]
    """Sorted; a key's place here is its number."""
    starts: NDArray[np.int64]
    """Where a key's postings start, and the end of the last."""
    loras: NDArray[np.int32]
    """The LoRA of every posting."""
    columns: NDArray[np.uint8]
    """Shape (postings, 7)."""
    impact: NDArray[np.float16]
    """What a posting counts in the ranker's first pass, shape (postings, 2): for tags and for sentences."""
    idf: Floats
    """Per key: log of the inverse share of LoRAs that have it, general knowledge included."""
    rarity: Floats
    """Per key: log of the inverse share of example prompts that have it, likewise."""
    examples: NDArray[np.uint8]
    """Per LoRA: how many example prompts it has."""
    creators: NDArray[np.int32]
    """Per LoRA: a number of its creator, −1 where that is not known."""
    styles: NDArray[np.uint8]
    """Per LoRA: place of its style in `ArtisticStyle`; unspecified for those that are there for something else."""
    own: Floats
    """Per LoRA: the sum of share² · rarity over its keys."""
    group_starts: NDArray[np.int64]
    """Where a LoRA's groups start."""
    group_column: NDArray[np.uint8]
    phrase_starts: NDArray[np.int64]
    """Where a group's phrases start."""
    phrase_key: NDArray[np.int32]
    """Number of the phrase's key."""
    word_starts: NDArray[np.int64]
    """Where a phrase's words start."""
    word_key: NDArray[np.int32]

    @property
    def size(self) -> int:
        """How many LoRAs there are."""
        return len(self.examples)

    def style(self, lora: int) -> ArtisticStyle:
        """The look that a style LoRA is there for."""
        return STYLES[self.styles[lora]]

    def find(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """The numbers of those of `keys` that some LoRA has, and −1 for the others."""
        asked = digest(keys)
        places = np.minimum(np.searchsorted(self.keys, asked), max(0, len(self.keys) - 1))
        return np.where(self.keys[places] == asked, places, -1) if len(self.keys) else np.full(len(asked), -1)


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


def build(models: Sequence[ModelMetadata], background: Mapping[str, Background], first: Floats) -> Index:
    """The index of `models`, which keep their order.

    Args:
        first: weights of `FIRST` for tags and for sentences, shape (2, 10).
    """
    numbers: dict[str, int] = {}
    found_keys: list[int] = []
    found_columns: list[NDArray[np.uint8]] = []
    counts: list[int] = []
    groups: list[Group] = []
    group_counts: list[int] = []
    examples: list[int] = []
    creators: list[int] = []
    styles: list[int] = []
    known_creators: dict[str, int] = {}
    for model in models:  # once: a record's fields may lie in a database
        read = document(model)
        creators.append(known_creators.setdefault(model.creator, len(known_creators)) if model.creator else -1)
        styles.append(STYLES.index(_style_of(model)))
        found_keys += [numbers.setdefault(key, len(numbers)) for key in read.postings]
        values = np.array(list(read.postings.values()), np.float32).reshape(-1, TELLING)
        found_columns.append(np.ceil(values * 255).clip(0, 255).astype(np.uint8))
        counts.append(len(read.postings))
        groups += read.groups
        group_counts.append(len(read.groups))
        examples.append(read.examples)
    phrases = [phrase for group in groups for phrase in group.phrases]
    words = [numbers[word] for phrase in phrases for word in phrase]
    joined = [numbers.get("".join(phrase), -1) for phrase in phrases]
    hashes = digest(numbers)
    order = np.argsort(hashes, kind="stable")
    rank = np.empty(len(order) + 1, np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    rank[-1] = -1
    by_lora = np.repeat(np.arange(len(models), dtype=np.int32), counts)
    key = rank[np.array(found_keys, np.int64)] if found_keys else np.empty(0, np.int32)
    columns = np.concatenate(found_columns) if found_columns else np.empty((0, TELLING), np.uint8)
    sequence = np.lexsort((by_lora, key))
    by_lora, key, columns = by_lora[sequence], key[sequence], columns[sequence]
    share = columns[:, EXAMPLES] / 255
    frequency = np.bincount(key, minlength=len(order))
    known = [background.get(text) for text in numbers]
    prior = np.array([(item or Background()) for item in known], np.float64).reshape(-1, 2)[order]
    with_examples = int(np.count_nonzero(np.array(examples)))
    loras = len(models) + PRIOR
    prompts = (np.bincount(key, share, len(order)) + PRIOR * prior[:, 1] + 0.1) / (with_examples + PRIOR + 0.2)
    others = _creator_shares(np.array(creators, np.int32), by_lora, key, share)
    rarity = -np.log(prompts)
    telling = np.maximum(0, -np.log(np.minimum(1, prompts[key] + others))) / np.maximum(rarity[key], 1e-3)
    idf = np.log((loras + 1) / (frequency + PRIOR * prior[:, 0] + 0.5)).astype(np.float32)
    rarity = rarity.astype(np.float32)
    own = np.bincount(by_lora, share**2 * rarity[key], len(models)).astype(np.float32)
    columns = np.column_stack((columns, np.round(telling * 255).clip(0, 255).astype(np.uint8)))
    impact = np.empty((len(columns), 2), np.float16)
    for start in range(0, len(columns), _CHUNK):
        part = slice(start, start + _CHUNK)
        impact[part] = first_values(columns[part], idf[key[part]], rarity[key[part]], own[by_lora[part]]) @ first.T
    return Index(
        keys=hashes[order],
        starts=np.concatenate(([0], np.cumsum(frequency))).astype(np.int64),
        loras=by_lora,
        columns=columns,
        impact=impact,
        idf=idf,
        rarity=rarity,
        examples=np.array(examples, np.uint8),
        creators=np.array(creators, np.int32),
        styles=np.array(styles, np.uint8),
        own=own,
        group_starts=_starts(group_counts),
        group_column=np.array([group.column for group in groups], np.uint8),
        phrase_starts=_starts([len(group.phrases) for group in groups]),
        phrase_key=rank[np.array(joined, np.int64)] if joined else np.empty(0, np.int32),
        word_starts=_starts([len(phrase) for phrase in phrases]),
        word_key=rank[np.array(words, np.int64)] if words else np.empty(0, np.int32),
    )


def _starts(counts: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(np.array(counts, np.int64)))).astype(np.int64)


def _creator_shares(
    creators: NDArray[np.int32], loras: NDArray[np.int32], keys: NDArray[np.int32], shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Per posting: the mean share over the other LoRAs of the same creator; 0 where there is none."""
    others = np.bincount(creators + 1)[creators + 1] - 1 if len(creators) else creators
    others = np.where(creators < 0, 0, others)
    mean = np.zeros(len(loras))
    rows = np.flatnonzero(others[loras] > 0) if len(loras) else np.empty(0, np.int64)
    pair = creators[loras[rows]].astype(np.int64) * (int(keys.max(initial=0)) + 1) + keys[rows]
    _, place = np.unique(pair, return_inverse=True)
    total = np.bincount(place, shares[rows])
    mean[rows] = (total[place] - shares[rows]) / others[loras[rows]]
    return mean


def save(index: Index, path: Path, mark: str) -> None:
    """Write `index` beside the registry; where that cannot be, it is simply made again next time."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, mark=np.array(mark), **vars(index))
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)


def load(path: Path, mark: str) -> Index | None:
    """What `save` wrote under this `mark`; None where there is none, or another, or it is broken."""
    try:
        with np.load(path, allow_pickle=False) as data:
            if str(data["mark"]) != mark:
                return None
            return Index(**{field.name: data[field.name] for field in fields(Index)})
    except (OSError, EOFError, ValueError, KeyError, BadZipFile):
        return None
