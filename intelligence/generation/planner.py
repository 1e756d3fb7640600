"""The stages in their order, for the Python pipeline and the ComfyUI nodes alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..config import AUTO, GenerationConstraints, LoRAPreferences, OllamaConfig, OperationMode
from ..learning import LearningEngine
from ..lora import LoRARecommendation, LoRARecommender, RejectedLoRA, compose_prompts, without_added_words
from ..memory import MemoryManager, MemoryRequest, Resources
from ..models import Architecture, Family, ModelEvidence, identify_family
from ..models.kinds import TITLES
from ..parameters import ParameterOptimizer, ParameterRequest, profile_for
from ..prompt import LoRATag, PromptAnalysis, PromptAnalyzer
from ..records import Reason, Source
from ..registry import ModelRegistry
from ..units import BYTES_PER_GIB
from .generation_messages import GenerationMessage
from .stages import AnyRecommendations, GenerationPlan, PromptRecommendations, Recommendations


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

    def __post_init__(self) -> None:
        self.optimizer = ParameterOptimizer(self.memory, self.learning.timings, self.families)

    def unusable_loras(self, named: Sequence[LoRATag]) -> tuple[RejectedLoRA, ...]:
        """Return the named LoRAs that this machine lacks or cannot use with any base model."""
        return self.recommender().choose(PromptAnalysis("", lora_tags=tuple(named)), max_loras=0).rejected

    def analyze(self, prompt: str, negative_prompt: str = "", ollama: OllamaConfig | None = None) -> PromptAnalysis:
        """Read the prompt. Raises InvalidInputError for an empty one."""
        return PromptAnalyzer(ollama, self.vocabulary).analyze(prompt, negative_prompt)

    def recommender(self, dense_text: bool = True) -> LoRARecommender:
        """Return a recommender over the library and the ratings as they are now; see `LoRAPreferences.dense_text`."""
        ratings = self.learning.preferences(self.registry.moves())
        return LoRARecommender(self.registry, ratings, dense_text=dense_text)

    def recommend(
        self,
        analysis: PromptAnalysis,
        model: ModelEvidence | None = None,
        preferences: LoRAPreferences | None = None,
        *,
        mode: OperationMode = OperationMode.AUTO,
        named: Sequence[LoRATag] = (),
        confirmed: bool = False,
        quality_tags: bool = True,
    ) -> PromptRecommendations:
        """Choose LoRAs and compose the prompts.

        Args:
            named: LoRAs that the user named outside the prompt; obeyed like the prompt's own `<lora:…>` tags.
            confirmed: only named LoRAs are applied, as always in MANUAL mode.
        """
        preferences = preferences or LoRAPreferences()
        manual = mode is OperationMode.MANUAL
        tags = (*analysis.lora_tags, *named)
        choice = self.recommender(preferences.dense_text).choose(
            replace(analysis, lora_tags=tags),
            model,
            max_loras=0 if confirmed or manual else preferences.max_loras,
            min_confidence=preferences.min_confidence,
            allow_style_mixing=preferences.allow_style_mixing,
        )
        asked_for = {tag.name for tag in tags}
        rejected = [item for item in choice.rejected if item.lora_name in asked_for or not (confirmed or manual)]
        return self.compose(
            PromptRecommendations(
                prompt_analysis=analysis,
                suggested_loras=[without_added_words(lora) if manual else lora for lora in choice.chosen],
                rejected=tuple(rejected),
                model=model,
                family=identify_family(model or ModelEvidence()),
                mode=mode,
                reasons=choice.reasons,
            ),
            quality_tags=quality_tags,
        )

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
        kept = tuple(
            reason for reason in recommendations.reasons if reason.setting not in ("prompt", "negative prompt")
        )
        return replace(
            recommendations,
            prompt=composed.prompt,
            negative_prompt=composed.negative_prompt,
            reasons=(*kept, *composed.reasons),
        )

    def parametrize(
        self,
        recommendations: PromptRecommendations,
        constraints: GenerationConstraints | None = None,
        *,
        overrides: Mapping[str, object] | None = None,
        aspect: str = AUTO,
        request: MemoryRequest | None = None,
        resources: Resources | None = None,
    ) -> Recommendations:
        """Choose the sampling settings.

        Args:
            overrides: win over every choice; in MANUAL mode nothing else counts.
            request: images, and the host's knowledge of model and limits; `plan` gets the same.
            resources: the device; None: this machine's.
        """
        parameters = self.optimizer.choose(
            ParameterRequest(
                recommendations.prompt_analysis,
                constraints or GenerationConstraints(),
                recommendations.model,
                recommendations.suggested_loras,
                overrides or {},
                aspect,
                resources,
                _with_loras(request or MemoryRequest(), recommendations),
                manual=recommendations.mode is OperationMode.MANUAL,
            )
        )
        return recommendations.with_settings(parameters)

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
        model = replace(model, family=named)
        finding = identify_family(model)
        if earlier is not None and earlier.family is not finding.family:
            taken_for = TITLES[earlier.family]
            reason = Reason.of("family", Source.USER, GenerationMessage.FAMILY_CHANGED, earlier=taken_for)
            reasons = (*reasons, reason)
        return replace(recommendations, model=model, family=finding, reasons=reasons)

    def plan(
        self,
        recommendations: Recommendations,
        request: MemoryRequest | None = None,
        *,
        resources: Resources | None = None,
    ) -> GenerationPlan:
        """Fit the job onto the device.

        Args:
            request: images, and the host's knowledge of model and limits; the rest is filled in from the settings.
            resources: the device; None: this machine's.

        Raises:
            InvalidInputError: an edit left a setting that cannot be used.
            StorageError: measurements of the device cannot be read.
        """
        parameters = recommendations.suggested_params
        parameters.check()
        request = _with_loras(request or MemoryRequest(), recommendations)
        family = recommendations.family
        request = replace(request, architecture=family.architecture if family else Architecture.SDXL)
        request = self.optimizer.memory_request(request, parameters)
        return GenerationPlan(recommendations, self.memory.plan(request, resources=resources))


def parameter_variants(planner: Planner, recommendations: Recommendations, count: int) -> list[Recommendations]:
    """Return the recommendations as they are, then with neighbouring settings to compare: at most `count`."""
    neighbours = planner.optimizer.neighbours(recommendations.suggested_params, count)
    return [replace(recommendations, suggested_params=other) for other in neighbours]


def lora_variants(
    planner: Planner, recommendations: AnyRecommendations, count: int, *, quality_tags: bool, dense_text: bool = True
) -> list[AnyRecommendations]:
    """Return the recommendations as they are, then with other LoRAs: at most `count` sets, all different.

    The last chosen LoRA is replaced by the next in rank, then each chosen one stands alone, then none, then the last is
    replaced by those further down. LoRAs that the user named stay in every set.

    Args:
        dense_text: see `LoRAPreferences`.
    """
    if count == 1:
        return [recommendations]
    chosen = recommendations.suggested_loras
    fixed = [lora for lora in chosen if lora.named]
    free = [lora for lora in chosen if not lora.named]
    ranked = planner.recommender(dense_text).rank(recommendations.prompt_analysis, recommendations.model)
    others = [lora for lora in ranked if lora.lora_name not in {known.lora_name for known in chosen}]
    last_replaced = [[*free[:-1], other] for other in others]
    sets = [free, *last_replaced[:1], *([lora] for lora in free), [], *last_replaced[1:]]
    distinct: dict[frozenset[str], list[LoRARecommendation]] = {}
    for loras in sets:
        distinct.setdefault(frozenset(lora.lora_name for lora in loras), loras)
    kept = list(distinct.values())[:count]
    return [
        planner.compose(
            replace(recommendations, suggested_loras=[*fixed, *loras], variants=len(kept)), quality_tags=quality_tags
        )
        for loras in kept
    ]


def _with_loras(request: MemoryRequest, recommendations: PromptRecommendations) -> MemoryRequest:
    """Return `request` with the weights of the LoRAs that will be applied."""
    size = sum(lora.lora_metadata.size_bytes for lora in recommendations.suggested_loras)
    return replace(request, lora_gb=size / BYTES_PER_GIB)
