"""A registry's LoRAs, ready to be searched: their index, their names, and what each base model keeps out."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..learning.observations import UNKNOWN, LoRATraits
from ..models import ExamplePrompt, LoRAKind, ModelKind, ModelMetadata, ModelSummary, TriggerSet
from ..models.compatibility import Fit, architecture_fit
from ..models.kinds import ARCHITECTURE_TITLES
from ..prompt import ArtisticStyle, LoRATag, PromptAnalysis, unescape
from ..records import Reason, Source
from ..registry import ModelRegistry
from .lora_messages import LoRAMessage
from .own_phrases import OWN, own_triggers
from .recommendation import NamedLoRA, RejectedLoRA
from .search import ranker
from .search.documents import Listed, ReadModels
from .search.index import STYLES, Index, Postings, load, save
from .search.spelling import corrected
from .search.tokens import Query, digest, prompt_query
from .search.traits import version_stem
from .strength import Strengths
from .target_model import TargetModel, incompatibility, load_problem

INDEX_FILE = "lora-index.npz"
EARLIER_FILES = ("lora-meaning.db*", "lora-embeddings.db*")
"""Left by versions that compared meaning."""
MIN_KEPT_SIZE = 500
"""LoRAs from which an index is kept: fewer are read faster than a file is worth."""
MAX_UNWRITTEN_SHARE = 0.01
"""Share of the LoRAs that may have changed before the kept index is written anew: the next start reads them again."""


class Registry(Protocol):
    """A list of models, where no `ModelRegistry` is needed."""

    @property
    def revision(self) -> Hashable:
        """Changes whenever the list of models does."""

    def list_models(self, kind: ModelKind | None = None, *, with_problems: bool = False) -> Sequence[ModelMetadata]:
        """The models of a kind, on request also those that cannot be used."""


class OwnPictures(Protocol):
    """Pictures that the user made with LoRAs before: a `PictureHistory`."""

    @property
    def revision(self) -> int:
        """Changes whenever the examples may."""

    def examples(self, loras: Iterable[Any], moves: Mapping[str, str]) -> Mapping[str, tuple[ExamplePrompt, ...]]:
        """Model id → example prompts of the user's own. Args: moves: earlier id → present id."""


class Library:
    """The LoRAs of one registry revision, ordered by name.

    Args:
        models: also those that cannot be used.
        folder: where the index of a large library is kept between runs; None: nowhere.
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
        self.usable = sum(model.problem is None for model in models)
        """Number of the LoRAs that can be applied to some model."""
        self._incompatibilities: dict[tuple[str, ...], tuple[list[Reason | None], NDArray[np.bool_]]] = {}
        self._places = {model.model_id: place for place, model in enumerate(self.models)}
        self._named: dict[str, list[Listed]] = {}
        """Path under a root, or file name → the LoRAs that it names, the likeliest first."""
        ordered = sorted(models, key=lambda m: (m.problem is not None, m.model_id))
        for key_of in (lambda model: model.model_id.partition(":")[2], lambda model: model.name):
            for model in ordered:
                self._named.setdefault(_plain(key_of(model)), []).append(model)
        self._make_index(folder / INDEX_FILE if folder and len(models) >= MIN_KEPT_SIZE else None, before)
        self.strengths = Strengths(self.models, self.index.loras)

    def _make_index(self, path: Path | None, before: Library | None) -> None:
        known: Index | None = None
        stored = np.empty(0, np.uint64)
        if before is not None:
            known, stored = before.index, before._stored
        elif path and (known := load(path, ranker.mark())):
            stored = known.loras.stamp
        self.index: Index = ranker.build_index(self.models, known, self.read)
        if path and len(np.setxor1d(self.index.loras.stamp, stored)) > MAX_UNWRITTEN_SHARE * len(self.models):
            save(self.index, path, ranker.mark())
            stored = self.index.loras.stamp
        self._stored: NDArray[np.uint64] = stored
        """Stamps of the LoRAs of the index that is kept."""

    def place(self, model_id: str) -> int | None:
        """Return the place of a LoRA among `models`; None: it is not here."""
        return self._places.get(model_id)

    def taste_traits(self, model_id: str) -> LoRATraits:
        """Return what a user's taste may depend on, of the LoRA with this id; of one that is not here, its versions."""
        if (place := self._places.get(model_id)) is None:
            stem = version_stem(PurePath(model_id.partition(":")[2]).stem)
            return LoRATraits(origin=self._origins.get(stem, stem or UNKNOWN))
        known = self.index.loras
        creator = int(known.creator[place])
        kind, style = self.models[place].lora_kind, STYLES[known.style[place]]
        return LoRATraits(
            creator or UNKNOWN,
            UNKNOWN if kind is LoRAKind.UNKNOWN else kind.value,
            UNKNOWN if style is ArtisticStyle.UNSPECIFIED else style.value,
            self._origin(place),
        )

    def _origin(self, place: int) -> Hashable:
        """The mark that versions of a LoRA share: its number on CivitAI, else the words of its name."""
        number = int(self.index.loras.civitai_id[place])
        return number if number >= 0 else version_stem(self.models[place].name) or UNKNOWN

    @cached_property
    def by_digest(self) -> dict[str, str]:
        """Digest of a file that has no copy → model id: what is known of a file follows it to another name."""
        copies = Counter(one.digest for one in self.models)
        return {one.digest: one.model_id for one in self.models if one.digest and copies[one.digest] == 1}

    @cached_property
    def _origins(self) -> dict[Hashable, Hashable]:
        """Words of a LoRA's name → what its versions share; ratings of a version that is gone count for those here."""
        return {stem: self._origin(place) for place, one in enumerate(self.models) if (stem := version_stem(one.name))}

    def read_query(self, analysis: PromptAnalysis) -> Query:
        """The words of a prompt, slips in the names of this library's LoRAs mended."""
        return corrected(prompt_query(analysis), self.index)

    def match_query(self, query: Query) -> Postings:
        """The postings of a prompt's words and phrases."""
        return self.index.match_query(query)

    def summary(self, named: int, chosen: int, base: TargetModel) -> Reason:
        """Say how many LoRAs were named by tags, and how many chosen; or which networks all of them are for."""
        if not named and not chosen and (networks := self._other_networks(base)):
            title, message = ARCHITECTURE_TITLES[base.architecture], LoRAMessage.NONE_MADE_FOR
            return Reason.of("loras", Source.MODEL, message, size=self.usable, base=title, networks=networks)
        if not self.usable:
            message = LoRAMessage.EMPTY_LIBRARY
        elif named:
            message = LoRAMessage.NAMED_AND_CHOSEN if chosen else LoRAMessage.NAMED_COUNT
        else:
            message = LoRAMessage.CHOSEN_COUNT if chosen else LoRAMessage.NONE_FITS
        source = Source.USER if named and not chosen else Source.PROMPT
        return Reason.of("loras", source, message, size=self.usable, named=named, chosen=chosen)

    def _other_networks(self, base: TargetModel) -> str:
        """Return how many LoRAs are for which network, most first; empty where one may fit this base model."""
        usable = [] if self.incompatibilities(base)[1].any() else [one for one in self.models if one.problem is None]
        if any(architecture_fit(one.architecture, base.architecture) is not Fit.NO for one in usable):
            return ""
        counts = Counter(ARCHITECTURE_TITLES[one.architecture] for one in usable)
        return ", ".join(f"{title} ({count})" for title, count in counts.most_common())

    def tagged(self, tags: Sequence[LoRATag], base: TargetModel) -> tuple[list[NamedLoRA], list[RejectedLoRA]]:
        """Return the LoRAs that tags name, each once, and the tags that cannot be obeyed, with the reason.

        A tag names a LoRA by its path under the folder, else by its file name; of several it is the first that fits.
        """
        named: dict[str, NamedLoRA] = {}
        refused: dict[str, RejectedLoRA] = {}
        for tag in tags:
            meant = self._named.get(_plain(tag.name)) or self._named.get(_plain(unescape(tag.name)))
            if meant is None:
                reason = Reason.of("lora", Source.USER, LoRAMessage.NO_SUCH_LORA)
                refused.setdefault(tag.name, RejectedLoRA(tag.name, reason))
                continue
            listed = next((one for one in meant if load_problem(one, base) is None), meant[0])
            if (problem := load_problem(listed, base)) is not None:
                refused.setdefault(tag.name, RejectedLoRA(tag.name, replace(problem, source=Source.USER)))
            elif (known := named.get(listed.model_id)) is None:
                (model,) = self.read([listed])
                strengths = tag.strength_model, tag.strength_clip
                named[listed.model_id] = NamedLoRA(model, *strengths, tag.ignored, tag.trigger_words)
            elif tag.trigger_words is not None:
                named[listed.model_id] = known._replace(trigger_words=tag.trigger_words)
            elif known.trigger_words is None:
                reason = Reason.of("lora", Source.USER, LoRAMessage.NAMED_TWICE, strength=known.strength)
                refused.setdefault(tag.name, RejectedLoRA(tag.name, reason))
        return list(named.values()), list(refused.values())

    def incompatibilities(self, base: TargetModel) -> tuple[list[Reason | None], NDArray[np.bool_]]:
        """Per LoRA: why it is never applied by itself to this base model, or None; and whether it may be."""
        if base.mark not in self._incompatibilities:
            reasons = [incompatibility(model, base) for model in self.models]
            fitting = np.array([reason is None for reason in reasons], bool)
            self._incompatibilities[base.mark] = reasons, fitting
        return self._incompatibilities[base.mark]


_LIBRARIES: WeakKeyDictionary[Any, tuple[Hashable, Library]] = WeakKeyDictionary()
"""Of each registry the library at its latest revision: recommenders are made anew for every prompt."""


def library_of(registry: Registry, pictures: OwnPictures | None = None) -> Library:
    """Return the LoRAs of a registry as they are now; a `ModelRegistry` has the index kept in its folder.

    `pictures`: the user's own, whose prompts and strengths count as example prompts.
    """
    if isinstance(registry, ModelRegistry):
        registry.leave_out_vanished()
    revision: Hashable = (registry.revision, pictures.revision if pictures else 0)
    known, before = _LIBRARIES.get(registry, (None, None))
    if before is not None and known == revision:
        return before
    listed: Sequence[Listed]
    if isinstance(registry, ModelRegistry):
        if before is None:
            _remove_earlier_files(registry.folder)
        listed, read = registry.summaries(ModelKind.LORA, with_problems=True), registry.read_models
        own = pictures.examples(listed, registry.moves()) if pictures else {}
        triggers = own_triggers(own)
        models = [_told_apart(one, own.get(one.model_id, ()), triggers.get(one.model_id, ())) for one in listed]
        library = Library(models, registry.folder, before, lambda some: with_own_examples(read(some), own, triggers))
    else:
        listed = registry.list_models(ModelKind.LORA, with_problems=True)
        own = pictures.examples(listed, {}) if pictures else {}
        library = Library(list(with_own_examples(listed, own, own_triggers(own))), before=before)
    _LIBRARIES[registry] = revision, library
    return library


def _remove_earlier_files(folder: Path) -> None:
    for pattern in EARLIER_FILES:
        for path in folder.glob(pattern):
            with suppress(OSError):
                path.unlink()


MAX_OWN_FIRST = 12
"""Own examples that stand before others; an index reads the first 20 prompts, strengths are read from all."""


def with_own_examples(
    models: Iterable[ModelMetadata],
    own: Mapping[str, tuple[ExamplePrompt, ...]],
    triggers: Mapping[str, tuple[TriggerSet, ...]],
) -> Iterator[ModelMetadata]:
    """Yield the records with the user's own example prompts (model id → examples) among the others, and their phrases.

    Args:
        triggers: see `own_triggers`.
    """
    for model in models:
        mine = own.get(model.model_id, ())
        examples = (*mine[:MAX_OWN_FIRST], *model.example_prompts, *mine[MAX_OWN_FIRST:])
        sets = (*model.trigger_sets, *triggers.get(model.model_id, ()))
        yield replace(model, example_prompts=examples, trigger_sets=sets) if mine else model


def forget_index(folder: Path) -> None:
    """Delete the index that is kept in a registry's folder, with the words of the user's own prompts in it."""
    (folder / INDEX_FILE).unlink(missing_ok=True)


def without_own_examples(model: ModelMetadata) -> ModelMetadata:
    """Return a record without the user's own prompts and phrases: they are no facts about the LoRA, and stay here."""
    others = tuple(example for example in model.example_prompts if not example.own)
    if len(others) == len(model.example_prompts):
        return model
    sets = tuple(trigger for trigger in model.trigger_sets if trigger.source != OWN)
    return replace(model, example_prompts=others, trigger_sets=sets)


def _told_apart(model: ModelSummary, own: tuple[ExamplePrompt, ...], triggers: tuple[TriggerSet, ...]) -> ModelSummary:
    """Return the summary with a version that stands for own examples too: where it differs, its LoRA is read anew."""
    return replace(model, version=int(digest([f"{model.version}\0{own!r}\0{triggers!r}"])[0])) if own else model


def _plain(name: str) -> str:
    path = unicodedata.normalize("NFC", name).replace("\\", "/").casefold().strip("/ ")
    return path.removesuffix(".safetensors").removesuffix(".sft")
