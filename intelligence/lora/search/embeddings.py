"""Compare the meaning of a prompt with each LoRA of a library: an optional extra, used where MiniLM is installed.

Every LoRA has one embedding for its name, one for its texts, one for each of a few example prompts and one for their
mean. They are made in the background, kept in a database, and compared with the prompt's as signed bytes.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...database import Database
from ...errors import StorageError, UnsupportedModelError
from ...models import ModelMetadata
from .documents import Listed, ReadModels, stamp, top_tags
from .minilm import REPOSITORY, WIDTH, Encoder, encoder, find_weights
from .tokens import digest

QUERY_TOKENS = 64
EXAMPLE_TOKENS = 48
TEXT_TOKENS = 128
MAX_EXAMPLES = 4
"""Of a LoRA: the first that differ."""
MIN_READ_SHARE = 0.9
"""Share of the LoRAs that have embeddings before any are used: a half-read library would favour what was read first."""
STEP_LORAS, STEP_TEXTS = 500, 24
"""LoRAs looked at, and texts embedded, before the thread checks whether to go on."""

COLUMNS = ("name", "text", "examples mean", "examples max")
"""Of `DenseText.similarities`."""

MIGRATIONS = (
    """
    CREATE TABLE embeddings (
        model_id TEXT PRIMARY KEY,
        content BLOB NOT NULL,
        vectors BLOB NOT NULL
    );
    CREATE INDEX embeddings_by_content ON embeddings (content);
    """,
    "ALTER TABLE embeddings ADD COLUMN mark INTEGER NOT NULL DEFAULT 0;",
)

Texts = tuple[str, str, tuple[str, ...]]
"""A LoRA's name, its texts as one, and its first example prompts."""
Vectors = NDArray[np.int8]
"""Shape (2, or 3 + number of examples; 384): name, text, mean of the examples, examples. Only directions count."""

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[_.]")


def texts_of(model: ModelMetadata) -> Texts:
    """Return the texts of a LoRA that are embedded."""
    name = model.title or " ".join(_CAMEL.sub(" ", model.name).split())
    words = dict.fromkeys(word for trigger in model.trigger_sets[:6] for word in trigger.words[:8])
    parts = (
        name,
        ", ".join(tag for tag, _ in top_tags(model, 20)),
        ", ".join(words),
        " ".join(model.description[:1000].split()),
    )
    examples = dict.fromkeys(example.prompt[: 8 * EXAMPLE_TOKENS] for example in model.example_prompts)
    return name, ". ".join(part for part in parts if part), tuple(text for text in examples if text)[:MAX_EXAMPLES]


def quantized(vectors: NDArray[np.float32]) -> Vectors:
    """`vectors`, shape (n, width), as signed bytes, each scaled by its own largest component."""
    largest = np.maximum(np.abs(vectors).max(axis=1, keepdims=True), 1e-12)
    return np.rint(vectors * (127 / largest)).astype(np.int8)


class Embeddings:
    """The embeddings of a library in one block, 384 bytes each.

    Args:
        parts: per LoRA its vectors, without rows where it has none yet.
    """

    BLOCK = 512
    """Rows that are widened at a time, so as to stay in the processor's cache."""

    def __init__(self, parts: Sequence[Vectors]) -> None:
        self._count = np.array([len(part) for part in parts], np.int64)
        self._first = np.cumsum(self._count) - self._count
        self._vectors = np.concatenate([*parts, np.zeros((1, WIDTH), np.int8)])
        """With an empty row at the end, so that the end of the last LoRA is a row too."""
        self._scale = np.empty(len(self._vectors), np.float32)
        for start, block in self._blocks():
            length = np.sqrt(np.einsum("ij,ij->i", block, block))
            self._scale[start : start + len(block)] = 1 / np.maximum(length, 1e-12)

    def _blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        for start in range(0, len(self._vectors), self.BLOCK):
            yield start, self._vectors[start : start + self.BLOCK].astype(np.float32)

    def similarities(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """As `DenseText.similarities` gives them, for a query embedding of length 1."""
        every = np.empty(len(self._vectors), np.float32)
        for start, block in self._blocks():
            every[start : start + len(block)] = block @ query
        every *= self._scale
        found = np.full((len(self._first), len(COLUMNS)), np.nan, np.float32)
        read, shown = np.flatnonzero(self._count > 0), np.flatnonzero(self._count > 3)
        found[read, :2] = every[self._first[read, None] + np.arange(2)]
        found[read, 2:] = 0
        if len(shown):
            first, end = self._first[shown], self._first[shown] + self._count[shown]
            found[shown, 2] = every[first + 2]
            found[shown, 3] = np.maximum.reduceat(every, np.stack([first + 3, end], axis=1).ravel())[::2]
        return found


class DenseText:
    """The similarity of meaning between prompts and the LoRAs of one library.

    Args:
        models: the LoRAs, in the order of the rows of `similarities`.
        read: gives the whole records of some of `models`.
        path: the database of embeddings, made on first use. After a restart it answers at once; LoRAs that are new or
            changed are embedded by a thread that the first question starts and that ends when this object is dropped.

    Safe for threads.
    """

    def __init__(self, models: Sequence[Listed], path: str | Path, read: ReadModels = iter) -> None:
        self.models = tuple(models)
        self._read_models = read
        self._database = Database(path, MIGRATIONS)
        self.problem = ""
        """Error that keeps the extra from being used although it is installed; empty: none."""
        self._lock = threading.RLock()
        self._steps = threading.Lock()
        self._known: dict[str, Vectors] | None = None
        self._embeddings: Embeddings | None = None
        self._unread: list[tuple[Listed, int]] = []
        """LoRAs whose texts are to be looked at, each with its mark, the next one last."""
        self._thread: threading.Thread | None = None

    @property
    def available(self) -> bool:
        """True where the weights and the libraries to run them are on this machine, and no error occurred."""
        return not self.problem and find_weights() is not None

    @property
    def read_count(self) -> int:
        """Number of the LoRAs that have embeddings."""
        return len(self._read())

    @property
    def is_ready(self) -> bool:
        """True where enough of the LoRAs have embeddings for them to be used."""
        return self.read_count >= MIN_READ_SHARE * len(self.models)

    def similarities(self, query: str) -> NDArray[np.float32] | None:
        """Cosines of `query` with every LoRA, shape (models, 4), columns as in `COLUMNS`, −1 … 1.

        A LoRA without example prompts has 0 for them; one that has not been read yet has NaN in all columns. None where
        the extra is not installed or cannot be used, and until nine tenths of the library have been read: it never
        waits for that. The first question loads the encoder (about a second where torch is not loaded yet).
        """
        if not self.models or not query.strip() or not self.available:
            return None
        known = self._read()
        if self._unread:
            self._start()
        if known and self.is_ready:
            with self._noting():
                return self._packed().similarities(_embedded(query))
        return None

    def build(self) -> int:
        """Embed every LoRA that is new or changed, and return how many were (none where the extra cannot be used)."""
        done = 0
        while self.available and (step := self._step()) is not None:
            done += step
        return done

    def _start(self) -> None:
        if "torch" not in sys.modules:
            return  # a program that never samples is not to load it in the background, and to wait for that at its end
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                # no daemon: Python stops those anywhere when it ends, inside of torch too, and crashes
                self._thread = threading.Thread(target=_keep_building, args=(weakref.ref(self),), name="LoRA texts")
                self._thread.start()

    def _read(self) -> dict[str, Vectors]:
        with self._lock:
            if self._known is None:
                self._known = {}
                marks = digest(map(stamp, self.models)).view(np.int64).tolist()
                unread = {model.model_id: (model, mark) for model, mark in zip(self.models, marks, strict=True)}
                with self._noting(), self._database.read() as database:
                    for model_id, mark, vectors in database.execute("SELECT model_id, mark, vectors FROM embeddings"):
                        if model_id in unread:
                            self._known[model_id] = _vectors(vectors)
                            if mark == unread[model_id][1]:
                                del unread[model_id]
                self._unread = [*unread.values()][::-1]
            return self._known

    def _packed(self) -> Embeddings:
        with self._lock:
            if self._embeddings is None:
                known, none = self._read(), np.zeros((0, WIDTH), np.int8)
                self._embeddings = Embeddings([known.get(model.model_id, none) for model in self.models])
            return self._embeddings

    def _step(self) -> int | None:
        """Look at the next LoRAs; how many of them were embedded, None: there are no more."""
        with self._steps, self._noting():
            known, running = self._read(), encoder()
            if running is None or self.problem or not self._unread:
                return None
            todo: list[tuple[str, bytes, int, Texts]] = []
            found: list[tuple[str, bytes, int, Vectors]] = []
            with self._database.read() as database:
                for _ in range(STEP_LORAS):
                    if not self._unread or sum(2 + len(texts[2]) for *_, texts in todo) >= STEP_TEXTS:
                        break
                    listed, mark = self._unread.pop()
                    (model,) = self._read_models([listed])
                    texts = texts_of(model)
                    content = hashlib.sha256(repr(texts).encode("utf-8", "replace")).digest()
                    kept = _stored(database, content, model.model_id)
                    if kept is None:
                        todo.append((model.model_id, content, mark, texts))
                    else:
                        found.append((model.model_id, content, mark, kept))
            vectors = _embed(running, [texts for *_, texts in todo])
            found += [(*one[:3], new) for one, new in zip(todo, vectors, strict=True)]
            with self._database.transaction() as database:
                database.executemany(
                    "INSERT OR REPLACE INTO embeddings (model_id, content, mark, vectors) VALUES (?, ?, ?, ?)",
                    [(*one, new.tobytes()) for *one, new in found],
                )
            with self._lock:
                known.update((model_id, new) for model_id, _, _, new in found)
                self._embeddings = None
            return len(todo)
        return None

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Keep an error that makes the extra unusable in `problem`; the prompt goes on without it."""
        try:
            yield
        except (StorageError, UnsupportedModelError, OSError) as error:
            self.problem = str(error)


def _keep_building(reference: weakref.ref[DenseText]) -> None:
    """Embed texts for as long as the DenseText and Python live."""
    while threading.main_thread().is_alive():
        dense = reference()
        if dense is None or dense._step() is None:
            return
        del dense


@lru_cache(maxsize=32)
def _embedded(query: str) -> NDArray[np.float32]:
    running = encoder()
    if running is None:
        raise UnsupportedModelError(f"{REPOSITORY} is no longer on this machine")
    return running.encode([query], QUERY_TOKENS)[0]


def _embed(running: Encoder, loras: Sequence[Texts]) -> Iterator[Vectors]:
    texts = running.encode([text for _, text, _ in loras], TEXT_TOKENS)
    short = iter(running.encode([part for name, _, prompts in loras for part in (name, *prompts)], EXAMPLE_TOKENS))
    for (_, _, prompts), text in zip(loras, texts, strict=True):
        name = next(short)
        examples = [next(short) for _ in prompts]
        yield quantized(np.stack([name, text, *([np.mean(examples, axis=0), *examples] if examples else [])]))


def _stored(database: sqlite3.Connection, content: bytes, model_id: str) -> Vectors | None:
    """The embeddings of this content, the LoRA's own first (a moved or copied file has another's)."""
    query = "SELECT vectors FROM embeddings WHERE content = ? ORDER BY model_id <> ? LIMIT 1"
    row = database.execute(query, (content, model_id)).fetchone()
    return None if row is None else _vectors(row[0])


def _vectors(data: bytes) -> Vectors:
    return np.frombuffer(data, np.int8).reshape(-1, WIDTH)
