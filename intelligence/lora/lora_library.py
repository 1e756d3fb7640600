"""A registry's LoRAs, ready to be asked: their index, their names, what each base model keeps out."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..models import Architecture, FamilyFinding, LoRAKind, ModelMetadata
from ..prompt import PromptAnalysis
from .search import ranker
from .search.documents import Listed, ReadModels
from .search.embeddings import DenseText
from .search.index import Floats, Index, Postings, load, save
from .search.tokens import Query
from .strength import Strengths

INDEX_FILE = "lora-index.npz"
EMBEDDINGS_FILE = "lora-embeddings.db"
KEPT_FROM = 500
"""LoRAs from which an index is kept: fewer are read faster than a file is worth."""
UNWRITTEN = 0.01
"""Share of the LoRAs that may have changed before the kept index is written anew: the next start reads them again."""
TAG_LIST = 0.9
"""Probability of a list of tags from which similarity of meaning is not asked: it tells nothing there."""


class Library:
    """The LoRAs of one registry revision, ordered by name.

    Args:
        models: also those that cannot be used.
        folder: where the index of a large library and its embeddings are kept between runs; None: nowhere.
        before: this library at an earlier revision: only LoRAs that are new or changed since are read.
        read: gives the whole records of some of `models`.
    """

    def __init__(
        self,
        models: Sequence[Listed],
        folder: Path | None = None,
        before: Library | None = None,
        read: ReadModels = iter,
    ) -> None:
        self.read = read
        self.models = sorted(models, key=lambda model: (model.name, model.model_id))
        self._obstacles: dict[Architecture, tuple[list[str | None], NDArray[np.bool_]]] = {}
        self._named: dict[str, Listed] = {}
        for model in sorted(models, key=lambda m: (m.problem is not None, m.model_id)):
            self._named.setdefault(_plain(model.name), model)
        self._named.update((_plain(model.model_id.partition(":")[2]), model) for model in models)
        self._make_index(folder / INDEX_FILE if folder and len(models) >= KEPT_FROM else None, before)
        self.strengths = Strengths(self.models, self.index.loras)
        self._meaning = DenseText(self.models, folder / EMBEDDINGS_FILE, read) if folder else None

    def _make_index(self, path: Path | None, before: Library | None) -> None:
        known: Index | None = None
        stored = np.empty(0, np.uint64)
        if before is not None:
            known, stored = before.index, before._stored
        elif path and (known := load(path, ranker.mark())):
            stored = known.loras.stamp
        self.index: Index = ranker.build_index(self.models, known, self.read)
        self._stored: NDArray[np.uint64] = stored
        """Stamps of the LoRAs of the index that is kept."""
        if path and len(np.setxor1d(self.index.loras.stamp, stored)) > UNWRITTEN * len(self.models):
            save(self.index, path, ranker.mark())
            self._stored = self.index.loras.stamp

    def match_query(self, query: Query) -> Postings:
        """The postings of a prompt's words and phrases."""
        return self.index.match_query(query)

    def similarity(self, analysis: PromptAnalysis) -> Floats | None:
        """How near the meaning of a prompt written in sentences is to each LoRA, shape (LoRAs, 4); None: not known."""
        if self._meaning is None or analysis.tag_style > TAG_LIST:
            return None
        found = self._meaning.similarities(analysis.text)
        return None if found is None else np.nan_to_num(found)

    def note(self, analysis: PromptAnalysis) -> str:
        """Whether the meaning of a prompt written in sentences was compared, or why not; empty for a list of tags."""
        return "" if self._meaning is None or not self.usable or analysis.tag_style > TAG_LIST else self._meaning.note

    @cached_property
    def usable(self) -> int:
        """How many of the LoRAs can be applied to some model."""
        return sum(model.problem is None for model in self.models)

    def named(self, name: str) -> ModelMetadata | None:
        """The LoRA that a tag means: by its path under the folder, else by its file name; of several the first."""
        listed = self._named.get(_plain(name))
        return None if listed is None else next(iter(self.read([listed])))

    def obstacles(self, base: FamilyFinding) -> tuple[list[str | None], NDArray[np.bool_]]:
        """Per LoRA: why it is never applied by itself to this base model, or None; and whether that is so."""
        if base.architecture not in self._obstacles:
            reasons = [obstacle(model, base) for model in self.models]
            self._obstacles[base.architecture] = reasons, np.array([reason is None for reason in reasons], bool)
        return self._obstacles[base.architecture]


def _plain(name: str) -> str:
    path = unicodedata.normalize("NFC", name).replace("\\", "/").casefold().strip("/ ")
    return path.removesuffix(".safetensors")


def obstacle(model: Listed, base: FamilyFinding) -> str | None:
    """Why this LoRA is never applied by itself to this base model, or None."""
    if (reason := unusable(model, base)) is not None:
        return reason
    if model.lora_kind is LoRAKind.SPEED:
        return "a speed LoRA: the parameters choose it, never words"
    if model.architecture is Architecture.UNKNOWN:
        return "which architecture it was made for is not known; name it with a <lora:…> tag to use it all the same"
    if base.architecture is Architecture.UNKNOWN and model.architecture is not Architecture.SDXL:
        made_for = model.architecture.upper()
        return f"made for {made_for}; the checkpoint's architecture is not known, and then only SDXL LoRAs are tried"
    return None


def unusable(model: Listed, base: FamilyFinding) -> str | None:
    """Why this LoRA cannot be applied to this base model even when the prompt names it, or None."""
    if model.problem is not None:
        return f"the file cannot be used: {model.problem}"
    if not model.local_path:
        return "it is known but not on this machine"
    unknown = Architecture.UNKNOWN
    if unknown not in (model.architecture, base.architecture) and model.architecture is not base.architecture:
        return f"made for {model.architecture.upper()}, the checkpoint is {base.architecture.upper()}"
    return None
