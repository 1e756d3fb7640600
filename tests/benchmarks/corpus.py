"""A library of CivitAI's LoRAs in which no LoRA knows the prompt that it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from intelligence.lora import LoRARecommender
from intelligence.lora.lora_library import Library
from intelligence.lora.search import ranker
from intelligence.lora.search.building import Background, build, rough_features
from intelligence.lora.search.documents import EXAMPLES, TELLING, read_document
from intelligence.lora.search.index import Floats, Index, Postings
from intelligence.lora.search.tokens import Query, digest
from intelligence.models import FamilyFinding, ModelKind, ModelMetadata
from intelligence.records import Reason
from tests.benchmarks.civitai import CivitaiLoRA, PromptQuery, without_duplicates


class Shelf:
    """Stands where the registry stands."""

    def __init__(self, models: Sequence[ModelMetadata]) -> None:
        self.revision = 1
        self.models = list(models)

    def list_models(self, kind: ModelKind | None = None, *, with_problems: bool = False) -> list[ModelMetadata]:
        return self.models


class Corpus(Library):
    """A library of records.

    Args:
        models: the LoRAs as the library knows them, where they are not those of `loras` (see `bare`).
        background: general knowledge; None: the trained one.
        first: weights of the first pass; None: the trained ones.
        known: an index of a larger library, whose reading of the records serves again.
    """

    def __init__(
        self,
        loras: Sequence[CivitaiLoRA],
        models: Sequence[ModelMetadata] | None = None,
        background: Mapping[str, Background] | None = None,
        first: Floats | None = None,
        known: Index | None = None,
    ) -> None:
        self.known = known
        self.background = ranker.background() if background is None else background
        self.first = ranker.numbers()["first"] if first is None else first
        super().__init__([lora.model for lora in loras] if models is None else models)
        number = {lora.model.model_id: lora.number for lora in loras}
        self.numbers = [number[model.model_id] for model in self.models]
        self.place = {number: place for place, number in enumerate(self.numbers)}

    def _make_index(self, path: Path | None, before: Library | None) -> None:
        self.index = build(self.models, self.background, self.first, self.known)

    def weigh(self, first: Floats) -> None:
        """Make the index with these numbers."""
        self.first = first
        self.index = build(self.models, self.background, first)

    def match_without(self, asked: Query, prompt: str, records: Iterable[int]) -> Postings:
        """The postings of a prompt, those of its own LoRAs as they are without this prompt and its near-duplicates."""
        postings = super().match_query(asked)
        for record in records:
            if (place := self.place.get(record)) is not None:
                postings = self._without(postings, place, without_duplicates(self.models[place], prompt))
        return postings

    def asked(self, query: PromptQuery, *, present: bool = True) -> Asked:
        """This library as it stands for `query`. Args: present: whether it holds the query's LoRAs."""
        return Asked(self, query, present)

    def _without(self, postings: Postings, place: int, model: ModelMetadata) -> Postings:
        if model is self.models[place]:
            return postings
        read = read_document(model)
        ids = self.index.find(digest(read.postings))
        values = np.array(list(read.postings.values()), np.float32).reshape(-1, TELLING)
        columns = np.ceil(values * 255).clip(0, 255).astype(np.uint8)[ids >= 0]
        ids = ids[ids >= 0]
        mine = postings.lora == place
        telling = np.full(len(postings.keys), 255, np.uint8)
        telling[postings.key[mine]] = postings.columns[mine, TELLING]
        coverage, examples = postings.coverage.copy(), postings.examples.copy()
        coverage[place] = float(((columns[:, EXAMPLES] / 255) ** 2 * self.index.rarity[ids]).sum())
        examples[place] = read.examples
        where = np.full(len(self.index.keys), -1)
        where[postings.keys] = np.arange(len(postings.keys))
        key = where[ids]
        columns, ids, key = columns[key >= 0], ids[key >= 0], key[key >= 0]
        columns = np.column_stack((columns, telling[key]))
        idf, rarity = self.index.idf[ids], self.index.rarity[ids]
        impact = rough_features(columns, idf, rarity, np.full(len(ids), coverage[place])) @ self.first.T
        keys = np.concatenate((postings.key[~mine], key))
        order = np.argsort(keys, kind="stable")
        return replace(
            postings,
            key=keys[order],
            lora=np.concatenate((postings.lora[~mine], np.full(len(key), place)))[order],
            impact=np.concatenate((postings.impact[~mine], impact.astype(np.float16)))[order],
            columns=np.concatenate((postings.columns[~mine], columns))[order],
            coverage=coverage,
            examples=examples,
        )


class Asked(Corpus):
    """A library that does not know the one prompt that it is asked for."""

    def __init__(self, corpus: Corpus, query: PromptQuery, present: bool) -> None:
        vars(self).update(vars(corpus))
        self.query = query
        used = [self.place[number] for number in (*query.records, *query.others) if number in self.place]
        self.right = {self.models[place].model_id for place in used} if present else set()
        """The ids of the LoRAs that the person used, where they are there."""
        self.left_out = [] if present else used

    def match_query(self, asked: Query) -> Postings:
        return self.match_without(asked, self.query.known_as, self.query.records)

    def incompatibilities(self, base: FamilyFinding) -> tuple[list[Reason | None], NDArray[np.bool_]]:
        reasons, fitting = super().incompatibilities(base)
        if self.left_out:
            fitting = fitting.copy()
            fitting[self.left_out] = False
        return reasons, fitting


class Chooser(LoRARecommender):
    """What a user's recommender chooses, of a library that does not know the prompt."""

    def __init__(self, library: Library) -> None:
        super().__init__(Shelf([]))
        self.library = library

    def _library(self) -> Library:
        return self.library


def bare(model: ModelMetadata, how: str) -> ModelMetadata:
    """A LoRA of which less is known: `examples` left out, the file's `name` alone, or name and `captions`.

    With captions, the comma pieces of its example prompts stand in for training tags, counted.
    """
    if how == "examples":
        return replace(model, example_prompts=())
    tags: dict[str, int] = {}
    if how == "captions":
        for example in model.example_prompts:
            for piece in {piece.strip() for piece in example.prompt.split(",") if piece.strip()}:
                tags[piece[:100]] = tags.get(piece[:100], 0) + 1
    return ModelMetadata(
        model_id=model.model_id,
        name=model.name,
        local_path=model.local_path,
        architecture=model.architecture,
        lora_kind=model.lora_kind,
        tags=tags,
    )
