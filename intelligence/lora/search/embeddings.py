"""Embeddings of a library's LoRAs, for comparing meaning: an optional extra, used where its encoder is installed.

Every LoRA has one embedding for its texts and one for each of a few names. They are made in the background, and kept
as signed bytes in a database.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...database import Database
from ...errors import StorageError, UnsupportedModelError
from ...models import ModelMetadata
from .documents import Listed, ReadModels, stamp, top_tags
from .naming import title_pieces, trimmed
from .sentence_encoder import WIDTH, Encoder, encoder, find_weights, loaded_encoder
from .tokens import digest, tokens

MAX_TEXT, MAX_NAME = 300, 60
"""Characters that are read."""
MAX_NAMES = 5
"""Of a LoRA."""
MIN_READ_SHARE = 0.9
"""Share of the LoRAs that have embeddings before any are used: a half-read library would favour what was read first."""
STEP_LORAS, STEP_TEXTS = 500, 24
"""LoRAs looked at, and texts embedded, before the thread checks whether to go on."""
EARLIER_FILES = "lora-embeddings.db*"
"""Embeddings of an encoder that is no longer used."""

MIGRATIONS = (
    """
    CREATE TABLE embeddings (
        model_id TEXT PRIMARY KEY,
        mark INTEGER NOT NULL,
        content BLOB NOT NULL,
        names TEXT NOT NULL,
        vectors BLOB NOT NULL
    );
    CREATE INDEX embeddings_by_content ON embeddings (content);
    """,
)

Texts = tuple[str, tuple[str, ...]]
"""A LoRA's texts as one, and its names."""
Vectors = NDArray[np.int8]
"""Shape (1 + names, 512): text, names. Only directions count."""


class Embedded(NamedTuple):
    """A LoRA's names, and its vectors."""

    names: tuple[str, ...]
    vectors: Vectors


NOT_READ = Embedded((), np.zeros((0, WIDTH), np.int8))

OnProgress = Callable[[int, int], None]
"""Called with (done, total)."""

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_KEPT = "names, vectors"
_MARKS = re.compile(r"[_\-.\d]+")


def names_of(model: ModelMetadata) -> tuple[str, ...]:
    """Return what a LoRA is called, as people say it: pieces of its title, its file name, its first trigger words."""
    said = title_pieces(model.title)[:2]
    said += [word for trigger in model.trigger_sets[:2] for word in trigger.words[:1]]
    said.append(" ".join(_MARKS.sub(" ", _CAMEL.sub(" ", model.name)).split()))
    found = dict.fromkeys(name.strip().lower()[:MAX_NAME] for name in said)
    return tuple(" ".join(name.split()) for name in found if len(name) > 2 and trimmed(tokens(name)))[:MAX_NAMES]


def texts_of(model: ModelMetadata) -> Texts:
    """Return the texts of a LoRA that are embedded."""
    words = dict.fromkeys(word for trigger in model.trigger_sets[:6] for word in trigger.words[:8])
    parts = (
        model.title or " ".join(_MARKS.sub(" ", _CAMEL.sub(" ", model.name)).split()),
        ", ".join(tag for tag, _ in top_tags(model, 20)),
        ", ".join(words),
        " ".join(model.description[:1000].split()),
    )
    return ". ".join(part for part in parts if part).lower()[:MAX_TEXT], names_of(model)


def quantized(vectors: NDArray[np.float32]) -> Vectors:
    """`vectors`, shape (n, width), as signed bytes, each scaled by its own largest component."""
    largest = np.maximum(np.abs(vectors).max(axis=1, keepdims=True), 1e-12)
    return np.rint(vectors * (127 / largest)).astype(np.int8)


class Embeddings:
    """The embeddings of a library in one block.

    Args:
        loras: each, `NOT_READ` where it has none yet.
    """

    BLOCK = 512
    """Rows that are widened at a time, so as to stay in the processor's cache."""

    def __init__(self, loras: Sequence[Embedded]) -> None:
        parts = [lora.vectors for lora in loras]
        counts = np.array([len(part) for part in parts], np.int64)
        self.names = [lora.names for lora in loras]
        self.read = np.flatnonzero(counts > 0)
        """LoRAs that have embeddings."""
        self._first = np.cumsum(counts) - counts
        self._counts = counts
        self._vectors = np.concatenate([*parts, np.zeros((0, WIDTH), np.int8)])
        self._scale = np.empty(len(self._vectors), np.float32)
        for start in range(0, len(self._vectors), self.BLOCK):
            block = self._vectors[start : start + self.BLOCK].astype(np.float32)
            length = np.sqrt(np.einsum("ij,ij->i", block, block))
            self._scale[start : start + len(block)] = 1 / np.maximum(length, 1e-12)

    def text_cosines_of(self, loras: NDArray[np.int64], queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosines of queries (queries, 512) with the texts of some LoRAs that are read: (loras, queries)."""
        return self._cosines(self._first[loras], queries)

    def text_cosines(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosines of queries (queries, 512) with the texts of `read`: (read, queries)."""
        return self.text_cosines_of(self.read, queries)

    def name_cosines(
        self, loras: NDArray[np.int64], queries: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Cosines with every name of some LoRAs: (names, queries); and whose each name is."""
        counts = np.maximum(self._counts[loras] - 1, 0)
        owner = np.repeat(loras, counts)
        number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self._cosines(self._first[owner] + 1 + number, queries), owner

    def _cosines(self, rows: NDArray[np.int64], queries: NDArray[np.float32]) -> NDArray[np.float32]:
        out = np.empty((len(rows), len(queries)), np.float32)
        for start in range(0, len(rows), self.BLOCK):
            part = rows[start : start + self.BLOCK]
            out[start : start + len(part)] = self._vectors[part].astype(np.float32) @ queries.T
        out *= self._scale[rows, None]
        return out


class EmbeddingStore:
    """Makes and keeps the embeddings of one library.

    Args:
        models: the LoRAs, in the order of `Embeddings`.
        read: gives the whole records of some of `models`.
        path: the database of embeddings, made on first use. After a restart it answers at once; LoRAs that are new or
            changed are embedded by a thread that the first question starts and that ends when this object is dropped.

    Safe for threads.
    """

    def __init__(self, models: Sequence[Listed], path: str | Path, read: ReadModels = iter) -> None:
        self.models = tuple(models)
        self._read_models = read
        self._database = Database(path, MIGRATIONS, cache=True)
        self.problem = ""
        """Error that keeps the extra from being used although it is installed; empty: none."""
        self._lock = threading.RLock()
        self._steps = threading.Lock()
        self._known: dict[str, Embedded] | None = None
        self._embeddings: Embeddings | None = None
        self._unread: list[tuple[Listed, int]] = []
        """LoRAs whose texts are to be looked at, each with its mark, the next one last."""
        self._thread: threading.Thread | None = None

    @property
    def available(self) -> bool:
        """True where the encoder is on this machine, and no error occurred."""
        return not self.problem and find_weights() is not None

    @property
    def read_count(self) -> int:
        """Number of the LoRAs that have embeddings."""
        return len(self._read())

    @property
    def is_ready(self) -> bool:
        """True where enough of the LoRAs have embeddings for them to be used, and the encoder is loaded."""
        return self.read_count >= MIN_READ_SHARE * len(self.models) and loaded_encoder() is not None

    def ask(self) -> tuple[Encoder, Embeddings] | None:
        """Return the encoder and the embeddings; None where the extra cannot be used, or not yet.

        Never waits: what is missing, the encoder too, is loaded and made by a thread that this starts.
        """
        if not self.models or not self.available:
            return None
        running = loaded_encoder()
        self._read()
        if self._unread or running is None:
            self._start()
        if running is None or not self.is_ready:
            return None
        with self._noting():
            return running, self._packed()
        return None

    def build(self, on_progress: OnProgress | None = None, cancelled: Callable[[], bool] = lambda: False) -> int:
        """Load the encoder and embed every LoRA that is new or changed. Returns how many were (0: not installed)."""
        done, total = 0, len(self.models)
        while self.available and not cancelled() and (step := self._step()) is not None:
            done += step
            if on_progress is not None:
                on_progress(total - len(self._unread), total)
        return done

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                # no daemon: Python stops those anywhere when it ends, inside of numpy too, and crashes
                self._thread = threading.Thread(target=_keep_building, args=(weakref.ref(self),), name="LoRA texts")
                self._thread.start()

    def _read(self) -> dict[str, Embedded]:
        with self._lock:
            if self._known is None:
                self._known = {}
                marks = digest(map(stamp, self.models)).view(np.int64).tolist()
                unread = {model.model_id: (model, mark) for model, mark in zip(self.models, marks, strict=True)}
                with self._noting(), self._database.read() as database:
                    for model_id, mark, *kept in database.execute(f"SELECT model_id, mark, {_KEPT} FROM embeddings"):
                        if model_id in unread:
                            self._known[model_id] = _embedded(*kept)
                            if mark == unread[model_id][1]:
                                del unread[model_id]
                self._unread = [*unread.values()][::-1]
            return self._known

    def _packed(self) -> Embeddings:
        with self._lock:
            if self._embeddings is None:
                known = self._read()
                self._embeddings = Embeddings([known.get(model.model_id, NOT_READ) for model in self.models])
            return self._embeddings

    def _step(self) -> int | None:
        """Look at the next LoRAs; how many of them were embedded, None: there are no more."""
        with self._steps, self._noting():
            known, running = self._read(), encoder()
            if running is None or self.problem or not self._unread:
                return None
            todo: list[tuple[str, int, bytes, Texts]] = []
            found: list[tuple[str, int, bytes, Embedded]] = []
            with self._database.read() as database:
                for _ in range(STEP_LORAS):
                    if not self._unread or sum(1 + len(texts[1]) for *_, texts in todo) >= STEP_TEXTS:
                        break
                    listed, mark = self._unread.pop()
                    (model,) = self._read_models([listed])
                    texts = texts_of(model)
                    content = hashlib.sha256(repr(texts).encode("utf-8", "replace")).digest()
                    kept = _stored(database, content, model.model_id)
                    if kept is None:
                        todo.append((model.model_id, mark, content, texts))
                    else:
                        found.append((model.model_id, mark, content, kept))
            vectors = _embed(running, [texts for *_, texts in todo])
            found += [(*one[:3], new) for one, new in zip(todo, vectors, strict=True)]
            with self._database.transaction() as database:
                database.executemany(
                    f"INSERT OR REPLACE INTO embeddings (model_id, mark, content, {_KEPT}) VALUES (?, ?, ?, ?, ?)",
                    [(*one, "\n".join(new.names), new.vectors.tobytes()) for *one, new in found],
                )
            with self._lock:
                known.update((model_id, new) for model_id, _, _, new in found)
                self._embeddings = None
            if not self._unread:
                self._remove_earlier_files()
            return len(todo)
        return None

    def _remove_earlier_files(self) -> None:
        for path in self._database.path.parent.glob(EARLIER_FILES):
            with suppress(OSError):
                path.unlink()

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Keep an error that makes the extra unusable in `problem`; the prompt goes on without it."""
        try:
            yield
        except (StorageError, UnsupportedModelError, OSError) as error:
            self.problem = str(error)


def _keep_building(reference: weakref.ref[EmbeddingStore]) -> None:
    """Embed texts for as long as the store and Python live."""
    while threading.main_thread().is_alive():
        store = reference()
        if store is None or store._step() is None:
            return
        del store


def _embed(running: Encoder, loras: Sequence[Texts]) -> Iterator[Embedded]:
    texts = [text for whole, names in loras for text in (whole, *names)]
    every = running.encode(texts) if texts else np.empty((0, WIDTH), np.float32)
    start = 0
    for _, names in loras:
        yield Embedded(names, quantized(every[start : start + 1 + len(names)]))
        start += 1 + len(names)


def _stored(database: sqlite3.Connection, content: bytes, model_id: str) -> Embedded | None:
    """The embeddings of this content, the LoRA's own first (a moved or copied file has another's)."""
    query = f"SELECT {_KEPT} FROM embeddings WHERE content = ? ORDER BY model_id <> ? LIMIT 1"
    row = database.execute(query, (content, model_id)).fetchone()
    return None if row is None else _embedded(*row)


def _embedded(names: str, vectors: bytes) -> Embedded:
    return Embedded(tuple(names.split("\n")) if names else (), np.frombuffer(vectors, np.int8).reshape(-1, WIDTH))
