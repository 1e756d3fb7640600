"""A library of CivitAI's LoRAs in which no LoRA knows the prompt that it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from intelligence.lora import ranker
from intelligence.lora.features import Met, meet
from intelligence.lora.index import EXAMPLES, TELLING, Background, Floats, Index, build, document, first_values
from intelligence.lora.text import Query
from intelligence.registry import ModelMetadata
from tests.benchmarks.civitai import CivitaiLoRA, without_duplicates


class Corpus:
    """An index over records.

    Args:
        models: the LoRAs as the index knows them, where they are not those of `loras` (see `bare`).
        background: general knowledge; None: the trained one.
        first: weights of the first pass; None: the trained ones.
    """

    def __init__(
        self,
        loras: Sequence[CivitaiLoRA],
        models: Sequence[ModelMetadata] | None = None,
        background: Mapping[str, Background] | None = None,
        first: Floats | None = None,
    ) -> None:
        self.models = [lora.model for lora in loras] if models is None else list(models)
        self.numbers = [lora.number for lora in loras]
        self.place = {number: place for place, number in enumerate(self.numbers)}
        self.weigh(
            ranker.numbers()["first"] if first is None else first,
            ranker.background() if background is None else background,
        )

    def weigh(self, first: Floats, background: Mapping[str, Background]) -> None:
        """Make the index with these numbers."""
        self.first = first
        self.index: Index = build(self.models, background, first)

    def meet(self, asked: Query, prompt: str, records: Iterable[int]) -> Met:
        """The postings of a prompt, those of its own LoRAs as they are without this prompt and its near-duplicates."""
        met = meet(self.index, asked)
        for record in records:
            if (place := self.place.get(record)) is not None:
                met = self._without(met, place, without_duplicates(self.models[place], prompt))
        return met

    def _without(self, met: Met, place: int, model: ModelMetadata) -> Met:
        if model is self.models[place]:
            return met
        read = document(model)
        ids = self.index.find(list(read.postings))
        values = np.array(list(read.postings.values()), np.float32).reshape(-1, TELLING)
        columns = np.ceil(values * 255).clip(0, 255).astype(np.uint8)[ids >= 0]
        ids = ids[ids >= 0]
        mine = met.lora == place
        telling = np.full(len(met.keys), 255, np.uint8)
        telling[met.key[mine]] = met.columns[met.row[mine], TELLING]
        own, examples = met.own.copy(), met.examples.copy()
        own[place] = float(((columns[:, EXAMPLES] / 255) ** 2 * self.index.rarity[ids]).sum())
        examples[place] = read.examples
        where = np.full(len(self.index.keys), -1)
        where[met.keys] = np.arange(len(met.keys))
        key = where[ids]
        columns, ids, key = columns[key >= 0], ids[key >= 0], key[key >= 0]
        columns = np.column_stack((columns, telling[key]))
        idf, rarity = self.index.idf[ids], self.index.rarity[ids]
        impact = first_values(columns, idf, rarity, np.full(len(ids), own[place])) @ self.first.T
        return replace(
            met,
            key=np.concatenate((met.key[~mine], key)),
            lora=np.concatenate((met.lora[~mine], np.full(len(key), place, np.int32))),
            impact=np.concatenate((met.impact[~mine], impact.astype(np.float16))),
            row=np.concatenate((met.row[~mine], len(met.columns) + np.arange(len(key)))),
            columns=np.concatenate((met.columns, columns)),
            own=own,
            examples=examples,
        )


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
