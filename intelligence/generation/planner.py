"""The stages in their order, for the Python pipeline and the ComfyUI nodes alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import shorten

from ..config import AUTO, LoRAPreferences, OllamaConfig, OnUnconfirmed, OperationMode, require
from ..history.own_pictures import HISTORY_FILE, PictureHistory
from ..learning import LearningEngine, Preferences
from ..learning.value_model import ValueModel
from ..lora import LoRARecommendation, LoRARecommender, RejectedLoRA, compose_prompts, without_added_words
from ..lora.judge import ollama_judge
from ..lora.lora_library import Library, library_of
from ..lora.recommendation import OfferedLoRA, offered_loras
from ..lora.recommender import MAX_NEAREST, MAX_OFFERED
from ..lora.target_model import left_out
from ..memory import MemoryManager, MemoryRequest, Resources
from ..models import Architecture, Family, ModelEvidence, identify_family
from ..models.kinds import TITLES
from ..models.lora_fit import LoRAFit
from ..parameters import ModelGuidance, ParameterOptimizer, ParameterRequest, profile_for
from ..parameters.parameters import NO_GUIDANCE
from ..prompt import LoRATag, PromptAnalysis, PromptAnalyzer
from ..records import Reason, Source
from ..registry import ModelRegistry
from ..units import BYTES_PER_GIB
from .choice_requests import STALE, ChoiceBasis, LoRARequest, SettingsRequest
from .generation_messages import GenerationMessage
from .past_taste import past_observations
from .postprocess.steps import planned_steps
from .problem_messages import ProblemMessage
from .stages import AnyRecommendations, Arm, GenerationPlan, PromptRecommendations, Recommendations
from .store_notes import store_notes
from .used_files import UsedFiles

STALE_CHARACTERS = 60
"""Characters of an earlier prompt that are quoted."""

NOT_CROSSED = (
    "`variations`: {sets} sets of LoRAs come in already, and ComfyUI pairs lists item by item, so that most images "
    "would get other LoRAs than their explanation names. Set `variations` to 1 here or in LoRA Recommend."
)


@dataclass
class Planner:
    """Prompt → analysis → recommendations → parameters → plan, over one registry and one learning store."""

    registry: ModelRegistry
    learning: LearningEngine
    memory: MemoryManager = field(default_factory=MemoryManager)
    families: Path | None = None
    """The user's table of families; None: the one in the data folder."""
    vocabulary: Path | None = None
    """The user's own vocabulary; None: the one in the data folder."""
    history: PictureHistory | None = None
    """Pictures that the user made before; None: those of history.db beside the registry."""

    def __post_init__(self) -> None:
        self.pictures = self.history or PictureHistory(self.registry.folder / HISTORY_FILE)
        self.optimizer = ParameterOptimizer(
            self.memory, self.learning.timings, self.families, self.taste, self.pictures.usual_settings
        )
        self.used_files = UsedFiles(self.registry, self.learning)
        self._preferences: tuple[Preferences, int, Preferences] | None = None

    def unusable_loras(self, named: Sequence[LoRATag]) -> tuple[RejectedLoRA, ...]:
        """Return the named LoRAs that this machine lacks or cannot use with any base model."""
        return self.recommender().choose(PromptAnalysis("", lora_tags=tuple(named)), max_loras=0).rejected

    def problem(self, request: LoRARequest) -> str | None:
        """Return why the request cannot run on this library, or None."""
        if request.on_unconfirmed is not OnUnconfirmed.ERROR:
            return None
        if request.unconfirmed:
            return ProblemMessage.UNCONFIRMED.value
        if not (request.selection and (unusable := self.unusable_loras(request.selection))):
            return None
        missing = "; ".join(f"{item.lora_name}: {item.reason.evidence}" for item in unusable)
        return ProblemMessage.UNUSABLE_SELECTION.format(loras=missing)

    def analyze(self, prompt: str, negative_prompt: str = "", ollama: OllamaConfig | None = None) -> PromptAnalysis:
        """Read the prompt. Raises InvalidInputError for an empty one."""
        return PromptAnalyzer(ollama, self.vocabulary).analyze(prompt, negative_prompt)

    def preferences(self) -> Preferences:
        """Return what ratings say, and what became of the pictures made before, where these are read."""
        moves = self.registry.moves()
        rated, revision = self.learning.preferences({**moves, **self.library.by_digest}), self.pictures.revision
        if not revision:
            return rated
        if self._preferences is None or self._preferences[:2] != (rated, revision):
            pictures = self.pictures.pictures(self.library.models, moves)
            self._preferences = rated, revision, rated.after(past_observations(pictures, self.learning.past_resets()))
        return self._preferences[2]

    def taste(self) -> ValueModel | None:
        """Return the model of what ratings say of this library; None without ratings."""
        preferences = self.preferences()
        if not preferences:
            return None
        library = self.library
        return preferences.model(library.taste_traits, library)

    @property
    def library(self) -> Library:
        """The LoRAs as they are now."""
        return library_of(self.registry, self.pictures)

    def recommender(
        self, dense_text: bool | None = None, fit: LoRAFit | None = None, judge: OllamaConfig | None = None
    ) -> LoRARecommender:
        """Return a recommender over the library and the ratings as they are now.

        `dense_text`: see `LoRAPreferences`. `fit`, `judge`: see `LoRARequest`.
        """
        ratings = self.preferences()
        asked = None if judge is None else ollama_judge(judge)
        return LoRARecommender(
            self.registry, ratings, dense_text=dense_text, fit=fit, judge=asked, pictures=self.pictures
        )

    def recommend(
        self, analysis: PromptAnalysis, model: ModelEvidence | None, request: LoRARequest | LoRAPreferences
    ) -> PromptRecommendations:
        """Choose LoRAs and compose the prompts: one set, whatever the request's `variations`.

        In MANUAL mode, and with a confirmed selection, only named LoRAs are applied. Preferences alone stand for a
        request in AUTO mode.
        """
        request = LoRARequest(preferences=request) if isinstance(request, LoRAPreferences) else request
        preferences, manual = request.preferences, request.mode is OperationMode.MANUAL
        named_only = manual or request.selection is not None
        tags = (*analysis.lora_tags, *request.stack, *(request.selection or ()))
        arm = request.arm(analysis.prompt)
        recommender = self.recommender(preferences.dense_text, request.fit, request.judge)
        if arm is Arm.PLAIN:
            recommender.preferences = None
        choice = recommender.choose(
            replace(analysis, lora_tags=tags),
            model,
            max_loras=0 if named_only else preferences.max_loras,
            min_confidence=preferences.min_confidence,
            allow_style_mixing=preferences.allow_style_mixing,
            nearest=MAX_OFFERED if request.mode is OperationMode.ASSISTED else MAX_NEAREST,
        )
        stale = _stale(request.chosen_for, analysis, model)
        offered: tuple[OfferedLoRA, ...] = ()
        if request.was_offered and not stale:
            again = recommender.choose(
                replace(analysis, lora_tags=(*analysis.lora_tags, *request.stack)),
                model,
                preferences.max_loras,
                preferences.min_confidence,
                preferences.allow_style_mixing,
                MAX_OFFERED,
            )
            offered = offered_loras(again.chosen, again.nearest)
        names = {*(tag.name for tag in tags), *(tag.text for tag in analysis.refused_tags)}
        rejected = [item for item in choice.rejected if item.lora_name in names or not named_only]
        return self.compose(
            PromptRecommendations(
                prompt_analysis=analysis,
                suggested_loras=[without_added_words(lora) if manual else lora for lora in choice.chosen],
                rejected=tuple(rejected),
                nearest=choice.nearest,
                model=model,
                family=identify_family(model or ModelEvidence()),
                mode=request.mode,
                reasons=(
                    *store_notes(self.registry, self.learning, self.memory),
                    *stale,
                    *choice.reasons,
                ),
                offered=offered,
                suggest_only=request.suggest_only,
                arm=arm,
                arm_share={
                    Arm.NONE: 1.0,
                    Arm.PLAIN: preferences.unlearned_share,
                    Arm.LEARNED: 1 - preferences.unlearned_share,
                }[arm],
            ),
            quality_tags=request.quality_tags,
        )

    def recommend_variants(
        self, request: LoRARequest, analysis: PromptAnalysis, model: ModelEvidence, notes: Sequence[Reason] = ()
    ) -> list[PromptRecommendations]:
        """Return one set of recommendations for each variation, the best first; `notes` lead their reasons."""
        chosen = self.recommend(analysis, model, request)
        chosen = replace(chosen, reasons=(*notes, *chosen.reasons))
        if request.explores(analysis.prompt) and (tried := self._explored(chosen, request)) is not None:
            return [replace(chosen, variants=2), tried]
        count = 1 if request.suggest_only else request.variations
        return lora_variants(self, chosen, count, quality_tags=request.quality_tags, fit=request.fit)

    def _explored(self, chosen: PromptRecommendations, request: LoRARequest) -> PromptRecommendations | None:
        """The set with a LoRA that is worth trying, in the place of the least sure one where there is no room."""
        preferences, loras = request.preferences, chosen.suggested_loras
        found = self.recommender(fit=request.fit).explore(
            chosen.prompt_analysis,
            chosen.model,
            [lora.lora_metadata.model_id for lora in loras],
            preferences.min_confidence,
        )
        kept = loras if len(loras) < preferences.max_loras else loras[:-1]
        if not found or len(kept) >= preferences.max_loras or len(kept) < sum(lora.named for lora in loras):
            return None
        every, name = preferences.explore_every, found[0].lora_name
        reason = Reason.of("loras", Source.LEARNED, GenerationMessage.EXPLORED, lora=name, every=every)
        tried = replace(chosen, suggested_loras=[*kept, found[0]], reasons=(*chosen.reasons, reason), variants=2)
        return self.compose(tried, quality_tags=request.quality_tags)

    def patched(
        self, recommendations: PromptRecommendations, counts: Mapping[str, int], request: LoRARequest
    ) -> PromptRecommendations:
        """Return the recommendations with what the host's loader left out of each LoRA; without those that it left out.

        `counts`: path of an applied LoRA → number of weights that the host patched for it.
        """
        kept, dropped = [], []
        for lora in recommendations.suggested_loras:
            model = lora.lora_metadata
            share = request.fit(model) if request.fit else None
            reason = left_out(counts[model.local_path], share) if model.local_path in counts else None
            if reason is None:
                kept.append(lora)
            elif counts[model.local_path]:
                kept.append(replace(lora, reasons=(*lora.reasons, reason), reasoning=""))
            else:
                dropped.append(RejectedLoRA(lora.lora_name, reason, lora.title))
        rejected = (*dropped, *recommendations.rejected)
        used = {lora.lora_metadata.model_id for lora in kept}
        offered = tuple(one for one in recommendations.offered if one.lora in used or not dropped)
        told = replace(recommendations, suggested_loras=kept, rejected=rejected, offered=offered)
        return self.compose(told, quality_tags=request.quality_tags) if dropped else told

    def compose(self, recommendations: AnyRecommendations, *, quality_tags: bool) -> AnyRecommendations:
        """Return the recommendations with both prompts made anew from the analysis and the LoRAs as they are now."""
        manual = recommendations.mode is OperationMode.MANUAL
        quality_tags = quality_tags and not manual
        analysis = recommendations.prompt_analysis
        finding = recommendations.family or identify_family(recommendations.model or ModelEvidence())
        row = profile_for(finding, analysis.intent.artistic_style, table=self.optimizer.table)
        composed = compose_prompts(
            analysis,
            [] if manual else recommendations.suggested_loras,
            quality_tags=row.quality_tags if quality_tags else (),
            negative_hints=row.negative_hints if quality_tags else (),
            quality_front=row.quality_front,
        )
        prompts = ("prompt", "negative prompt")
        kept = [reason for reason in recommendations.reasons if reason.setting not in prompts]
        return replace(
            recommendations,
            prompt=composed.prompt,
            negative_prompt=composed.negative_prompt,
            reasons=(*kept, *composed.reasons),
        )

    def parametrize(self, recommendations: PromptRecommendations, request: SettingsRequest) -> Recommendations:
        """Choose the sampling settings. In MANUAL mode only the request's own settings count."""
        parameters = self.optimizer.choose(
            ParameterRequest(
                recommendations.prompt_analysis,
                request.constraints,
                recommendations.model,
                recommendations.suggested_loras,
                request.settings,
                request.aspect,
                request.resources,
                _with_loras(request.memory, recommendations),
                guidance=request.guidance,
                samplers=request.samplers,
                schedulers=request.schedulers,
                upscalers=request.upscalers,
                upscale_cost=request.upscale_cost,
                learned=recommendations.arm is not Arm.PLAIN,
                manual=recommendations.mode is OperationMode.MANUAL,
            )
        )
        return recommendations.with_settings(parameters)

    def parametrize_variants(
        self,
        request: SettingsRequest,
        stage: PromptRecommendations | PromptAnalysis,
        model: ModelEvidence | None = None,
    ) -> list[Recommendations]:
        """Return the recommendations with settings, the best first; `model` None: the one of `stage`.

        Raises InvalidInputError for a setting that cannot be used, and for variations of several sets of LoRAs.
        """
        if isinstance(stage, PromptAnalysis):
            stage = PromptRecommendations(stage, [], prompt=stage.text, negative_prompt=stage.negative_prompt)
        require(request.variations == 1 or stage.variants == 1, NOT_CROSSED.format(sets=stage.variants))
        identified = self.identified(stage, model or stage.model or ModelEvidence(), request.family)
        given = {name: value for name, value in request.settings.items() if value not in (0, AUTO)}
        if identified.model and identified.model.clip_layer is not None:
            given.setdefault("clip_skip", identified.model.clip_layer)
        chosen = self.parametrize(identified, replace(request, settings=given))
        return parameter_variants(self, chosen, request.variations, request.guidance)

    def identified(
        self, recommendations: PromptRecommendations, model: ModelEvidence, named: Family = Family.UNKNOWN
    ) -> PromptRecommendations:
        """Return the recommendations for a model that is known better by now.

        `named`: the family that the user set; UNKNOWN: the one set before. Where the LoRAs and the prompt's tags were
        chosen for another family, a reason says so.
        """
        earlier, reasons = recommendations.family, recommendations.reasons
        if named is Family.UNKNOWN and recommendations.model is not None:
            named = recommendations.model.family
        layer = recommendations.model.clip_layer if recommendations.model else None
        model = replace(model, family=named, clip_layer=layer)
        finding = identify_family(model)
        if earlier is not None and earlier.family is not finding.family:
            text = GenerationMessage.FAMILY_CHANGED
            reasons = (*reasons, Reason.of("family", Source.USER, text, earlier=TITLES[earlier.family]))
        return replace(recommendations, model=model, family=finding, reasons=reasons)

    def plan(
        self, recommendations: Recommendations, request: MemoryRequest | None = None, resources: Resources | None = None
    ) -> GenerationPlan:
        """Fit the job onto the device.

        Args:
            request: images, and the host's knowledge of model and limits; the rest is filled in from the settings.
            resources: the device; None: this machine's.

        Raises InvalidInputError where an edit left a setting that cannot be used, and StorageError.
        """
        recommendations.suggested_params.check()
        family = recommendations.family
        request = replace(
            _with_loras(request or MemoryRequest(), recommendations),
            architecture=family.architecture if family else Architecture.SDXL,
        )
        request = self.optimizer.memory_request(request, recommendations.suggested_params)
        memory = self.memory.plan(request, resources=resources)
        return GenerationPlan(recommendations, memory, planned_steps(recommendations.suggested_params, memory))


def parameter_variants(
    planner: Planner, recommendations: Recommendations, count: int, guidance: ModelGuidance = NO_GUIDANCE
) -> list[Recommendations]:
    """Return the recommendations as they are, then with neighbouring settings to compare: at most `count`.

    `guidance`: that which is on the model.
    """
    neighbours = planner.optimizer.neighbours(recommendations.suggested_params, count, guidance)
    return [replace(recommendations, suggested_params=other) for other in neighbours]


def lora_variants(
    planner: Planner,
    recommendations: AnyRecommendations,
    count: int,
    *,
    quality_tags: bool,
    fit: LoRAFit | None = None,
) -> list[AnyRecommendations]:
    """Return the recommendations as they are, then with other LoRAs: at most `count` sets, all different.

    The last chosen LoRA is replaced by the next surest, then each chosen one stands alone, then none, then the last is
    replaced by those further down. LoRAs that the user named stay in every set. `fit`: see
    `LoRARequest`.
    """
    if count == 1:
        return [recommendations]
    chosen = recommendations.suggested_loras
    fixed = [lora for lora in chosen if lora.named]
    free = [lora for lora in chosen if not lora.named]
    ranked = planner.recommender(fit=fit).rank(recommendations.prompt_analysis, recommendations.model)
    known = {lora.lora_name for lora in chosen}
    others = sorted((lora for lora in ranked if lora.lora_name not in known), key=lambda one: -one.confidence_score)
    last_replaced = [[*free[:-1], other] for other in others]
    sets = [free, *last_replaced[:1], *([lora] for lora in free), [], *last_replaced[1:]]
    distinct: dict[frozenset[str], list[LoRARecommendation]] = {}
    for loras in sets:
        distinct.setdefault(frozenset(lora.lora_name for lora in loras), loras)
    kept = list(distinct.values())[:count]
    variants = [
        replace(recommendations, suggested_loras=[*fixed, *loras], variants=len(kept), offered=()) for loras in kept
    ]
    return [planner.compose(each, quality_tags=quality_tags) for each in variants]


def _stale(chosen_for: ChoiceBasis | None, analysis: PromptAnalysis, model: ModelEvidence | None) -> tuple[Reason, ...]:
    changed = chosen_for.changed(ChoiceBasis.of(analysis.prompt, model)) if chosen_for else ()
    if not chosen_for or not changed:
        return ()
    text = GenerationMessage
    message = text.CHOSEN_FOR_OTHER_PROMPT if "prompt" in changed else text.CHOSEN_FOR_OTHER_MODEL
    prompt = shorten(chosen_for.prompt, STALE_CHARACTERS, placeholder="…")
    checkpoint = chosen_for.checkpoint or chosen_for.family
    return (Reason.of(STALE, Source.USER, message, value=changed[0], prompt=prompt, checkpoint=checkpoint),)


def _with_loras(request: MemoryRequest, recommendations: PromptRecommendations) -> MemoryRequest:
    size = sum(lora.lora_metadata.size_bytes for lora in recommendations.suggested_loras)
    return replace(request, lora_gb=size / BYTES_PER_GIB)
