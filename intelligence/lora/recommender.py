"""Choose the LoRAs of a prompt: those that it names, and those that its words speak for well enough."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ..config import LoRAPreferences
from ..learning import Preferences
from ..models import LoRAKind, ModelEvidence, ModelMetadata
from ..models.lora_fit import LoRAFit
from ..prompt import PromptAnalysis
from ..records import Reason, Source
from .candidates import Candidate, Depth, find_candidates
from .combination import select
from .judge import Judge, judged
from .lora_library import Library, OwnPictures, Registry, library_of, without_own_examples
from .lora_messages import LoRAMessage
from .recommendation import LoRAChoice, LoRARecommendation, NamedLoRA, NearLoRA, RejectedLoRA
from .strength import Strength, clip_reasons, clip_strength
from .target_model import TargetModel, find_base, fit_reasons, unknown_warning
from .taste import Taste, worth_applying
from .triggers import PromptText, TriggerWords, choose_words, is_explicit_unasked, set_of

MAX_REJECTED = 10
"""LoRAs that are named as turned down, beside those that the prompt's tags name."""
MAX_RANKED = 100
MAX_JUDGED = 20
"""LoRAs of the ranking that are asked whether the prompt wants them, beside those that it names in full."""
MIN_NEAREST_CONFIDENCE, MAX_NEAREST = 0.05, 3
"""Confidence from which a LoRA below the threshold is worth a word, and how many are told of in AUTO."""
UNDECIDED = 0.5
"""Confidence of a LoRA of which only the ratings are asked."""
MAX_OFFERED = 8
"""LoRAs in a list to choose from: those applied, and the nearest."""

TurnedDown = tuple[Candidate, Reason]
_UNSURE = LoRAMessage.NOT_CONFIDENT.key

EXPLORED_BELOW = 0.4
"""Stars by which what is tried may promise less than what is worth applying."""


class LoRARecommender:
    """PromptAnalysis → LoRAs, with reasons.

    Args:
        registry: where the LoRAs are listed; its library is remembered as long as its revision stays.
        preferences: what ratings say; None: nothing.
        dense_text: without effect; see `LoRAPreferences`.
        fit: measures LoRAs against the loaded base model; None: it is not loaded.
        judge: asked by `choose` about the first candidates; None: nobody.
        pictures: what the user made before; None: nothing.
    """

    def __init__(
        self,
        registry: Registry,
        preferences: Preferences | None = None,
        *,
        dense_text: bool | None = None,
        fit: LoRAFit | None = None,
        judge: Judge | None = None,
        pictures: OwnPictures | None = None,
    ) -> None:
        self.registry = registry
        self.preferences = preferences
        self.dense_text = dense_text
        self.fit = fit
        self.judge = judge
        self.pictures = pictures

    def rank(
        self, prompt_analysis: PromptAnalysis, base_model: str | ModelEvidence | None = None, top_k: int = MAX_RANKED
    ) -> list[LoRARecommendation]:
        """Return the LoRAs that fit the base model and that the prompt speaks for at all, best first.

        At most `top_k`, and no more than `MAX_RANKED`. Confidence does not decide the order: see `choose`.
        """
        library = self._library()
        taste = Taste(self.preferences, library, prompt_analysis)
        base, query = find_base(base_model, self.fit), library.read_query(prompt_analysis)
        depth = Depth(max(MAX_JUDGED, min(top_k, MAX_RANKED)))
        found, _ = find_candidates(library, prompt_analysis, query, base, taste, depth)
        found = liked_first(found)
        alone = [library.strengths.alone(one.model, query, taste) for one in found[:top_k]]
        told = Told(PromptText.of(prompt_analysis), base, taste)
        return [_recommendation(one, strength, told) for one, strength in zip(found, alone, strict=False)]

    def liking(self, prompt_analysis: PromptAnalysis, model_ids: Sequence[str]) -> dict[str, float]:
        """Return what ratings add to the confidence in LoRAs of the library, by their ids; 0 without any."""
        library = self._library()
        places = {one: place for one in model_ids if (place := library.place(one)) is not None}
        asked = [(place, UNDECIDED, UNDECIDED) for place in places.values()]
        opinions = Taste(self.preferences, library, prompt_analysis).opinions(asked, None)
        return {one: opinion.score - UNDECIDED for one, opinion in zip(places, opinions, strict=True)}

    def explore(
        self,
        prompt_analysis: PromptAnalysis,
        base_model: str | ModelEvidence | None = None,
        but: Collection[str] = (),
        min_confidence: float = LoRAPreferences.min_confidence,
    ) -> list[LoRARecommendation]:
        """Return LoRAs that are worth trying on a prompt, the most promising first.

        Those of which ratings tell little, and of which a standard deviation of luck would make one that is as good as
        those applied, or nearly.

        Args:
            but: model ids of LoRAs that are applied already.
            min_confidence: see `choose`.
        """
        ranked = self.rank(prompt_analysis, base_model, MAX_JUDGED)
        free = [one for one in ranked if one.lora_metadata.model_id not in but and one.relevance]
        promise = Taste(self.preferences, self._library(), prompt_analysis).promise(free)
        least = worth_applying(min_confidence) - EXPLORED_BELOW
        order = sorted(range(len(free)), key=lambda place: -float(promise[place]))
        return [free[place] for place in order if promise[place] > least]

    def recommend(
        self,
        prompt_analysis: PromptAnalysis,
        base_model: str | ModelEvidence | None = None,
        max_loras: int = LoRAPreferences.max_loras,
        min_confidence: float = LoRAPreferences.min_confidence,
        allow_style_mixing: bool = False,
    ) -> list[LoRARecommendation]:
        """Return the LoRAs that `choose` applies, best first; empty where none fits. Raises InvalidInputError."""
        return list(self.choose(prompt_analysis, base_model, max_loras, min_confidence, allow_style_mixing).chosen)

    def choose(
        self,
        prompt_analysis: PromptAnalysis,
        base_model: str | ModelEvidence | None = None,
        max_loras: int = LoRAPreferences.max_loras,
        min_confidence: float = LoRAPreferences.min_confidence,
        allow_style_mixing: bool = False,
        nearest: int = MAX_NEAREST,
    ) -> LoRAChoice:
        """Return the LoRAs to apply and those turned down.

        `<lora:…>` tags of the prompt come first, with their own strengths, and count towards `max_loras` but are never
        cut by it. Of the rest, those of at least `min_confidence` are taken, best first: one per subject, one style
        (unless `allow_style_mixing`), one version of each LoRA, never one made for another architecture.

        Args:
            base_model: a name, or what the host knows; None: unknown.
            nearest: how many LoRAs that are not sure enough are told of. More than `MAX_NEAREST`: suggestions for the
                user to choose from, however unsure.

        Raises:
            InvalidInputError: `max_loras` or `min_confidence` is out of range.
        """
        library = self._library()
        taste = Taste(self.preferences, library, prompt_analysis)
        base = find_base(base_model, self.fit)
        named, refused = library.tagged(prompt_analysis.lora_tags, base)
        limits = LoRAPreferences(max_loras, min_confidence, allow_style_mixing)
        query = library.read_query(prompt_analysis)
        least = min(min_confidence, MIN_NEAREST_CONFIDENCE) if nearest <= MAX_NEAREST else 0.0
        depth = Depth(MAX_JUDGED, least, min_confidence)
        fitting, others = find_candidates(library, prompt_analysis, query, base, taste, depth)
        surest = sorted(fitting, key=_by_confidence)
        unjudged = None
        if self.judge and limits.max_loras:
            surest, unjudged = judged(surest, prompt_analysis.text, self.judge)
            surest.sort(key=_by_confidence)
        chosen, turned_down = select(surest, named, query, limits)
        usual = [library.strengths.alone(one.model, query) for one in named]
        strengths = library.strengths.together([one.model for one in chosen], named, query, taste)
        told = Told(PromptText.of(prompt_analysis), base, taste)
        judged_as = {one.model.model_id: (round(one.relevance, 3), round(one.standing, 3)) for one in fitting}
        by_name = []
        for one, alone in zip(named, usual, strict=True):
            confidence, standing = judged_as.get(one.model.model_id, (0.0, 0.0))
            by_name.append(replace(_named_recommendation(one, alone, told), relevance=confidence, standing=standing))
        recommended = [_recommendation(*one, told) for one in zip(chosen, strengths, strict=True)]
        by_syntax = {tag.text: RejectedLoRA(tag.text, tag.reason) for tag in prompt_analysis.refused_tags}
        worth_telling = _worth_telling(turned_down, nearest, told.text)
        left_out = [RejectedLoRA(one.model.name, reason, one.model.title) for one, reason in worth_telling]
        offered = sorted(
            (one for one in worth_telling if one[0].relevance > 0),
            key=lambda one: -one[0].confidence,
        )
        near = [
            NearLoRA.of(_recommendation(one, library.strengths.alone(one.model, query, taste), told), reason)
            for one, reason in offered[: max(0, MAX_OFFERED - len(chosen))]
            if limits.max_loras
        ]
        rejected = (*[*by_syntax.values()][:MAX_REJECTED], *refused, *_worth_naming(others, left_out, limits, named))
        reasons = [
            library.summary(len(named), len(chosen), base),
            *_stricter(limits),
            *([unjudged] if unjudged else []),
        ]
        if self.dense_text is not None:
            reasons.append(Reason.of("loras", Source.USER, LoRAMessage.NO_MEANING))
        return LoRAChoice((*by_name, *recommended), rejected, tuple(near), tuple(reasons))

    def _library(self) -> Library:
        return library_of(self.registry, self.pictures)


def liked_first(ranked: Sequence[Candidate]) -> list[Candidate]:
    """Return a ranking with every LoRA moved by what ratings add to its confidence; without ratings it stays.

    A place in the ranking counts as the highest confidence of those from it on.
    """
    level, scores = 0.0, []
    for one in reversed(ranked):
        level = max(level, one.relevance)
        scores.append(level + (one.confidence - one.relevance))
    order = sorted(range(len(ranked)), key=lambda place: -scores[-1 - place])
    return [ranked[place] for place in order]


def _by_confidence(candidate: Candidate) -> float:
    return -round(candidate.confidence, 2)


class Told(NamedTuple):
    """Facts about a choice that every LoRA of it is told by."""

    text: PromptText
    base: TargetModel
    taste: Taste

    def words(self, model: ModelMetadata) -> tuple[TriggerWords, tuple[Reason, ...]]:
        """Return the trigger words of a LoRA, and why they are not the usual ones."""
        usual: str | None = None

        def liked(names: Sequence[str], first: str) -> str:
            nonlocal usual
            usual = first
            return self.taste.trigger_set(model.model_id, names, first)

        words = choose_words(model, self.text, liked)
        reasons = self.taste.words_reasons(model.model_id, words.set_name, words.set_name if usual is None else usual)
        return words, (*reasons, *_trigger_reasons(words))


def _recommendation(candidate: Candidate, strength: Strength, told: Told) -> LoRARecommendation:
    model = without_own_examples(candidate.model)
    words, word_reasons = told.words(model) if strength.value else (TriggerWords(), ())
    clip = clip_strength(model, strength.value)
    return LoRARecommendation(
        lora_name=model.name,
        lora_metadata=model,
        confidence_score=round(min(1.0, max(0.0, candidate.confidence)), 3),
        suggested_alpha=strength.value,
        suggested_alpha_clip=clip,
        matching_concepts=candidate.matching,
        strength_range=strength.limits,
        trigger_words=words.missing,
        reasons=(
            *candidate.reasons,
            *fit_reasons(model, told.base),
            *strength.reasons,
            *clip_reasons(clip),
            *word_reasons,
        ),
        trigger_set=words.set_name,
        relevance=round(candidate.relevance, 3),
        standing=round(candidate.standing, 3),
    )


def _named_recommendation(named: NamedLoRA, usual: Strength, told: Told) -> LoRARecommendation:
    listed, strength, clip, ignored, given_words = named
    model = without_own_examples(listed)
    given: dict[str, Any] = {"strength": strength} if clip is None else {"strength": strength, "clip": clip}
    message = LoRAMessage.NAMED if clip is None else LoRAMessage.NAMED_WITH_CLIP
    reasons = [Reason.of("lora", Source.USER, message, value=strength, **given), *fit_reasons(model, told.base)]
    if ignored:
        reasons.append(Reason.of("lora", Source.USER, LoRAMessage.TAG_PARTS_IGNORED, parts=ignored))
    if (warning := unknown_warning(model, told.base)) is not None:
        reasons.append(warning)
    words, word_reasons = TriggerWords(), tuple[Reason, ...]()
    if given_words is not None:
        words = TriggerWords(given_words, set_name=set_of(model, given_words))
        word_reasons = _trigger_reasons(words)
    elif model.lora_kind is not LoRAKind.SPEED and (strength or clip):
        words, word_reasons = told.words(model)
    return LoRARecommendation(
        lora_name=model.name,
        lora_metadata=model,
        confidence_score=1.0,
        suggested_alpha=strength,
        suggested_alpha_clip=clip,
        strength_range=usual.limits,
        trigger_words=words.missing,
        reasons=(*reasons, *word_reasons),
        trigger_set=words.set_name,
        named=True,
    )


def _trigger_reasons(words: TriggerWords) -> tuple[Reason, ...]:
    said = ((LoRAMessage.ADDED_TRIGGER_WORDS, words.missing), (LoRAMessage.LEFT_OUT_TRIGGER_WORDS, words.left_out))
    return tuple(
        Reason.of("trigger words", Source.LORA, message, words=", ".join(phrases))
        for message, phrases in said
        if phrases
    )


def _worth_telling(turned_down: Sequence[TurnedDown], nearest: int, text: PromptText) -> list[TurnedDown]:
    """All that are turned down, but of the ones that are not sure enough only the first, and no explicit one that the
    prompt does not ask for."""
    unsure = [one for one in turned_down if one[1].message == _UNSURE and not is_explicit_unasked(one[0].model, text)]
    told = {id(one) for one in unsure[:nearest]}
    return [one for one in turned_down if one[1].message != _UNSURE or id(one) in told]


def _worth_naming(
    others: Sequence[Candidate],
    turned_down: Sequence[RejectedLoRA],
    limits: LoRAPreferences,
    named: Sequence[NamedLoRA],
) -> list[RejectedLoRA]:
    """The LoRAs that were turned down and that a person would ask about."""
    named_ids = {one.model.model_id for one in named}
    incompatible = [
        RejectedLoRA(one.model.name, replace(one.incompatibility, weight=round(one.relevance, 3)), one.model.title)
        for one in others
        if one.incompatibility and one.relevance >= limits.min_confidence and one.model.model_id not in named_ids
    ]
    return (incompatible[: MAX_REJECTED // 2] + list(turned_down))[:MAX_REJECTED]


def _stricter(limits: LoRAPreferences) -> list[Reason]:
    """Say that a graph asks for more than the default, as those saved with an earlier default do."""
    default = LoRAPreferences.min_confidence
    if limits.min_confidence <= default or not limits.max_loras:
        return []
    minimum = limits.min_confidence
    return [Reason.of("loras", Source.USER, LoRAMessage.STRICTER, minimum=minimum, default=default)]
