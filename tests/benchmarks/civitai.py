"""CivitAI model records and captions as the benchmarks of LoRAs read them, and the queries made of both.

Records: a folder of `/models/{id}` answers, one JSON file each (the public repository dfanr/CivitaiModelList holds
some). Captions: stylus-diffusion/stylus, datasets/coco_rank.csv. Neither is part of this repository.

Every record is one LoRA that knows what all of its versions say. Parity of the record's number parts what numbers are
trained on (even) from what is reported (odd); captions are trained on from odd rows and reported on from even ones.
"""

from __future__ import annotations

import ast
import csv
import json
import pickle
import random
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from intelligence.models import Architecture, ModelEvidence, ModelMetadata
from intelligence.models.sanitize import as_dict, clean_number, clean_text, dicts, without_lora_tags
from intelligence.prompt.words import words

IDS = ("even", "odd", "all")
SD1 = ModelEvidence(name="sd1", architecture=Architecture.SD1)
"""What the records were made for."""
DUPLICATE = 0.7
"""Jaccard overlap of two prompts' words from which they count as one."""
MAX_PROMPT = 1500
"""Characters."""

_TAG = re.compile(r"<(?:lora|lyco|locon):([^<>:]*)(?::([^<>:]*))?[^<>]*>", re.IGNORECASE)
_LORA_TYPES = ("lora", "locon", "lycoris", "dora")


@dataclass(frozen=True)
class Use:
    """One LoRA in one image."""

    name: str
    """As the prompt or the resources write it, in lower case, without folder and extension."""
    weight: float | None
    record: int | None
    """Its record's number, or None where none is identified."""


@dataclass(frozen=True)
class Image:
    """One image of a version's page."""

    prompt: str
    """Without `<lora:…>` tags."""
    uses: tuple[Use, ...]
    """Every LoRA that the prompt or the resources name, each once."""
    version: int


@dataclass(frozen=True)
class CivitaiLoRA:
    """One record."""

    number: int
    model: ModelMetadata
    images: tuple[Image, ...]
    """Those with a prompt."""

    @property
    def even(self) -> bool:
        """Whether numbers may be trained on it."""
        return self.number % 2 == 0


@dataclass(frozen=True)
class PromptQuery:
    """A prompt, and the records that a person used with it."""

    prompt: str
    records: tuple[int, ...]
    written: str = ""
    """The prompt as the person wrote it, where that is another."""
    others: tuple[int, ...] = ()
    """Records that are right too, but not asked for."""

    @property
    def known_as(self) -> str:
        """What must not be among the LoRAs' example prompts."""
        return self.written or self.prompt


def in_ids(number: int, ids: str) -> bool:
    """Whether a record's number is among `ids`: `even`, `odd` or `all`."""
    return ids == "all" or (number % 2 == 0) == (ids == "even")


def load_records(folder: str | Path, ids: str = "all") -> list[CivitaiLoRA]:
    """The usable LoRAs of a folder of records that show no real person (`poi`), ordered by number.

    LoRAs in prompts are identified among all records of the folder, whatever `ids` says.

    Args:
        folder: or a pickle of what this returns, which is read in seconds.
    """
    if Path(folder).suffix == ".pkl":
        return [lora for lora in pickle.loads(Path(folder).read_bytes()) if in_ids(lora.number, ids)]
    records = [json.loads(path.read_bytes()) for path in sorted(Path(folder).glob("*.json"))]
    records = [record for record in records if record.get("type") in ("LORA", "LoCon", "DoRA") and not record["poi"]]
    owners: dict[str, set[int]] = defaultdict(set)
    for record in records:
        for file in _files(record):
            for key in (_plain(file.get("name", "")), *map(str.lower, as_dict(file.get("hashes")).values())):
                owners[key].add(record["id"])
    loras = [_lora(record, owners) for record in records if in_ids(record["id"], ids)]
    return sorted(loras, key=lambda lora: lora.number)


def tag_queries(loras: Iterable[CivitaiLoRA], most: int = 2) -> list[PromptQuery]:
    """Prompts that name the page's LoRA alone: up to `most` of each, no two nearly the same, drawn by its number."""
    queries = []
    for lora in loras:
        own = [image.prompt for image in lora.images if [use.record for use in image.uses] == [lora.number]]
        queries += [PromptQuery(prompt, (lora.number,)) for prompt in _drawn(own, most, lora.number)]
    return queries


def multi_queries(loras: Iterable[CivitaiLoRA], most: int = 2) -> list[PromptQuery]:
    """The same for prompts that name two LoRAs or more, all identified, among them the page's own."""
    queries = []
    for lora in loras:
        several: dict[str, tuple[int, ...]] = {}
        for image in lora.images:
            used = {use.record for use in image.uses}
            if len(used) > 1 and None not in used and lora.number in used:
                several.setdefault(image.prompt, tuple(sorted(number for number in used if number is not None)))
        queries += [PromptQuery(prompt, several[prompt]) for prompt in _drawn(list(several), most, lora.number)]
    return queries


def without_names(query: PromptQuery, loras: Mapping[int, CivitaiLoRA]) -> PromptQuery | None:
    """The query without any word of its LoRAs' trigger words, file names and titles; None where nothing is left."""
    taken: set[str] = set()
    for number in query.records:
        model = loras[number].model
        phrases = [word for trigger in model.trigger_sets for word in trigger.words]
        for text in (model.name, model.title, *phrases):
            taken.update(words(text), words(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)))
    kept = re.sub(r"[^\W_]+", lambda match: "" if set(words(match[0])) & taken else match[0], query.prompt)
    return PromptQuery(kept, query.records, query.prompt) if words(kept) else None


def load_captions(path: str | Path, known: Collection[int], *, even_rows: bool) -> list[PromptQuery]:
    """The captions of even or odd rows with a labelled LoRA among the `known` record numbers."""
    queries = []
    with Path(path).open(newline="", encoding="utf-8") as file:
        for row, line in enumerate(csv.DictReader(file)):
            if (row % 2 == 0) != even_rows or not line["ranked_adapters"].strip():
                continue
            labels = ast.literal_eval(line["ranked_adapters"])
            right = {number for numbers in labels.values() for number in numbers}
            if records := right & set(known):
                others = tuple(sorted(right - records))
                queries.append(PromptQuery(line["caption"], tuple(sorted(records)), others=others))
    return queries


def without_duplicates(model: ModelMetadata, prompt: str) -> ModelMetadata:
    """`model` without the example prompts that are nearly `prompt`."""
    asked = frozenset(words(prompt))
    kept = tuple(e for e in model.example_prompts if overlap(frozenset(words(e.prompt)), asked) < DUPLICATE)
    return replace(model, example_prompts=kept) if len(kept) < len(model.example_prompts) else model


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard."""
    return len(one & other) / len(one | other) if one or other else 1.0


def _drawn(prompts: Sequence[str], most: int, seed: int) -> list[str]:
    rest = list(dict.fromkeys(prompts))
    random.Random(seed).shuffle(rest)
    kept: dict[str, frozenset[str]] = {}
    for prompt in rest:
        if len(kept) == most:
            break
        of_it = frozenset(words(prompt))
        if of_it and all(overlap(of_it, other) < DUPLICATE for other in kept.values()):
            kept[prompt] = of_it
    return list(kept)


def _files(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [file for version in dicts(record["modelVersions"], 1000) for file in dicts(version.get("files"))]


def _plain(name: Any) -> str:
    text = clean_text(name, 200).replace("\\", "/").lower().rpartition("/")[2].strip()
    return re.sub(r"\.(safetensors|pt|ckpt)$", "", text)


def _lora(record: dict[str, Any], owners: Mapping[str, set[int]]) -> CivitaiLoRA:
    versions = [item for item in dicts(record["modelVersions"], 1000) if isinstance(item.get("id"), int)]
    number = record["id"]
    model = ModelMetadata.from_civitai(record)
    model = replace(
        model,
        model_id=f"lora:{number}/{model.name}.safetensors",
        local_path=f"/loras/{number}/{model.name}.safetensors",
        architecture=Architecture.SD1,
    )
    images = tuple(image for version in versions for image in _images(version, number, owners))
    return CivitaiLoRA(number, model, images)


def _images(version: Mapping[str, Any], number: int, owners: Mapping[str, set[int]]) -> list[Image]:
    images = []
    for item in dicts(version.get("images")):
        meta = as_dict(item.get("meta"))
        text = clean_text(meta.get("prompt"), 2 * MAX_PROMPT)
        prompt = without_lora_tags(_TAG.sub("", text))[0][:MAX_PROMPT]
        if prompt:
            images.append(Image(prompt, _uses(text, meta, number, owners), version["id"]))
    return images


def _uses(text: str, meta: Mapping[str, Any], number: int, owners: Mapping[str, set[int]]) -> tuple[Use, ...]:
    named: dict[str, tuple[float | None, str]] = {}
    for name, weight in _TAG.findall(text):
        named.setdefault(_plain(name), (clean_number(weight, -4, 4) if weight else 1.0, ""))
    for resource in dicts(meta.get("resources")):
        if clean_text(resource.get("type")).lower() in _LORA_TYPES and (name := _plain(resource.get("name"))):
            weight, digest = clean_number(resource.get("weight"), -4, 4), clean_text(resource.get("hash")).lower()
            named[name] = (named[name][0] if name in named else weight, digest)
    uses: dict[object, Use] = {}
    for name, (weight, digest) in named.items():
        found = owners.get(digest) or owners.get(name) or set()
        record = number if number in found else next(iter(found)) if len(found) == 1 else None
        uses.setdefault(record or name, Use(name, weight, record))
    return tuple(uses.values())
