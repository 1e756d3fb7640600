"""A registry's LoRAs, ready to be asked: their index, their names, what each base model keeps out."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..prompt import PromptAnalysis
from ..registry import Architecture, FamilyFinding, LoRAKind, ModelMetadata
from . import ranker
from .dense import DenseText
from .index import Floats, Index, load, save
from .strength import Strengths

INDEX_FILE = "lora-index.npz"
EMBEDDINGS_FILE = "lora-embeddings.db"
KEPT_FROM = 500
"""LoRAs from which an index is kept: fewer are read faster than a file is worth."""
TAG_LIST = 0.9
"""Probability of a list of tags from which likeness of meaning is not asked: it tells nothing there."""


class Library:
    """The LoRAs of one registry revision, ordered by name.

    Args:
        models: also those that cannot be used.
        folder: where the index of a large library and its embeddings are kept between runs; None: nowhere. An index
            that was made of other LoRAs, or by another version of this package, is made anew.
        revision: the registry's, by which the kept index is recognised.
    """

    def __init__(self, models: Sequence[ModelMetadata], folder: Path | None = None, revision: object = None) -> None:
        self.models = sorted(models, key=lambda model: (model.name, model.model_id))
        self.strengths = Strengths(models)
        self._obstacles: dict[Architecture, tuple[list[str | None], NDArray[np.bool_]]] = {}
        self._named: dict[str, ModelMetadata] = {}
        for model in sorted(models, key=lambda m: (m.problem is not None, m.model_id)):
            self._named.setdefault(_plain(model.name), model)
        self._named.update((_plain(model.model_id.partition(":")[2]), model) for model in models)
        self.index = self._index(folder / INDEX_FILE if folder and len(models) >= KEPT_FROM else None, revision)
        self._meaning = DenseText(self.models, folder / EMBEDDINGS_FILE) if folder else None

    def _index(self, path: Path | None, revision: object) -> Index:
        if path is None:
            return ranker.build_index(self.models)
        ids = blake2b("\0".join(model.model_id for model in self.models).encode("utf-8", "replace"), digest_size=16)
        mark = f"{ranker.mark()} {revision} {ids.hexdigest()}"
        index = load(path, mark)
        if index is None:
            index = ranker.build_index(self.models)
            save(index, path, mark)
        return index

    def likeness(self, analysis: PromptAnalysis) -> Floats | None:
        """How near the meaning of a prompt written in sentences is to each LoRA, shape (LoRAs, 4); None: not known."""
        if self._meaning is None or analysis.tag_style > TAG_LIST:
            return None
        found = self._meaning.similarities(analysis.text)
        return None if found is None else np.nan_to_num(found)

    @cached_property
    def usable(self) -> int:
        """How many of the LoRAs can be applied to some model."""
        return sum(model.problem is None for model in self.models)

    def named(self, name: str) -> ModelMetadata | None:
        """The LoRA that a tag means: by its path under the folder, else by its file name; of several the first."""
        return self._named.get(_plain(name))

    def obstacles(self, base: FamilyFinding) -> tuple[list[str | None], NDArray[np.bool_]]:
        """Per LoRA: why it is never applied by itself to this base model, or None; and whether that is so."""
        if base.architecture not in self._obstacles:
            reasons = [obstacle(model, base) for model in self.models]
            self._obstacles[base.architecture] = reasons, np.array([reason is None for reason in reasons], bool)
        return self._obstacles[base.architecture]


def _plain(name: str) -> str:
    path = unicodedata.normalize("NFC", name).replace("\\", "/").casefold().strip("/ ")
    return path.removesuffix(".safetensors")


def obstacle(model: ModelMetadata, base: FamilyFinding) -> str | None:
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


def unusable(model: ModelMetadata, base: FamilyFinding) -> str | None:
    """Why this LoRA cannot be applied to this base model even when the prompt names it, or None."""
    if model.problem is not None:
        return f"the file cannot be used: {model.problem}"
    if not model.local_path:
        return "it is known but not on this machine"
    unknown = Architecture.UNKNOWN
    if unknown not in (model.architecture, base.architecture) and model.architecture is not base.architecture:
        return f"made for {model.architecture.upper()}, the checkpoint is {base.architecture.upper()}"
    return None
