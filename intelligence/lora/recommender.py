"""Which LoRAs a prompt gets: those that it names, and those that its words speak for well enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..config import EMBEDDED_MODEL, LoRAPreferences
from ..errors import InvalidInputError
from ..learning.preferences import Preference, Preferences
from ..models import Architecture, FamilyFinding, LoRAKind, ModelEvidence, ModelMetadata, identify_family
from ..prompt import LoRATag, PromptAnalysis, strip_lora_tags
from ..records import Reason, Source
from .candidates import Candidate, find_candidates
from .decision import select
from .lora_library import Library, Registry, library_of
from .lora_messages import LoRAMessage
from .recommendation import LoRAChoice, LoRARecommendation, RejectedLoRA
from .search.tokens import prompt_query
from .strength import LikedStrengths, Strength
from .triggers import PromptText, missing_words

MAX_REJECTED = 10
"""LoRAs that are named as turned down, beside those that the prompt's tags name."""
MAX_RANKED = 100
MIN_MENTIONED_CONFIDENCE = 0.25
"""Confidence from which a LoRA below the threshold is worth a word."""


class LoRARecommender:
    """PromptAnalysis → LoRAs, with reasons.

    Args:
        registry: where the LoRAs are listed; its library is remembered as long as its revision stays.
        preferences: what ratings say; None: nothing.
        dense_text: whether meaning is compared where MiniLM is installed.
    """

    def __init__(self, registry: Registry, preferences: Preferences | None = None, *, dense_text: bool = True) -> None:
        self.registry = registry
        self.preferences = preferences
        self.dense_text = dense_text

    def rank(
        self, prompt_analysis: PromptAnalysis, base_model: str | ModelEvidence | None = None, top_k: int = MAX_RANKED
    ) -> list[LoRARecommendation]:
        """Return the LoRAs that fit the base model and that the prompt speaks for at all, best first.

        At most `top_k`, and no more than `MAX_RANKED`.
        """
        base = _find_base(base_model)
        ratings = self._ratings(prompt_analysis)
        query = prompt_query(prompt_analysis)
        library = self._library()
        hits = library.search(prompt_analysis, query, base, self.dense_text)
        found, _ = find_candidates(library, prompt_analysis, query, hits, base, ratings, 0.0)
        liked = _liked(ratings)
        alone = [
            (one, library.strengths.alone(one.model, query, liked.get(one.model.model_id, ()))) for one in found[:top_k]
        ]
        text = _prompt_text(prompt_analysis)
        return [_recommendation(candidate, strength, text) for candidate, strength in alone]

    def recommend(
        self,
        prompt_analysis: PromptAnalysis,
        base_model: str | ModelEvidence | None = None,
        max_loras: int = 3,
        min_confidence: float = 0.5,
        allow_style_mixing: bool = False,
    ) -> list[LoRARecommendation]:
        """Return the LoRAs that `choose` applies, best first; empty where none fits. Raises InvalidInputError."""
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
        """Return the LoRAs to apply and those turned down.

        `<lora:…>` tags of the prompt come first, with their own strengths, and count towards `max_loras` but are never
        cut by it. Of the rest, those of at least `min_confidence` are taken, best first: one per subject, one style
        (unless `allow_style_mixing`), one version of each LoRA, never one made for another architecture.

        Args:
            base_model: a name, or what the host knows; None: unknown.

        Raises:
            InvalidInputError: `max_loras` or `min_confidence` is out of range.
        """
        base = _find_base(base_model)
        limits = LoRAPreferences(max_loras, min_confidence, allow_style_mixing)
        ratings = self._ratings(prompt_analysis)
        liked = _liked(ratings)
        query = prompt_query(prompt_analysis)
        library = self._library()
        tagged, refused = library.tagged(prompt_analysis.lora_tags, base)
        hits = library.search(prompt_analysis, query, base, self.dense_text)
        mentioned = min(min_confidence, MIN_MENTIONED_CONFIDENCE)
        fitting, others = find_candidates(library, prompt_analysis, query, hits, base, ratings, mentioned)
        named = [(model, tag.strength_model) for tag, model in tagged]
        chosen, turned_down = select(fitting, named, query, limits)
        usual = [library.strengths.alone(model, query) for _, model in tagged]
        strengths = library.strengths.together([one.model for one in chosen], named, query, liked)
        text = _prompt_text(prompt_analysis)
        obeyed = [_obeyed(tag, model, range_, text) for (tag, model), range_ in zip(tagged, usual, strict=True)]
        recommended = [_recommendation(one, value, text) for one, value in zip(chosen, strengths, strict=True)]
        return LoRAChoice(
            (*obeyed, *recommended),
            (
                *(RejectedLoRA(name, reason) for name, reason in refused.items()),
                *_worth_naming(others, turned_down, limits, {model.model_id for model, _ in named}),
            ),
            self._reasons(library, prompt_analysis, len(obeyed), len(recommended), limits),
        )

    def _library(self) -> Library:
        return library_of(self.registry)

    def _ratings(self, analysis: PromptAnalysis) -> Mapping[str, Preference]:
        return self.preferences.for_prompt(analysis.shown_concepts) if self.preferences else {}

    def _reasons(
        self, library: Library, analysis: PromptAnalysis, named: int, chosen: int, limits: LoRAPreferences
    ) -> tuple[Reason, ...]:
        meaning = library.meaning_reason(analysis) if self.dense_text and limits.max_loras else None
        summary = _summary(library.usable, named, chosen)
        return (summary,) if meaning is None else (summary, meaning)


def _find_base(base_model: str | ModelEvidence | None) -> FamilyFinding:
    if isinstance(base_model, ModelEvidence):
        return identify_family(base_model)
    if base_model is not None and not isinstance(base_model, str):
        raise InvalidInputError(f"base_model must be a name, a ModelEvidence or None, got {type(base_model).__name__}")
    architecture = Architecture.SDXL if base_model == EMBEDDED_MODEL else Architecture.UNKNOWN
    return identify_family(ModelEvidence(name=base_model or "", architecture=architecture))


def _prompt_text(analysis: PromptAnalysis) -> PromptText:
    return PromptText(strip_lora_tags(analysis.text or analysis.prompt))


def _liked(ratings: Mapping[str, Preference]) -> dict[str, LikedStrengths]:
    return {model: rating.liked_strengths for model, rating in ratings.items()}


def _recommendation(candidate: Candidate, strength: Strength, text: PromptText) -> LoRARecommendation:
    model = candidate.model
    words = missing_words(model, text)
    return LoRARecommendation(
        lora_name=model.name,
        lora_metadata=model,
        confidence_score=round(candidate.confidence, 3),
        suggested_alpha=strength.value,
        matching_concepts=candidate.matching,
        strength_range=strength.limits,
        trigger_words=words,
        reasons=(*candidate.reasons, *strength.reasons, *_trigger_reason(words)),
    )


def _obeyed(tag: LoRATag, model: ModelMetadata, usual: Strength, text: PromptText) -> LoRARecommendation:
    strength, clip = tag.strength_model, tag.strength_clip
    if clip is None:
        reason = Reason.of("lora", Source.USER, LoRAMessage.NAMED, value=strength, strength=strength)
    else:
        message = LoRAMessage.NAMED_WITH_CLIP
        reason = Reason.of("lora", Source.USER, message, value=strength, strength=strength, clip=clip)
    reasons = [reason]
    if model.architecture is Architecture.UNKNOWN:
        reasons.append(Reason.of("base model", Source.LORA, LoRAMessage.NAMED_UNKNOWN, weight=0.5))
    words = () if model.lora_kind is LoRAKind.SPEED else missing_words(model, text)
    return LoRARecommendation(
        lora_name=model.name,
        lora_metadata=model,
        confidence_score=1.0,
        suggested_alpha=strength,
        suggested_alpha_clip=clip,
        strength_range=usual.limits,
        trigger_words=words,
        reasons=(*reasons, *_trigger_reason(words)),
        named=True,
    )


def _trigger_reason(words: Sequence[str]) -> tuple[Reason, ...]:
    if not words:
        return ()
    return (Reason.of("trigger words", Source.LORA, LoRAMessage.ADDED_TRIGGER_WORDS, words=", ".join(words)),)


def _worth_naming(
    others: Sequence[Candidate], turned_down: Sequence[RejectedLoRA], limits: LoRAPreferences, named: set[str]
) -> list[RejectedLoRA]:
    """The LoRAs that were turned down and that a person would ask about."""
    incompatible = [
        RejectedLoRA(one.model.name, replace(one.incompatibility, weight=round(one.relevance, 3)))
        for one in others
        if one.incompatibility and one.relevance >= min(limits.min_confidence, 0.5) and one.model.model_id not in named
    ]
    near = [item for item in turned_down if item.reason.weight >= MIN_MENTIONED_CONFIDENCE]
    return (incompatible[: MAX_REJECTED // 2] + near)[:MAX_REJECTED]


def _summary(size: int, named: int, chosen: int) -> Reason:
    if not size:
        message = LoRAMessage.EMPTY_LIBRARY
    elif named and chosen:
        message = LoRAMessage.NAMED_AND_CHOSEN
    elif named:
        message = LoRAMessage.NAMED_COUNT
    else:
        message = LoRAMessage.CHOSEN_COUNT if chosen else LoRAMessage.NONE_FITS
    source = Source.USER if named and not chosen else Source.PROMPT
    return Reason.of("loras", source, message, size=size, named=named, chosen=chosen)
