"""Which LoRAs a prompt gets: those that it names, and those that meet its words well enough."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from ..config import EMBEDDED_MODEL, LoRAPreferences, require
from ..models import Architecture, FamilyFinding, LoRAKind, ModelEvidence, ModelKind, ModelMetadata, identify_family
from ..prompt import LoRATag, PromptAnalysis, strip_lora_tags
from ..records import Reason
from ..registry import ModelRegistry
from .candidates import Evidence, Shift, prompt_query, search
from .decision import Candidate, select
from .lora_library import Library, unusable
from .recommendation import LoRAChoice, LoRARecommendation, RejectedLoRA
from .search.tokens import Query
from .strength import Liked, Strength, Strengths
from .triggers import Written, missing_words

MAX_REJECTED = 10
"""LoRAs that are named as turned down, beside those that the prompt's tags name."""
MAX_RANKED = 100
NEAR_MISS = 0.25
"""Confidence from which a LoRA below the threshold is worth a word."""


class Registry(Protocol):
    """What the recommender needs of a registry. Its libraries are remembered per registry object and revision."""

    @property
    def revision(self) -> Hashable:
        """Changes whenever the list of models does."""

    def list_models(self, kind: ModelKind | None = None, *, with_problems: bool = False) -> Sequence[ModelMetadata]:
        """The models of a kind, on request also those that cannot be used."""


class RatedLoRA(Protocol):
    """What ratings say of one LoRA."""

    @property
    def advantage(self) -> float:
        """−1 (disliked) … 1 (liked)."""

    @property
    def evidence(self) -> str:
        """As a sentence for people."""

    @property
    def liked_strengths(self) -> Sequence[tuple[float, float]]:
        """Strengths of images that were rated well, each with how well, up to 1."""


class Ratings(Protocol):
    """`learning.Preferences`, as the recommender reads it."""

    def for_prompt(self, concepts: Collection[str], /) -> Mapping[str, Any]:
        """Model id → `RatedLoRA`, for a prompt about these concepts."""


_LIBRARIES: WeakKeyDictionary[Any, tuple[Hashable, Library]] = WeakKeyDictionary()


class LoRARecommender:
    """PromptAnalysis → LoRAs, with reasons.

    Args:
        registry: where the LoRAs are listed.
        preferences: what ratings say; None: nothing.
        dense_text: whether similarity of meaning is used where MiniLM is installed.

    A registry with a `folder` has the index of a large library, and its embeddings, kept there.
    """

    def __init__(self, registry: Registry, preferences: Ratings | None = None, *, dense_text: bool = True) -> None:
        self.registry = registry
        self.preferences = preferences
        self.dense_text = dense_text

    def rank(
        self, prompt_analysis: PromptAnalysis, base_model: str | ModelEvidence | None = None, top_k: int = MAX_RANKED
    ) -> list[LoRARecommendation]:
        """The LoRAs that fit the base model and that the prompt speaks for at all, best first.

        At most `top_k`, and no more than `MAX_RANKED`.
        """
        base = _base(base_model)
        asked = prompt_query(prompt_analysis)
        rated = self._rated(prompt_analysis)
        allowed, _ = self._found(prompt_analysis, asked, base, rated, 0.0, top_k)
        strengths = self._strengths()
        written = Written(strip_lora_tags(prompt_analysis.text or prompt_analysis.prompt))
        liked = _liked(rated)
        return [
            _recommendation(e, strengths.alone(model, asked, liked.get(model.model_id, ())), written)
            for e in allowed
            for model in (e.model,)
        ]

    def recommend(
        self,
        prompt_analysis: PromptAnalysis,
        base_model: str | ModelEvidence | None = None,
        max_loras: int = 3,
        min_confidence: float = 0.5,
        allow_style_mixing: bool = False,
    ) -> list[LoRARecommendation]:
        """The LoRAs to apply, best first; those of `choose`. None fits: an empty list. Raises InvalidInputError."""
        choice = self.choose(prompt_analysis, base_model, max_loras, min_confidence, allow_style_mixing)
        return list(choice.chosen)

    def choose(
        self,
        prompt_analysis: PromptAnalysis,
        base_model: str | ModelEvidence | None = None,
        max_loras: int = LoRAPreferences.max_loras,
        min_confidence: float = LoRAPreferences.min_confidence,
        allow_style_mixing: bool = False,
    ) -> LoRAChoice:
        """The LoRAs to apply and those turned down.

        `<lora:…>` tags of the prompt come first, with their own strengths, and count towards `max_loras` but are never
        cut by it. Of the rest, those of at least `min_confidence` are taken, best first: one per subject, one style
        (unless `allow_style_mixing`), one version of each LoRA, never one made for another architecture.

        Args:
            base_model: a name, or what the host knows; None: unknown.

        Raises:
            InvalidInputError: `max_loras` or `min_confidence` is out of range.
        """
        limits = LoRAPreferences(max_loras, min_confidence, allow_style_mixing)
        base = _base(base_model)
        asked = prompt_query(prompt_analysis)
        written = Written(strip_lora_tags(prompt_analysis.text or prompt_analysis.prompt))
        named, rejected = self._tagged(prompt_analysis.lora_tags, asked, written, base)
        rated = self._rated(prompt_analysis)
        allowed, blocked = self._found(prompt_analysis, asked, base, rated, min(min_confidence, NEAR_MISS))
        put_in = [(lora.lora_metadata, lora.suggested_alpha) for lora in named]
        candidates = [Candidate(e.model, e.confidence, e.words) for e in allowed]
        chosen, turned_down = select(candidates, put_in, asked, limits)
        models = [candidate.model for candidate in chosen]
        strengths = self._strengths().together(models, put_in, asked, _liked(rated))
        found = {e.model.model_id: e for e in allowed}
        recommended = [
            _recommendation(found[candidate.model.model_id], strength, written)
            for candidate, strength in zip(chosen, strengths, strict=True)
        ]
        refused = [
            RejectedLoRA(e.model.name, Reason("lora", reason, round(e.relevance, 3)))
            for e, reason in blocked
            if e.relevance >= min(limits.min_confidence, 0.5)
            and e.model.model_id not in {model.model_id for model, _ in put_in}
        ]
        near = [item for item in turned_down if item.reason.weight >= NEAR_MISS]
        others = (refused[: MAX_REJECTED // 2] + near)[:MAX_REJECTED]
        reasons = [self._summary(named, recommended)]
        if self.dense_text and limits.max_loras and (note := self._library().note(prompt_analysis)):
            reasons.append(Reason("loras", note))
        return LoRAChoice((*named, *recommended), (*rejected, *others), tuple(reasons))

    def _summary(self, named: Sequence[LoRARecommendation], chosen: Sequence[LoRARecommendation]) -> Reason:
        size = self._library().usable
        if not size:
            return Reason("loras", "the library holds no LoRA that can be used")
        if not named and not chosen:
            return Reason("loras", f"none of the library's {size} LoRAs fits this prompt well enough")
        parts = []
        if named:
            parts.append(f"{len(named)} named by you")
        if chosen:
            parts.append(f"{len(chosen)} chosen from the library's {size}")
        return Reason("loras", ", ".join(parts))

    def _library(self) -> Library:
        revision = self.registry.revision
        known = _LIBRARIES.get(self.registry)
        if known is None or known[0] != revision:
            before = known[1] if known else None
            if isinstance(registry := self.registry, ModelRegistry):
                listed = registry.summaries(ModelKind.LORA, with_problems=True)
                library = Library(listed, registry.folder, before, registry.read_models)
            else:
                library = Library(registry.list_models(ModelKind.LORA, with_problems=True), before=before)
            known = (revision, library)
            _LIBRARIES[self.registry] = known
        return known[1]

    def _rated(self, analysis: PromptAnalysis) -> Mapping[str, Any]:
        concepts = {phrase for phrases in analysis.concepts.values() for phrase in phrases}
        return self.preferences.for_prompt(concepts) if self.preferences else {}

    def _strengths(self) -> Strengths:
        return self._library().strengths

    def _found(
        self,
        analysis: PromptAnalysis,
        asked: Query,
        base: FamilyFinding,
        rated: Mapping[str, Any],
        least: float,
        top_k: int = MAX_RANKED,
    ) -> tuple[list[Evidence], list[tuple[Evidence, str]]]:
        """Those of `search`, with what ratings and, where that is installed, similarity of meaning say."""
        library = self._library()
        shifts = {model: Shift(preference.advantage, preference.evidence) for model, preference in rated.items()}
        similarity = library.similarity(analysis) if self.dense_text else None
        return search(library, analysis, asked, base, shifts, least, top_k, similarity)

    def _tagged(
        self, tags: Sequence[LoRATag], asked: Query, written: Written, base: FamilyFinding
    ) -> tuple[list[LoRARecommendation], list[RejectedLoRA]]:
        """The LoRAs that the prompt's tags name; and the tags that cannot be obeyed."""
        named: dict[str, LoRARecommendation] = {}
        rejected: dict[str, RejectedLoRA] = {}
        library = self._library()
        for tag in tags:
            model = library.named(tag.name)
            reason = unusable(model, base) if model else "no LoRA of this name is on this machine"
            if model is None or reason is not None:
                rejected.setdefault(tag.name, RejectedLoRA(tag.name, Reason("lora", f"named by you, but {reason}")))
            elif model.model_id not in named:
                named[model.model_id] = _obeyed(tag, model, self._strengths().alone(model, asked), written)
        return list(named.values()), list(rejected.values())


def _base(base_model: str | ModelEvidence | None) -> FamilyFinding:
    require(
        base_model is None or isinstance(base_model, (str, ModelEvidence)),
        f"base_model must be a name, a ModelEvidence or None, got {type(base_model).__name__}",
    )
    if isinstance(base_model, ModelEvidence):
        return identify_family(base_model)
    architecture = Architecture.SDXL if base_model == EMBEDDED_MODEL else Architecture.UNKNOWN
    return identify_family(ModelEvidence(name=base_model or "", architecture=architecture))


def _liked(rated: Mapping[str, Any]) -> dict[str, Liked]:
    return {model: preference.liked_strengths for model, preference in rated.items()}


def _recommendation(evidence: Evidence, strength: Strength, written: Written) -> LoRARecommendation:
    model = evidence.model
    words = missing_words(model, written)
    reasons = (*evidence.reasons, strength.reason, *_trigger_reason(words))
    return LoRARecommendation(
        lora_name=model.name,
        lora_metadata=model,
        confidence_score=round(evidence.confidence, 3),
        suggested_alpha=strength.value,
        matching_concepts=evidence.matching,
        strength_range=strength.limits,
        trigger_words=words,
        reasons=reasons,
    )


def _obeyed(tag: LoRATag, model: ModelMetadata, usual: Strength, written: Written) -> LoRARecommendation:
    clip = f" (text encoders {tag.strength_clip:g})" if tag.strength_clip is not None else ""
    reasons = [Reason("lora", f"named by you, with strength {tag.strength_model:g}{clip}")]
    if model.architecture is Architecture.UNKNOWN:
        reasons.append(Reason("base model", "which architecture it was made for is not known", 0.5))
    words = () if model.lora_kind is LoRAKind.SPEED else missing_words(model, written)
    return LoRARecommendation(
        lora_name=model.name,
        lora_metadata=model,
        confidence_score=1.0,
        suggested_alpha=tag.strength_model,
        suggested_alpha_clip=tag.strength_clip,
        strength_range=usual.limits,
        trigger_words=words,
        reasons=(*reasons, *_trigger_reason(words)),
        named=True,
    )


def _trigger_reason(words: Sequence[str]) -> tuple[Reason, ...]:
    return (Reason("trigger words", f"the prompt lacks its trigger words {', '.join(words)}"),) if words else ()
